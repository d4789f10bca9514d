"""Examples of the audit: each names what differs, with what is published and what is right."""

import dataclasses

import pytest

from stream_rnn.audit.differences import differences
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.testing import record
from tests.audited import (
    BEGIN_MS,
    in_value,
    replaced,
    settings_of,
)
from tests.memory_topics import Folded, consumed, fold, offset_of, with_header


def letter_at(made, at, **changed):
    """Replace fields of a dead letter."""
    made.letters[at] = made.letters[at]._replace(**changed)


PARTS = {
    "a timestamp": (
        lambda m: replaced(m, 40, timestamp=m.predictions[40].timestamp + 1),
        lambda m: {"timestamp": (str(m.timestamp + 1), str(m.timestamp))},
    ),
    "a key": (
        lambda m: replaced(m, 40, key=b"z"),
        lambda m: {"key": ("z", m.key.decode())},
    ),
    "no key": (lambda m: replaced(m, 40, key=None), lambda m: {"key": ("none", m.key.decode())}),
    "a header more": (
        lambda m: replaced(m, 40, headers=[*m.predictions[40].headers, ("trace", b"1")]),
        lambda _: {"headers": ("trace=1", "none")},
    ),
    "two headers in the other order": (
        lambda m: replaced(m, 40, headers=[*m.predictions[40].headers[::-1]]),
        lambda m: {"headers": (in_words(m.headers[::-1]), in_words(m.headers))},
    ),
    "a value": (
        lambda m: in_value(m, 40, b'"steps":', b'"steps": '),
        lambda m: {
            "value": (m.value.decode().replace('"steps":', '"steps": '), m.value.decode()),
        },
    ),
    "no value": (
        lambda m: replaced(m, 40, value=None),
        lambda m: {"value": ("none", m.value.decode())},
    ),
    "a timestamp and a key": (
        lambda m: replaced(m, 40, timestamp=1, key=b"z"),
        lambda m: {"timestamp": ("1", str(m.timestamp)), "key": ("z", m.key.decode())},
    ),
    "a second copy's timestamp": (
        lambda m: m.predictions.append(m.predictions[40]._replace(timestamp=1)),
        lambda m: {"timestamp": ("1", str(m.timestamp))},
    ),
    "a first copy's timestamp": (
        lambda m: m.predictions.insert(40, m.predictions[40]._replace(timestamp=1)),
        lambda m: {"timestamp": ("1", str(m.timestamp))},
    ),
    "a dead letter's timestamp": (
        lambda m: letter_at(m, 3, timestamp=1),
        lambda m: {"timestamp": ("1", str(m.timestamp))},
    ),
    "a dead letter's key": (
        lambda m: letter_at(m, 3, key=b"z"),
        lambda m: {"key": ("z", m.key.decode())},
    ),
    "a dead letter's value": (
        lambda m: letter_at(m, 3, value=b"z"),
        lambda m: {"value": ("z", m.value.decode())},
    ),
    "a dead letter's code": (
        lambda m: m.letters.__setitem__(3, with_header(m.letters[3], "sr-error", b"no_key")),
        lambda m: {
            "headers": ("sr-error=no_key", f"sr-error={dict(m.headers)['sr-error'].decode()}")
        },
    ),
    "a dead letter's second copy": (
        lambda m: m.letters.append(m.letters[3]._replace(timestamp=1)),
        lambda m: {"timestamp": ("1", str(m.timestamp))},
    ),
}


def in_words(headers) -> str:
    """Return headers as an example shows them; the origin is not compared."""
    return " ".join(f"{n}={v.decode()}" for n, v in headers if n != "sr-origin")


@pytest.mark.parametrize("name", PARTS)
async def test_an_example_names_what_differs_with_both_sides(folded, name):
    """An example contains only the parts that differ, published and expected."""
    plant, parts = PARTS[name]
    right = folded.letters[3] if "dead letter" in name else folded.predictions[40]
    plant(folded)
    result = await folded.audit()
    (example,) = (e for e in result.examples if e.kind.endswith("different"))
    expected = parts(right)
    assert (example.offset, example.parts) == (offset_of(right), tuple(expected))
    assert example.published == "; ".join(f"{part} {one}" for part, (one, _) in expected.items())
    assert example.replayed == "; ".join(f"{part} {two}" for part, (_, two) in expected.items())


async def test_what_no_longer_can_be_read_is_said_without_parts(folded, monkeypatch):
    """Retention may remove an output during the audit."""
    replaced(folded, 40, timestamp=1)

    async def gone(*_):
        return None

    monkeypatch.setattr("stream_rnn.audit.published_predictions.record_at", gone)
    (example,) = (await folded.audit()).examples
    assert (example.parts, example.published) == ((), None)
    assert example.replayed == (await right_at(folded, 40)).value.decode()


async def right_at(made, at) -> Message:
    """Return a prediction as the worker publishes it."""
    return (await fold(made.model, made.settings, made.records)).predictions[at]


async def test_values_that_begin_alike_are_shown_where_they_differ(folded):
    """Examples are cut, so equal beginnings of long values are left out."""
    one, two = b"x" * 3000 + b"1" + b"y" * 3000, b"x" * 3000 + b"2" + b"y" * 3000
    message = folded.predictions[40]._replace(value=one)
    record = consumed("out", 0, 0, message._replace(value=two))
    (result,) = differences(record, message)
    assert result.name == "value from byte 2960 on"
    assert result.published == "x" * 40 + "2" + "y" * 1959
    assert result.replayed == "x" * 40 + "1" + "y" * 1959
    longer = consumed("out", 0, 0, message._replace(value=one + b"!"))
    (result,) = differences(longer, message)
    assert (result.published[-3:], result.replayed[-3:]) == ("yy!", "yyy")


async def test_the_brokers_timestamp_and_what_was_cut_are_no_difference(folded):
    """The broker's timestamp is not compared, and the rest of a cut value is equal."""
    record = consumed("out", 0, 0, folded.predictions[40]._replace(key=b"z"))
    stamped = dataclasses.replace(record, timestamp_type=LOG_APPEND_TIME, timestamp=1)
    assert [d.name for d in differences(stamped, folded.predictions[40])] == ["key"]
    letter = folded.letters[3]
    cut = letter._replace(
        value=letter.value[:2], headers=with_header(letter, "sr-truncated", b"value").headers
    )
    coded = with_header(cut, "sr-error", b"no_key")
    record = consumed("out.dead-letters", 0, 0, coded)
    (result,) = differences(record, letter, is_dead_letter=True)
    assert (result.name, result.published) == ("headers", "sr-error=no_key")


async def test_steps_that_cannot_be_are_named_where_the_replay_has_the_same(model):
    """Production lost the memory from before the range, which the replay never had."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(40)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    cold = await fold(model, settings, [r for r in records if r.offset >= 20])
    made.predictions[21:] = [with_header(m, "sr-origin", b"0") for m in cold.predictions[1:]]
    result = await made.audit(first="20")
    assert result.counts["different"] >= 1
    example = result.examples[0]
    assert (example.kind, example.offset, example.parts) == ("different", 21, ("steps",))
    assert example.published == cold.predictions[1].value.decode()
    assert "its memory began before the range" in example.replayed
