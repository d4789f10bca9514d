"""Fields whose names and values show what they are: keys, times, outcomes and measured values."""

from datetime import timedelta

from tests.unit.shape import ROWS, Shape, csv_of, epoch, json_of, parquet_of, text


def field_shapes(draw, at):
    """Return the shapes of this module, in order."""
    return [
        *_words_and_values(draw, at),
        *_panels_and_clicks(draw, at),
        *_outcomes_and_cases(draw),
        *_sites_and_players(draw, at),
    ]


def _words_and_values(draw, at):
    yield Shape(
        "words-among-numbers.jsonl",
        json_of(
            [
                {
                    "device": f"d{i % 9}",
                    "at": at[i],
                    "temp": "NA" if i % 20 == 3 else round(draw.gauss(20, 2), 1),
                    "unit": "CF"[i % 2],
                    "load": round(draw.gauss(5, 1), 2),
                }
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "load"), ("time_to_next", None)],
        features={"temp": None, "unit": "categorical"},
        says=("380 numbers and 20 texts such as 'NA'", "write null for them"),
    )
    yield Shape(
        "orders.csv",
        csv_of(
            [
                {
                    "Order Date": text(i % 40, "%Y-%m-%d", timedelta(days=1)),
                    "customer": f"c{draw.randrange(30)}",
                    "amount": round(draw.lognormvariate(3, 1), 2),
                }
                for i in range(ROWS)
            ]
        ),
        key=("customer",),
        time=("Order Date", "iso8601"),
        heads=[("regression", "amount"), ("time_to_next", None)],
    )
    yield Shape(
        "measured-texts.csv",
        csv_of(
            [
                {
                    "reading": f"{draw.randrange(10**5)} mV",
                    "dev": f"x{draw.randrange(25)}",
                    "at": at[i],
                    "load": round(draw.gauss(5, 1), 2),
                }
                for i in range(ROWS)
            ]
        ),
        key=("dev",),
        time=("at", "s"),
        heads=[("regression", "load"), ("time_to_next", None)],
        features={"reading": None},
        says=("texts that are numbers with a unit, such as",),
    )


def _panels_and_clicks(draw, at):
    yield Shape(
        "panel.csv",
        csv_of(
            [
                {"series": "ABCDE"[i % 5], "when": epoch(i // 5, 3600), "value": draw.gauss(0, 1)}
                for i in range(ROWS)
            ]
        ),
        key=("series",),
        time=("when", "s"),
        heads=[("regression", "value")],
    )
    yield Shape(
        "unnamed-panel.csv",
        csv_of(
            [
                {"x": f"n{i % 8}", "when": epoch(i // 8, 3600), "v": draw.gauss(0, 1)}
                for i in range(ROWS)
            ]
        ),
        key=("x",),
        time=("when", "s"),
        heads=[("regression", "v")],
        says=("rows of the same time have different values of it",),
    )
    yield Shape(
        "clicks.jsonl",
        json_of(
            [
                {
                    "event_id": f"e-{i}",
                    "user_id": f"u{draw.randrange(20)}",
                    "event": draw.choice(["view", "cart", "buy"]),
                    "ts": at[i] * 1000 + i,
                    "ingested_at": at[i] * 1000 + i + 90_000,
                    "page": f"/p/{draw.randrange(9)}",
                }
                for i in range(ROWS)
            ]
        ),
        key=("user_id",),
        time=("ts", "ms"),
        heads=[("multiclass", "event"), ("time_to_next", None)],
        features={"event_id": None},
    )


def _outcomes_and_cases(draw):
    yield Shape(
        "failures.parquet",
        parquet_of(
            [
                {
                    "machine": f"m{i % 10}",
                    "at": epoch(i) * 1000,
                    "vibration": draw.gauss(1, 0.3),
                    "failed": int(draw.random() < 0.1),
                }
                for i in range(ROWS)
            ]
        ),
        key=("machine",),
        time=("at", "ms"),
        heads=[("binary", "failed")],
        features={"failed": "numeric"},
        says=("0 and 1, taken as a yes-or-no number", "above = 0.5"),
    )
    yield Shape(
        "process.csv",
        csv_of(
            [
                {
                    "case:concept:name": f"c{i // 8}",
                    "concept:name": draw.choice(["A", "B", "C"]),
                    "org:resource": f"r{draw.randrange(9)}",
                    "time:timestamp": text(i, "%Y-%m-%d %H:%M:%S+00:00"),
                    "case:REG_DATE": text(i // 8 * 8, "%Y-%m-%d %H:%M:%S+00:00"),
                }
                for i in range(ROWS)
            ]
        ),
        key=("case:concept:name",),
        time=("time:timestamp", "iso8601"),
        heads=[("multiclass", "concept:name")],
    )
    yield Shape(
        "one-device.csv",
        csv_of([{"device": "d7", "at": epoch(i), "temp": draw.gauss(20, 2)} for i in range(ROWS)]),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "temp")],
    )


def _sites_and_players(draw, at):
    yield Shape(
        "sensors-of-sites.jsonl",
        json_of(
            [
                {
                    "site": f"s{i % 12 % 3}",
                    "sensor": f"q{i % 12}",
                    "ts": at[i],
                    "installed": "2019-05-06",
                    "value": draw.gauss(0, 1),
                }
                for i in range(ROWS)
            ]
        ),
        key=("sensor",),
        time=("ts", "s"),
        heads=[("regression", "value"), ("time_to_next", None)],
    )
    yield Shape(
        "large-integers.jsonl",
        json_of(
            [
                {
                    "player": 2**60 + i % 11,
                    "at": at[i],
                    "match": 2**61 + draw.randrange(10**6),
                    "level": draw.randrange(5),
                    "score": draw.gauss(9, 3),
                    "track": [draw.random() for _ in range(1 + i % 3)],
                }
                for i in range(ROWS)
            ]
        ),
        key=("player",),
        time=("at", "s"),
        features={"match": None, "level": "categorical", "track": None},
        asks="--target",
    )
