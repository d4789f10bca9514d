"""Delimited files: their marks, encodings, header lines, and texts that are numbers or are none."""

from datetime import timedelta

from tests.unit.shape import ROWS, Shape, csv_of, epoch, text


def file_shapes(draw):
    """Return the shapes of this module, in order."""
    return [*_numbers(draw), *_german(draw), *_other_marks(draw), *_texts_and_numbers(draw)]


def _numbers(draw):
    yield Shape(
        "iot.csv",
        csv_of(
            [
                {"device": f"d{i % 20}", "at": epoch(i), "temp": round(draw.gauss(20, 2), 1)}
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "temp")],
    )
    yield Shape(
        "missing-words.csv",
        csv_of(
            [
                {
                    "device": f"d{i % 20}",
                    "at": epoch(i),
                    "temp": "NA" if i % 20 == 3 else round(draw.gauss(20, 2), 1),
                    "load": "-" if i % 30 == 4 else draw.randrange(100, 900),
                }
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        features={"temp": "numeric", "load": "numeric"},
        asks="--target",
        says=("--target temp", "--target load"),
    )


def _german(draw):
    yield Shape(
        "german.csv",
        csv_of(
            [
                {
                    "Fall": f"F{i % 25}",
                    "Zeit": text(i, "%d.%m.%Y %H:%M"),
                    "Aktivität": draw.choice(["Prüfung", "Freigabe", "Eingang"]),
                    "Betrag": f"{draw.uniform(0, 100):.2f}".replace(".", ","),
                }
                for i in range(ROWS)
            ],
            ";",
            "cp1252",
        ),
        key=("Fall",),
        time=("Zeit", "text", "%d.%m.%Y %H:%M"),
        heads=[("multiclass", "Aktivität")],
        file={"delimiter": ";", "decimal": ",", "encoding": "cp1252"},
        features={"Betrag": "numeric"},
        says=("is not UTF-8", "decimal comma", "it separates 4 fields"),
    )
    yield Shape(
        "german-thousands.csv",
        csv_of(
            [
                {
                    "Kunde": f"K{i % 25}",
                    "Datum": text(i, "%d.%m.%Y"),
                    "Umsatz": f"{draw.uniform(1000, 9000):,.2f}".translate(
                        str.maketrans(",.", ".,")
                    ),
                }
                for i in range(ROWS)
            ],
            ";",
        ),
        key=("Kunde",),
        time=("Datum", "text", "%d.%m.%Y"),
        heads=[("regression", "Umsatz"), ("time_to_next", None)],
        file={"delimiter": ";", "decimal": ",", "thousands": "."},
    )


def _other_marks(draw):
    yield Shape(
        "us-dates.csv",
        csv_of(
            [
                {
                    "Case ID": f"c{i // 8}",
                    "Timestamp": text(i, "%m/%d/%Y %I:%M %p", timedelta(hours=5)),
                    "Activity": draw.choice("ABC"),
                }
                for i in range(ROWS)
            ]
        ),
        key=("Case ID",),
        time=("Timestamp", "text", "%m/%d/%Y %I:%M %p"),
        heads=[("multiclass", "Activity")],
    )
    yield Shape(
        "turns-of-a-fan.txt",
        csv_of(
            [
                {"unit": i // 40 + 1, "cycle": i % 40 + 1, "s1": round(draw.gauss(5, 1), 3)}
                for i in range(ROWS)
            ],
            " ",
            header=False,
        ),
        key=("column_1",),
        time=("column_2", "s"),
        heads=[("regression", "column_3")],
        file={"delimiter": "whitespace", "columns": ("column_1", "column_2", "column_3")},
    )
    yield Shape(
        "tabs-in-utf16.csv",
        csv_of(
            [
                {"meter": f"z{i % 9}", "time": text(i, "%Y-%m-%dT%H:%M:%SZ"), "kwh": i * i % 97 / 8}
                for i in range(ROWS)
            ],
            "\t",
            "utf-16",
        ),
        key=("meter",),
        time=("time", "iso8601"),
        heads=[("regression", "kwh")],
        file={"delimiter": "\t"},
    )


def _texts_and_numbers(draw):
    yield Shape(
        "keys-are-text.csv",
        csv_of(
            [
                {
                    "device": ["007", "07", "7"][i % 3],
                    "firmware": ["1.10", "1.1", "1.1"][i % 3],
                    "at": epoch(i // 3),
                    "reading": round(draw.gauss(5, 1), 2),
                }
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "reading")],
        features={"firmware": "categorical"},
    )
    yield Shape(
        "years-as-digits.csv",
        csv_of(
            [
                {
                    "store": f"s{i % 7}",
                    "date": text(i // 7, "%Y%m%d", timedelta(days=1)),
                    "sales": i * 37 % 101,
                }
                for i in range(ROWS)
            ]
        ),
        key=("store",),
        time=("date", "text", "%Y%m%d"),
        heads=[("regression", "sales")],
    )
    yield Shape(
        "late-type.csv",
        csv_of(
            [
                {
                    "device": f"d{i % 20}",
                    "at": epoch(i),
                    "count": "12A" if i == ROWS - 2 else 1.5 if i == ROWS - 1 else i % 7,
                }
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "count")],
        says=("'12A' is no number: 1 rows",),
    )
