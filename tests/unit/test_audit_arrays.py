"""The audit of a bundle whose features are arrays, hashed words and lags, and which has quantiles."""

import orjson
import pytest

from stream_rnn.predictions.wire_schema import FRAMED_FORMATS, Wire
from stream_rnn.testing import record
from tests import models
from tests.audited import BEGIN_MS, faults, settings_of
from tests.memory_topics import Folded, fold

ID = 7


def records_of(count=120):
    """Return events with arrays, some of which are missing or wrong, and forgets."""
    values = []
    for i in range(count):
        event = {
            "x": i % 7 - 3,
            "sensors": [i / 10, None, -1] if i % 5 else [],
            "page": f"/p/{i % 13}",
            "tags": ["A", "?"][: i % 3],
            "items": "a|b|c"[: i % 6] or None,
        }
        wrong = {31: {**event, "sensors": [1]}, 47: {**event, "tags": "A"}, 59: None}
        values.append(wrong.get(i, event))
    keys = b"abc"
    return [
        record(i, keys[i % 3 : i % 3 + 1], v, BEGIN_MS + 1000 * i) for i, v in enumerate(values)
    ]


@pytest.fixture(params=("json", *FRAMED_FORMATS))
async def made(request):
    """Return what a worker has made in a format."""
    model, wire_format = models.lagged_arrays(), request.param
    settings = settings_of(predictions_format=wire_format)
    wire = {"wire": Wire(wire_format, ID)} if wire_format in FRAMED_FORMATS else {}
    log = await fold(model, settings, records_of(), sizes=[7] * 20, **wire)
    return Folded(model, settings, log)


async def audited(made):
    """Audit."""
    is_json = made.settings.predictions_format == "json"
    return await made.audit(**({} if is_json else {"predictions_schema_id": ID}))


async def test_nothing_is_found_where_nothing_is_wrong(made):
    """Every prediction and every dead letter is compared."""
    result = await audited(made)
    assert (faults(result), result.notes, result.problems) == ({}, [], [])
    assert result.counts["compared"] == len(made.predictions) == 117
    assert result.dead_letters_compared == len(made.letters) == 2


async def test_one_byte_of_a_quantile_is_found(made):
    """In every format."""
    message = made.predictions[40]
    names = [b"p2_5", b"p50", b"p90"]
    value = bytearray(message.value)
    if made.settings.predictions_format in ("json", "json_schema"):
        at = value.index(b'"%s":' % names[2]) + len(names[2]) + 5
        value[at] = ord("8") if value[at] != ord("8") else ord("7")
    else:
        at = len(value) // 2
        value[at] ^= 1
    made.predictions[40] = message._replace(value=bytes(value))
    result = await audited(made)
    assert faults(result) == {"different": 1}
    assert '"p2_5":' in result.examples[0].replayed


def with_quantiles(message, change):
    """Return a prediction of other numerics with changed quantiles."""
    content = orjson.loads(message.value)
    content["numerics"] = "deadbeef"
    content["outputs"]["range"] = change(content["outputs"]["range"])
    return message._replace(value=orjson.dumps(content))


CHANGES = {
    "the same": (lambda q: q, True),
    "other last digits": (lambda q: {name: value + 1e-7 for name, value in q.items()}, True),
    "another value": (lambda q: {**q, "p50": q["p50"] + 0.1}, False),
    "the greatest first": (lambda q: dict(zip(q, [*q.values()][::-1], strict=True)), False),
    "one that is absent": (lambda q: {name: q[name] for name in ("p2_5", "p90")}, False),
    "another name": (lambda q: {n.replace("p90", "p95"): v for n, v in q.items()}, False),
    "a single value": (lambda q: {"value": q["p50"]}, False),
}


@pytest.mark.parametrize(("change", "is_right"), CHANGES.values(), ids=CHANGES)
async def test_quantiles_of_other_numerics_are_compared_by_value(change, is_right):
    """Each under its name."""
    model, settings = models.lagged_arrays(), settings_of()
    made = Folded(model, settings, await fold(model, settings, records_of()))
    made.predictions[40] = with_quantiles(made.predictions[40], change)
    result = await made.audit()
    assert faults(result) == ({} if is_right else {"different": 1})
    assert not is_right or result.other_numerics == 1
