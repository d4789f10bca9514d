"""Small logs in the shapes in which others export and send, each with the answer that is right.

An answer names the key, the time and the heads that a spec must have, or the option that
``spec init`` must ask for.
"""

import io
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

START = datetime(2024, 1, 2, 13, 45, tzinfo=UTC)
ROWS = 400


@dataclass(frozen=True, slots=True)
class Shape:
    """A log, and the spec that is right for it.

    Attributes:
        name: Name of the file.
        content: Bytes of the file.
        key: Key of the spec.
        time: Options of the event time, other than zone.
        heads: Kind and path of each head.
        file: Options of the file.
        event: Other options of the event.
        features: Kind of some features by path; ``None`` for a field that is left out.
        asks: Option that must be asked for; empty if the spec is sure.
        says: Texts that the spec or the question contains.
    """

    name: str
    content: bytes
    key: Any = ()
    time: Any = None
    heads: Any = ()
    file: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] = field(default_factory=dict)
    features: dict[str, str | None] = field(default_factory=dict)
    asks: str = ""
    says: tuple[str, ...] = ()


def csv_of(rows, delimiter=",", encoding="utf-8", header=True):
    """Write rows as a delimited file."""
    lines = [delimiter.join(map(str, row.values())) for row in rows]
    if header:
        lines.insert(0, delimiter.join(rows[0]))
    return ("\n".join(lines) + "\n").encode(encoding)


def json_of(rows):
    """Write rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet_of(rows):
    """Write rows as Parquet."""
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


def epoch(number, step_s=60):
    """Return the time of a row in seconds since 1970."""
    return int(START.timestamp()) + number * step_s


def text(number, layout, step=timedelta(minutes=17)):
    """Return the time of a row as a text."""
    return (START + number * step).strftime(layout)


def irregular(draw, rows):
    """Return times with gaps that vary, in seconds since 1970."""
    at = int(START.timestamp())
    times = []
    for _ in range(rows):
        at += draw.randrange(1, 500)
        times.append(at)
    return times


def shapes():
    """Return all shapes."""
    draw = random.Random(1)
    at = irregular(draw, ROWS)
    return [*_files(draw), *_names(draw, at), *_envelopes(draw, at), *_unsure(draw, at)]


def _files(draw):
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


def _names(draw, at):
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
        says=("all of it is lost",),
    )
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


def _envelopes(draw, at):
    def change(i, after, op="u"):
        before = None if op == "c" else {"id": after["id"]}
        inner = {"before": before, "after": None if op == "d" else after, "op": op}
        return {
            "schema": None,
            "payload": inner | {"ts_us": at[i] * 10**6, "source": {"table": "orders"}},
        }

    def order(i):
        return {
            "id": f"o-{i % 20}",
            "amount": f"{draw.uniform(1, 99):.2f}",
            "state": draw.choice(["open", "paid", "sent"]),
        }

    yield Shape(
        "debezium.jsonl",
        json_of(
            [
                change(i, order(i), "c" if i < 20 else "d" if i % 50 == 7 else "u")
                for i in range(ROWS)
            ]
        ),
        key=(("payload.after.id", "payload.before.id"),),
        time=("payload.ts_us", "us"),
        heads=[("multiclass", "state"), ("time_to_next", None)],
        event={"unwrap": "payload.after"},
        features={"amount": "numeric", "state": "categorical"},
        says=(
            'forget_when = {path = "payload.op", equals = "d"}',
            'missing = "mean"\nparse = true',  # a deletion has no amount, and is no event
        ),
    )
    yield Shape(
        "unwrapped.jsonl",
        json_of(
            [
                order(i)
                | {"__deleted": str(i % 50 == 7).lower(), "__op": "u", "__ts_ms": at[i] * 1000}
                for i in range(ROWS)
            ]
        ),
        key=("id",),
        time=("__ts_ms", "ms"),
        heads=[("multiclass", "state"), ("time_to_next", None)],
        features={"__op": None, "__deleted": None},
        says=('forget_when = {path = "__deleted", equals = "true"}',),
    )
    yield Shape(
        "cloud-events.jsonl",
        json_of(
            [
                {
                    "specversion": "1.0",
                    "id": f"id-{i}",
                    "source": "/plant/1",
                    "type": "org.example.reading",
                    "subject": f"device/{i % 15}",
                    "time": datetime.fromtimestamp(at[i], UTC).isoformat(),
                    "data": {"celsius": draw.gauss(20, 2)},
                }
                for i in range(ROWS)
            ]
        ),
        key=("subject",),
        time=("time", "iso8601"),
        heads=[("regression", "celsius"), ("time_to_next", None)],
        event={"unwrap": "data"},
        features={"subject": None},
    )
    yield Shape(
        "spans.jsonl",
        json_of(
            [
                {
                    "service.name": f"s{i % 6}",
                    "traceId": f"{draw.getrandbits(128):032x}",
                    "timeUnixNano": str(at[i] * 10**9),
                    "attributes": {"http.duration_ms": draw.lognormvariate(2, 1)},
                }
                for i in range(ROWS)
            ]
        ),
        key=('"service.name"',),
        time=("timeUnixNano", "ns"),
        heads=[("regression", 'attributes."http.duration_ms"'), ("time_to_next", None)],
        features={"traceId": None},
        says=("hence parse = true",),
    )
    yield Shape(
        "mixed-kinds.jsonl",
        json_of(
            [
                {"type": "sensor", "device": f"d{i % 6}", "at": at[i], "value": draw.gauss(1, 0.2)}
                if i % 3
                else {"type": "audit", "at": at[i], "who": "root"}
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("regression", "value"), ("time_to_next", None)],
        says=('only = [{path = "type", in = ["sensor"]}]\n',),
    )
    yield Shape(
        "same-kinds.jsonl",
        json_of(
            [
                {
                    "type": draw.choice(["sensor", "audit"]),
                    "device": f"d{i % 6}",
                    "at": at[i],
                    "value": draw.gauss(1, 0.2),
                }
                for i in range(ROWS)
            ]
        ),
        key=("device",),
        time=("at", "s"),
        heads=[("multiclass", "type"), ("time_to_next", None)],
        says=("2 kinds of records with the same fields",),
    )


def _unsure(draw, at):
    yield Shape(
        "sessions.csv",
        csv_of(
            [
                {
                    "user_id": f"u{i // 8 % 9}",
                    "session_id": f"s{i // 8}",
                    "ts": at[i],
                    "action": draw.choice("ab"),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--key",
        says=("--key user_id", "--key session_id"),
    )
    yield Shape(
        "no-entity.csv",
        csv_of(
            [
                {"alpha": draw.choice("abcdefgh"), "at": at[i], "beta": draw.choice("uvwxyz")}
                for i in range(ROWS)
            ]
        ),
        asks="--key",
        says=("--key alpha", "--key beta", "history of a single thing"),
    )
    yield Shape(
        "two-times.csv",
        csv_of(
            [
                {
                    "case": f"c{i % 20}",
                    "start_time": at[i],
                    "wait_time": at[i] + draw.randrange(10**5),
                    "activity": draw.choice("ab"),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--time",
        says=("--time start_time", "--time wait_time"),
    )
    yield Shape(
        "day-or-month.csv",
        csv_of(
            [
                {
                    "device": f"d{i % 5}",
                    "date": f"{draw.randrange(1, 13):02}/{draw.randrange(1, 13):02}/2024 10:00",
                    "value": draw.random(),
                }
                for i in range(ROWS)
            ]
        ),
        asks="--time-format",
        says=("--time-format '%d/%m/%Y %H:%M'", "--time-format '%m/%d/%Y %H:%M'"),
    )
    yield Shape(
        "many-numbers.csv",
        csv_of(
            [
                {"device": f"d{i % 5}", "at": epoch(i)}
                | {name: round(draw.gauss(5, 1), 3) for name in ("p", "q", "r")}
                for i in range(ROWS)
            ]
        ),
        asks="--target",
        says=("--target p", "--target q", "--of label"),
    )
