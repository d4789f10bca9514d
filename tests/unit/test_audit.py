"""The audit finds each kind of fault that is planted in the topics."""

import dataclasses

import pytest

from stream_rnn.audit.differences import differences
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.testing import record
from tests.audited import (
    BEGIN_MS,
    another_letter,
    faults,
    in_value,
    kinds,
    moved,
    replaced,
    settings_of,
    steps,
)
from tests.memory_topics import Folded, consumed, fold, offset_of, with_header


async def test_nothing_is_found_where_nothing_is_wrong(folded):
    """The audit compares all outputs and reports neither faults nor notes."""
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert faults(result) == {}
    assert result.counts["compared"] == len(folded.predictions)
    assert result.dead_letters_compared == result.counts["dead_letters"] == len(folded.letters)
    assert result.notes == result.problems == result.examples == []
    assert result.counts["not_comparable"] == result.other_numerics == 0


def drop_an_end(made):
    """Remove the last event of some key from the source, as if it had been aborted."""
    last = {}
    for event in made.records:
        if event.offset in kinds(made)["event"]:
            last[event.key] = event.offset
    made.records = [r for r in made.records if r.offset != min(last.values())]


PLANTS = {
    "a prediction is missing": (lambda m: m.predictions.pop(40), {"missing": 1}),
    "the last prediction is missing": (lambda m: m.predictions.pop(), {"missing": 1}),
    "a prediction is there twice": (
        lambda m: m.predictions.insert(41, m.predictions[40]),
        {"duplicated": 1},
    ),
    "three more at the end": (
        lambda m: m.predictions.extend([m.predictions[40]] * 3),
        {"duplicated": 3},
    ),
    "other bytes": (lambda m: in_value(m, 40, b'"steps":', b'"steps": '), {"different": 1}),
    "another output": (
        lambda m: in_value(m, 40, b'"probability":0.', b'"probability":0.9'),
        {"different": 1},
    ),
    "no JSON": (lambda m: replaced(m, 40, value=b"{"), {"different": 1}),
    "JSON that is too deep": (
        lambda m: replaced(m, 40, value=b'{"steps":' + b"[" * 500 + b"]" * 500 + b"}"),
        {"different": 1},
    ),
    "no value": (lambda m: replaced(m, 40, value=None), {"different": 1}),
    "other bytes in the second copy": (
        lambda m: m.predictions.append(m.predictions[40]._replace(value=b"{}")),
        {"duplicated": 1, "different": 1},
    ),
    "another timestamp in the second copy": (
        lambda m: m.predictions.append(m.predictions[40]._replace(timestamp=BEGIN_MS)),
        {"duplicated": 1, "different": 1},
    ),
    "another key": (lambda m: replaced(m, 40, key=b"z"), {"different": 1}),
    "another timestamp": (lambda m: replaced(m, 40, timestamp=BEGIN_MS), {"different": 1}),
    "one header more": (
        lambda m: replaced(m, 40, headers=[*m.predictions[40].headers, ("trace", b"1")]),
        {"different": 1},
    ),
    "a header is written in another way": (
        lambda m: m.predictions.__setitem__(
            40, with_header(m.predictions[40], "sr-offset", b"+%d" % offset_of(m.predictions[40]))
        ),
        {"different": 1},
    ),
    "of another app": (
        lambda m: m.predictions.__setitem__(40, with_header(m.predictions[40], "sr-app", b"b")),
        {"missing": 1},
    ),
    "headers that no worker writes": (
        lambda m: m.predictions.__setitem__(40, with_header(m.predictions[40], "sr-origin", b"x")),
        {"missing": 1},
    ),
    "out of order": (
        lambda m: m.predictions.insert(60, m.predictions.pop(40)),
        {"out_of_order": 1},
    ),
    "of a skipped record": (
        lambda m: m.predictions.append(moved(m, 40, kinds(m)["bad"][2])),
        {"unexpected": 1, "out_of_order": 1},
    ),
    "of a forget": (
        lambda m: m.predictions.append(moved(m, 40, kinds(m)["forget"][1])),
        {"unexpected": 1, "out_of_order": 1},
    ),
    "of an aborted record": (drop_an_end, {"unexpected": 1}),
    "of a record beyond the log": (
        lambda m: m.predictions.append(moved(m, 40, 10_000)),
        {"unexpected": 1},
    ),
    "of a negative offset": (
        lambda m: m.predictions.append(moved(m, 40, -4)),
        {"unexpected": 1},
    ),
    "in a wrong partition": (
        lambda m: m.predictions.append(with_header(m.predictions[40], "sr-partition", b"1")),
        {"unexpected": 1},
    ),
    "of another fold, beside ours": (
        lambda m: m.predictions.append(with_header(m.predictions[40], "sr-fold", b"f" * 12)),
        {"duplicated": 1},
    ),
    "of another fold, of a forget": (
        lambda m: m.predictions.append(
            with_header(moved(m, 40, kinds(m)["forget"][1]), "sr-fold", b"f" * 12)
        ),
        {"unexpected": 1, "out_of_order": 1},
    ),
    "wrong steps": (lambda m: steps(m, 40, 1), {"different": 1}),
    "cold where it is not": (
        lambda m: in_value(m, 100, b'"cold":false', b'"cold":true'),
        {"different": 1},
    ),
    "an origin behind the record": (
        lambda m: m.predictions.__setitem__(
            40, with_header(m.predictions[40], "sr-origin", b"200")
        ),
        {"different": 1},
    ),
    "a dead letter is missing": (lambda m: m.letters.pop(3), {"dead_letters_missing": 1}),
    "the last dead letter is missing": (lambda m: m.letters.pop(), {"dead_letters_missing": 1}),
    "a dead letter is there twice": (
        lambda m: m.letters.append(m.letters[3]),
        {"dead_letters_duplicated": 1},
    ),
    "a dead letter of a good event": (
        lambda m: m.letters.append(another_letter(m, 3, kinds(m)["event"][40])),
        {"dead_letters_unexpected": 1},
    ),
    "a dead letter of a forget": (
        lambda m: m.letters.append(another_letter(m, 3, kinds(m)["forget"][0])),
        {"dead_letters_unexpected": 1},
    ),
    "a dead letter of no record": (
        lambda m: m.letters.append(another_letter(m, 3, 10_000)),
        {"dead_letters_unexpected": 1},
    ),
    "a dead letter in place of a prediction": (
        lambda m: m.letters.append(another_letter(m, 3, offset_of(m.predictions.pop(40)))),
        {"dead_letters_unexpected": 1, "missing": 1},
    ),
    "a dead letter of a wrong code": (
        lambda m: m.letters.__setitem__(3, with_header(m.letters[3], "sr-error", b"no_key")),
        {"dead_letters_different": 1},
    ),
    "a dead letter of another value": (
        lambda m: m.letters.__setitem__(3, m.letters[3]._replace(value=b"other")),
        {"dead_letters_different": 1},
    ),
    "a dead letter of another time": (
        lambda m: m.letters.__setitem__(3, m.letters[3]._replace(timestamp=1)),
        {"dead_letters_different": 1},
    ),
    "a dead letter in a wrong partition": (
        lambda m: m.letters.append(with_header(m.letters[3], "sr-partition", b"1")),
        {"dead_letters_unexpected": 1},
    ),
    "a dead letter of another fold": (
        lambda m: m.letters.append(with_header(another_letter(m, 3, 1), "sr-fold", b"f" * 12)),
        {},
    ),
    "the group offset beyond what is there": (
        lambda m: m.records.append(record(240, b"a", {"x": 1.0, "kind": "A"}, BEGIN_MS)),
        {"missing": 1},
    ),
}


@pytest.mark.parametrize("name", PLANTS)
async def test_what_is_planted_is_found(folded, name):
    """The planted fault is counted, no other is, and the result is not fine."""
    plant, figures = PLANTS[name]
    plant(folded)
    if name == "the group offset beyond what is there":
        folded.c = GroupOffset(241, folded.c.fold_id, folded.c.origin)
    result = await folded.audit()
    assert faults(result) == figures
    assert result.is_fine("exactly_once") is (not figures)
    assert {example.kind for example in result.examples} == set(figures)


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
