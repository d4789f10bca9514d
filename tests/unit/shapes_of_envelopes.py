"""Records with an envelope around the event, and records of several kinds."""

from datetime import UTC, datetime

from tests.unit.shape import ROWS, Shape, json_of


def envelope_shapes(draw, at):
    """Return the shapes of this module, in order."""
    return [
        *_database_changes(draw, at),
        *_events_and_spans(draw, at),
        *_kinds_of_records(draw, at),
    ]


def _database_changes(draw, at):
    yield Shape(
        "debezium.jsonl",
        json_of(
            [
                _change(at[i], _order(draw, i), "c" if i < 20 else "d" if i % 50 == 7 else "u")
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
                _order(draw, i)
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


def _events_and_spans(draw, at):
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


def _kinds_of_records(draw, at):
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


def _change(at_s, after, op="u"):
    """Return a change of a row, as Debezium sends it."""
    before = None if op == "c" else {"id": after["id"]}
    inner = {"before": before, "after": None if op == "d" else after, "op": op}
    return {
        "schema": None,
        "payload": inner | {"ts_us": at_s * 10**6, "source": {"table": "orders"}},
    }


def _order(draw, i):
    return {
        "id": f"o-{i % 20}",
        "amount": f"{draw.uniform(1, 99):.2f}",
        "state": draw.choice(["open", "paid", "sent"]),
    }
