"""Every kind of wrong that production's topics can have, planted, and what the audit says."""

import asyncio
import copy
import dataclasses
import random
import re

import orjson
import pytest
import torch

from stream_rnn.audit.differences import differences
from stream_rnn.audit.result import KINDS, Choice
from stream_rnn.errors import ConfigError
from stream_rnn.fold.kafka_log import LOG_APPEND_TIME
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.recovery import GroupOffset
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, record
from tests import models
from tests.memory_topics import Folded, consumed, fold, offset_of, with_header

BEGIN_MS = 1_767_225_600_000
FIGURES = {"compared", "not_comparable", "dead_letters"}


def settings_of(**changed) -> Settings:
    """Return settings whose transactions end soon."""
    given = {"app": "a", "source": "events", "predictions": "out", "transaction_timeout_ms": 1000}
    return Settings.build(**given | changed)


def records_of(count=240, seed=3, keys=b"abcdef", forgets=True):
    """Return events of a few keys, a second apart, with bad ones and forgets."""
    draw, found = random.Random(seed), []
    for offset in range(count):
        key = bytes([draw.choice(keys)])
        value = {"x": draw.uniform(-2, 2), "kind": draw.choice("ABC")}
        kind = draw.random()
        if kind > 0.96 and forgets:
            value = None
        elif kind > 0.9:
            value = draw.choice([b"not json", {"x": "one"}, b"[1]"])
        found.append(record(offset, key, value, BEGIN_MS + 1000 * offset))
    return found


@pytest.fixture(scope="module")
def model():
    """Return a model."""
    return models.small("gru")


@pytest.fixture(scope="module")
def worked(model):
    """Return a log that a worker has folded, exactly once."""
    return asyncio.run(fold(model, settings_of(), records_of(), sizes=[20] * 12))


@pytest.fixture
def folded(model, worked):
    """Return what the worker made, to be spoilt."""
    return Folded(model, settings_of(), worked)


def wrong(found) -> dict[str, int]:
    """Return the kinds of wrong that were found, with their figures."""
    return {
        kind: found.counts[kind] for kind in KINDS if kind not in FIGURES and found.counts[kind]
    }


def kinds(made) -> dict[str, list[int]]:
    """Return the offsets of each kind of record."""
    bad = {offset_of(m) for m in made.letters}
    forgets = [r.offset for r in made.records if r.value is None]
    events = [r.offset for r in made.records if r.offset not in bad and r.value is not None]
    return {"bad": sorted(bad), "forget": forgets, "event": events}


async def test_nothing_is_found_where_nothing_is_wrong(folded):
    """All is compared, nothing is wrong, and there is nothing to say."""
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert wrong(found) == {}
    assert found.counts["compared"] == len(folded.predictions)
    assert found.letters_compared == found.counts["dead_letters"] == len(folded.letters)
    assert found.notes == found.problems == found.examples == []
    assert found.counts["not_comparable"] == found.other_numerics == 0


def replaced(made, at, **changed):
    """Replace parts of a prediction."""
    made.predictions[at] = made.predictions[at]._replace(**changed)


def in_value(made, at, old, new):
    """Replace bytes in a prediction's value."""
    value = made.predictions[at].value
    assert old in value
    replaced(made, at, value=value.replace(old, new))


def steps(made, at, by):
    """Change the steps of a prediction."""
    said = orjson.loads(made.predictions[at].value)["steps"]
    in_value(made, at, b'"steps":%d' % said, b'"steps":%d' % (said + by))


def moved(made, at, offset):
    """Return a copy of a prediction that names another source offset."""
    return with_header(made.predictions[at], "sr-offset", b"%d" % offset)


def another_letter(made, at, offset):
    """Return a copy of a dead letter that names another source offset."""
    return with_header(made.letters[at], "sr-offset", b"%d" % offset)


def drop_an_end(made):
    """Take the last event of some key out of the source, as if it had been aborted."""
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
    """One thing is wrong: its figure is what was planted, all others are 0, and it is not fine."""
    plant, figures = PLANTS[name]
    plant(folded)
    if name == "the group offset beyond what is there":
        folded.c = GroupOffset(241, folded.c.fold_id, folded.c.origin)
    found = await folded.audit()
    assert wrong(found) == figures
    assert found.is_fine("exactly_once") is (not figures)
    assert {example.kind for example in found.examples} == set(figures)


# What an example says


def letter_at(made, at, **changed):
    """Replace parts of a dead letter."""
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
    """Two values that are the same do not stand there as different."""
    plant, parts = PARTS[name]
    right = folded.letters[3] if "dead letter" in name else folded.predictions[40]
    plant(folded)
    found = await folded.audit()
    (example,) = (e for e in found.examples if e.kind.endswith("different"))
    expected = parts(right)
    assert (example.offset, example.parts) == (offset_of(right), tuple(expected))
    assert example.published == "; ".join(f"{part} {one}" for part, (one, _) in expected.items())
    assert example.replayed == "; ".join(f"{part} {two}" for part, (_, two) in expected.items())


async def test_what_no_longer_can_be_read_is_said_without_parts(folded, monkeypatch):
    """Retention may remove an output while it is audited."""
    replaced(folded, 40, timestamp=1)

    async def gone(*_):
        return None

    monkeypatch.setattr("stream_rnn.audit.published.record_at", gone)
    (example,) = (await folded.audit()).examples
    assert (example.parts, example.published) == ((), None)
    assert example.replayed == (await right_at(folded, 40)).value.decode()


async def right_at(made, at) -> Message:
    """Return a prediction as a worker makes it."""
    return (await fold(made.model, made.settings, made.records)).predictions[at]


async def test_values_that_begin_alike_are_shown_where_they_differ(folded):
    """An example is cut, and the same beginnings would say nothing."""
    one, two = b"x" * 3000 + b"1" + b"y" * 3000, b"x" * 3000 + b"2" + b"y" * 3000
    message = folded.predictions[40]._replace(value=one)
    record = consumed("out", 0, 0, message._replace(value=two))
    (found,) = differences(record, message)
    assert found.part == "value from byte 2960 on"
    assert found.published == "x" * 40 + "2" + "y" * 1959
    assert found.replayed == "x" * 40 + "1" + "y" * 1959
    longer = consumed("out", 0, 0, message._replace(value=one + b"!"))
    (found,) = differences(longer, message)
    assert (found.published[-3:], found.replayed[-3:]) == ("yy!", "yyy")


async def test_the_brokers_timestamp_and_what_was_cut_are_no_difference(folded):
    """The one is not compared, and of the other what is kept is right."""
    record = consumed("out", 0, 0, folded.predictions[40]._replace(key=b"z"))
    stamped = dataclasses.replace(record, timestamp_type=LOG_APPEND_TIME, timestamp=1)
    assert [d.part for d in differences(stamped, folded.predictions[40])] == ["key"]
    letter = folded.letters[3]
    cut = letter._replace(
        value=letter.value[:2], headers=with_header(letter, "sr-truncated", b"value").headers
    )
    coded = with_header(cut, "sr-error", b"no_key")
    record = consumed("out.dead-letters", 0, 0, coded)
    (found,) = differences(record, letter, is_dead_letter=True)
    assert (found.part, found.published) == ("headers", "sr-error=no_key")


async def test_steps_that_cannot_be_are_named_where_the_replay_has_the_same(model):
    """Production lost what was before the range, as the replay never had it."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(40)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    cold = await fold(model, settings, [r for r in records if r.offset >= 20])
    made.predictions[21:] = [with_header(m, "sr-origin", b"0") for m in cold.predictions[1:]]
    found = await made.audit(first="20")
    assert found.counts["different"] >= 1
    example = found.examples[0]
    assert (example.kind, example.offset, example.parts) == ("different", 21, ("steps",))
    assert example.published == cold.predictions[1].value.decode()
    assert "its memory began before the range" in example.replayed


async def test_repeats_are_no_fault_at_least_once(model):
    """Identical copies, of dead letters too, and their order are counted and fine; others are not."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    made.predictions += made.predictions[-20:]
    made.letters += made.letters[-3:]
    made.predictions.insert(60, made.predictions.pop(40))
    found = await made.audit()
    assert wrong(found) == {"duplicated": 20, "out_of_order": 1, "dead_letters_duplicated": 3}
    assert found.is_fine("at_least_once")
    assert not found.is_fine("exactly_once")
    made.letters.append(with_header(made.letters[-1], "sr-size", b"7"))
    assert not (await made.audit()).is_fine("at_least_once")


async def test_a_dead_letter_of_a_good_event_is_found_at_least_once(model):
    """There a dead letter names no fold: it is of the one that has the predictions beside it."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    made.letters.append(another_letter(made, 3, kinds(made)["event"][40]))
    assert wrong(await made.audit()) == {"dead_letters_unexpected": 1}


async def test_what_arrives_late_is_not_missing(folded):
    """A marker is written a little late: the ends of the outputs are read again."""
    folded.late = {"out": folded.predictions[-5:], "out.dead-letters": folded.letters[-1:]}
    folded.predictions, folded.letters = folded.predictions[:-5], folded.letters[:-1]
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert wrong(found) == {}


async def test_a_group_offset_that_is_late_is_waited_for(folded):
    """The predictions' marker can be there before that of the group offset."""
    folded.late_c, folded.c = folded.c, GroupOffset(200, folded.c.fold_id, 0)
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert found.ranges == {0: (0, 200)}


# What was not looked at


def of_another_bundle():
    """Return the same network with another fingerprint."""
    made = models.small("gru")
    return Model(made.spec, made.cell, made.network, "f" * 64)


async def test_a_wrong_app_is_no_success(folded):
    """Nothing was compared: that is said, with whom the outputs are of."""
    folded.c = None
    found = await folded.audit(app="other")
    assert not found.is_fine("exactly_once")
    assert found.counts["compared"] == 0
    assert "was folded by app other" in found.problems[0]
    assert "app a of topic events" in found.problems[0]
    assert "nothing was compared" in found.problems[-1]


async def test_a_group_without_an_offset_is_audited_up_to_its_last_output(folded):
    """Group offsets expire: the outputs say how far it was."""
    folded.c = None
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert "group a has no offset; its last output" in found.notes[0]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("1000", None, "--from 1000 lies behind the log end 240"),
        ("200", "150", "the range is empty"),
    ],
)
async def test_a_range_that_is_not_there_is_no_success(folded, first, last, said):
    """Offsets that are not there yet, or none: nothing is compared, and why."""
    folded.source_start = 100
    found = await folded.audit(first=first, last=last)
    assert not found.is_fine("exactly_once")
    assert said in found.notes[0]
    assert "nothing was compared" in found.problems[0]


def beside_another(made) -> None:
    """Put all that was made into partition 1, too, whose audit is as it should be."""
    made.counts = dict.fromkeys(("events", "out", "out.dead-letters"), 2)
    made.other_partitions["events", 1] = [
        Message(r.key, r.value, r.timestamp, r.headers) for r in made.records
    ]
    for topic, messages in (("out", made.predictions), ("out.dead-letters", made.letters)):
        made.other_partitions[topic, 1] = [
            with_header(of_partition_1(m), "sr-partition", b"1") for m in messages
        ]


def of_partition_1(message) -> Message:
    """Return a prediction that names partition 1."""
    value = message.value or b""
    return message._replace(value=value.replace(b'"partition":0', b'"partition":1'))


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        ("0", "50", "records of offsets 0 to 49 are removed: the log starts at 100"),
        ("20", "100", "records of offsets 20 to 99 are removed: the log starts at 100"),
        (None, "50", "all records before --to 50, if there were any, are removed: the log starts"),
        (None, "2026-01-01T00:00:30", "all records before --to 2026-01-01T00:00:30, if there were"),
    ],
)
async def test_a_range_that_is_wholly_removed_is_a_problem(folded, first, last, said):
    """Another partition that has it and is right does not make up for it."""
    beside_another(folded)
    folded.c_of_1 = folded.c
    assert (await folded.audit()).is_fine("exactly_once")
    folded.source_start = 100
    found = await folded.audit(first=first, last=last)
    assert found.counts["compared"] > 10
    assert [p.removeprefix("events[0]: ").startswith(said) for p in found.problems] == [True]
    assert not found.is_fine("exactly_once")


async def test_a_range_that_is_removed_in_part_is_said(folded):
    """What is left of it is compared."""
    folded.source_start = 100
    found = await folded.audit(first="50", last="200")
    assert found.notes[0] == "events[0]: records of offsets 50 to 99 are removed: the log starts at 100"  # fmt: skip
    assert found.is_fine("exactly_once")


async def test_a_partition_that_retention_has_emptied_is_said(folded):
    """Nobody asked for its records, so that this is no problem."""
    beside_another(folded)
    folded.c_of_1, folded.source_start = folded.c, 240
    folded.records = []
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert found.notes[0] == "events[0]: the partition is empty"
    gone = await folded.audit(first="0")
    assert gone.problems == ["events[0]: records of offsets 0 to 239 are removed: the log starts at 240"]  # fmt: skip


async def test_what_is_not_published_yet_is_said(folded):
    """The group offset stands where the range begins."""
    folded.c = GroupOffset(0, folded.c.fold_id, 0)
    folded.predictions, folded.letters = [], []
    found = await folded.audit()
    assert not found.is_fine("exactly_once")
    assert "nothing is published from offset 0 on" in found.notes[0]


async def test_an_empty_source_is_no_success(folded):
    """There is nothing to compare."""
    folded.records, folded.predictions, folded.letters, folded.c = [], [], [], None
    found = await folded.audit()
    assert not found.is_fine("exactly_once")
    assert found.notes == ["events[0]: the partition is empty"]


async def test_empty_outputs_are_all_missing(folded):
    """Below the group offset all has been published; nothing is there."""
    count, letters = len(folded.predictions), len(folded.letters)
    folded.predictions, folded.letters = [], []
    found = await folded.audit()
    assert wrong(found) == {"missing": count, "dead_letters_missing": letters}
    assert not found.is_fine("exactly_once")


async def test_a_partition_that_nobody_folded_is_a_problem(folded):
    """The other partition is right, and that is not enough."""
    names = ("events", "out", "out.dead-letters")
    folded.counts = dict.fromkeys(names, 2)
    folded.other_partitions["events", 1] = [folded.predictions[0]]
    found = await folded.audit()
    assert wrong(found) == {}
    assert found.counts["compared"] == len(folded.predictions)
    assert "events[1]: nothing of offsets 0 to 0 was folded by app a" in found.problems[0]
    assert not found.is_fine("exactly_once")
    assert (await folded.audit(partitions=[0])).is_fine("exactly_once")


@pytest.mark.parametrize("counts", [{"events": 2}, {"out": 2}, {"out.dead-letters": 0}])
async def test_another_number_of_partitions_is_refused(folded, counts):
    """A worker answers in the partition that it read."""
    folded.counts = counts
    with pytest.raises(ConfigError, match="partitions"):
        await folded.audit()


async def test_a_partition_that_is_not_there_is_refused(folded):
    """It is no empty success."""
    with pytest.raises(ConfigError, match="partitions 0 to 0, none with number 7"):
        await folded.audit(partitions=[7])


@pytest.mark.parametrize(
    ("offset", "start", "said"),
    [
        (400, 0, "all below 400 is published, but the log ends at 240"),
        (100, 150, "records 100 to 149 were removed before anything was published"),
    ],
)
async def test_a_group_offset_that_cannot_be_is_a_problem(folded, offset, start, said):
    """It lies beyond the log, or before it."""
    folded.c = GroupOffset(offset, folded.c.fold_id, 0)
    folded.source_start = start
    found = await folded.audit()
    assert any(said in problem for problem in found.problems)
    assert not found.is_fine("exactly_once")


async def test_a_group_offset_that_was_set_back_is_a_problem(folded):
    """Predictions leave in one transaction with the group offset: they cannot be ahead of it."""
    folded.c = GroupOffset(100, folded.c.fold_id, 0)
    found = await folded.audit()
    assert wrong(found) == {}
    assert "the group offset is 100, but out[0] holds the prediction of offset" in found.problems[0]
    assert (await folded.audit(delivery="at_least_once")).is_fine("at_least_once")


async def test_a_group_offset_that_somebody_set_is_said(folded):
    """It has no metadata of a worker."""
    folded.c = GroupOffset(240)
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert "was not written by a worker" in found.notes[0]


async def test_predictions_that_retention_removed_are_counted(folded):
    """The output lost its beginning: what is left is compared, the rest is not missing."""
    folded.starts["out"] = 50
    found = await folded.audit()
    assert wrong(found) == {}
    assert found.why_not == {"began_before": 0, "other_fold": 0, "removed": 50}
    assert found.counts["compared"] == len(folded.predictions) - 50
    assert "out[0] lost its beginning" in found.notes[0]
    folded.predictions.pop(60)
    assert wrong(await folded.audit()) == {"missing": 1}


async def test_predictions_whose_records_are_removed_are_counted(folded):
    """The source lost its beginning: how many outputs nobody can compare."""
    folded.source_start = 120
    below = sum(offset_of(m) < 120 for m in folded.predictions)
    found = await folded.audit()
    assert wrong(found) == {}
    assert found.counts["compared"] > 20
    assert f"{below} predictions of offsets below 120 were not compared" in found.notes[0]


@pytest.mark.parametrize("changed", [{"state_ttl": 5.0}, {"model": of_another_bundle()}])
async def test_another_fold_is_no_success(folded, changed):
    """A wrong bundle or a wrong time to live: nothing is of that fold."""
    found = await folded.audit(**changed)
    assert not found.is_fine("exactly_once")
    assert found.counts["compared"] == 0
    assert found.other_folds == len(folded.predictions)
    assert found.why_not["other_fold"] == len(folded.predictions) + len(folded.letters)
    assert found.folds == {folded.c.fold_id: len(folded.predictions)}
    assert wrong(found) == {}


async def test_dead_letters_alone_are_no_success_beside_another_fold(model):
    """At least once they name no fold, and are the same in each."""
    settings = settings_of(delivery="at_least_once")
    made = Folded(model, settings, await fold(model, settings, records_of()))
    found = await made.audit(model=of_another_bundle())
    assert found.letters_compared == len(made.letters)
    assert wrong(found) == {}
    assert not found.is_fine("at_least_once")


async def test_some_keys_alone_are_looked_at(folded):
    """A prediction of nothing is found if its key is chosen; no such key is no success."""
    spare = moved(folded, 40, kinds(folded)["forget"][1])
    folded.predictions.append(spare._replace(key=b"a"))
    some = Choice(frozenset([b"a"]))
    found = await folded.audit(some)
    assert wrong(found) == {"unexpected": 1, "out_of_order": 1}
    assert 0 < found.counts["compared"] < len(folded.predictions)
    assert (await folded.audit(Choice(frozenset([b"b"])))).is_fine("exactly_once")
    nobody = await folded.audit(Choice(frozenset([b"nobody"])))
    assert not nobody.is_fine("exactly_once")
    assert "of the chosen keys" in nobody.problems[0]


# Folds and origins


async def test_an_upgrade_leaves_nothing_missing_for_either_fold(model):
    """Each event has one output, of the one fold or the other, in either delivery."""
    for delivery in ("exactly_once", "at_least_once"):
        settings = settings_of(delivery=delivery)
        records = records_of(300)
        log = await fold(model, settings, records[:150])
        log.records[:] = records
        newer = settings.model_copy(update={"top_k": 2})
        made = Folded(model, settings, await fold(model, newer, [], log=log))
        old, new = await made.audit(), await made.audit(top_k=2)
        assert wrong(old) == wrong(new) == {}
        assert old.is_fine(delivery)
        assert new.is_fine(delivery)
        assert old.counts["compared"] == new.other_folds
        assert new.counts["compared"] == old.other_folds > 100


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_two_folds_need_not_agree_on_what_an_event_is(model, delivery):
    """A dead letter of the other fold is no fault of this one, though it names no fold."""
    small = settings_of(delivery=delivery, value_bytes_max=42)
    large = small.model_copy(update={"value_bytes_max": 1000})
    records = records_of(200)
    for offset in range(5, 200, 9):
        value = b"x" * 50 if offset % 2 else {"x": 1.0, "kind": "A", "more": "more than 42 bytes"}
        records[offset] = record(offset, b"a", value, BEGIN_MS + 1000 * offset)
    log = await fold(model, small, records[:100])
    log.records[:] = records
    made = Folded(model, small, await fold(model, large, [], log=log))
    for found in (await made.audit(), await made.audit(value_bytes_max=1000)):
        assert wrong(found) == {}
        assert found.counts["compared"] > 50
        assert found.letters_compared > 5
        assert found.why_not["other_fold"] == found.counts["not_comparable"] > 50


async def test_a_fold_that_gave_its_history_up_is_audited_from_both_origins(model):
    """What was published before the new origin's fold was made from the old one's memory."""
    settings = settings_of(on_lost_history="accept")
    records = records_of(300)
    log = await fold(model, settings, records[:150])
    log.records[:], log.log_start_offset = records, 60
    made = Folded(model, settings, await fold(model, settings, [], log=log))
    assert {dict(m.headers)["sr-origin"] for m in made.predictions} == {b"0", b"60"}
    found = await made.audit()
    assert wrong(found) == {}
    assert found.counts["compared"] > 150
    made.source_start = 0
    found = await made.audit()
    assert wrong(found) == {}
    assert found.counts["not_comparable"] == 0
    in_value(made, 200, b'"steps":', b'"steps": ')
    assert wrong(await made.audit()) == {"different": 1}


async def test_a_fold_that_began_at_the_log_end_is_audited_from_there(model):
    """What it never folded is not missing."""
    settings = settings_of(auto_offset_reset="latest")
    records = records_of()
    log, store = MemoryLog(records[:100]), MemoryStore()
    await fold(model, settings, [], log=log, store=store)
    log.records[:] = records
    made = Folded(model, settings, await fold(model, settings, [], log=log, store=store))
    found = await made.audit()
    assert wrong(found) == {}
    assert found.counts["compared"] == len(made.predictions) > 100
    assert found.counts["not_comparable"] == 0
    made.predictions.pop(0)
    assert wrong(await made.audit()) == {"missing": 1}


async def test_dead_letters_name_the_origin_where_there_is_no_prediction(model):
    """Nothing below it was ever folded, whatever the group offset says of it."""
    settings = settings_of(auto_offset_reset="latest")
    records = [record(o, b"a", b"not json", BEGIN_MS + 1000 * o) for o in range(60)]
    log, store = MemoryLog(records[:20]), MemoryStore()
    await fold(model, settings, [], log=log, store=store)
    log.records[:] = records
    made = Folded(model, settings, await fold(model, settings, [], log=log, store=store))
    assert made.predictions == []
    for c in (made.c, GroupOffset(60), None):
        made.c = c
        found = await made.audit()
        assert wrong(found) == {}
        assert found.letters_compared == found.counts["dead_letters"] == 40
        assert found.is_fine("exactly_once")
    made.letters.pop(0)
    assert wrong(await made.audit()) == {"dead_letters_missing": 1}


# Memories that began before the range


async def at_from(made, first="100", **changed):
    """Audit from an offset on."""
    return await made.audit(first=first, **changed)


def first_of(made, offset, *, with_steps):
    """Return where the first prediction from an offset on stands whose steps are as they should."""
    return next(
        i
        for i, m in enumerate(made.predictions)
        if offset_of(m) >= offset and with_steps(orjson.loads(m.value)["steps"])
    )


async def test_a_later_begin_compares_what_was_forgotten_in_it(folded):
    """Before a key is forgotten its memory is older than the range; from there on it is compared."""
    found = await at_from(folded)
    assert wrong(found) == {}
    assert found.is_fine("exactly_once")
    assert found.counts["compared"] > 10
    assert found.why_not["began_before"] == found.counts["not_comparable"] > 10


UNSEEN = {
    "fewer steps than the replay has": lambda m, at: steps(m, at, -20),
    "one step less": lambda m, at: steps(m, at, -1),
    "one step more": lambda m, at: steps(m, at, 1),
    "more steps than there were offsets": lambda m, at: steps(m, at, 5000),
    "cold that does not fit": lambda m, at: in_value(m, at, b'"cold":false', b'"cold":true'),
    "another key": lambda m, at: replaced(m, at, key=b"z"),
    "another time": lambda m, at: in_value(m, at, b'"event_time_ms":1', b'"event_time_ms":2'),
    "another model": lambda m, at: in_value(m, at, b'"model":"', b'"model":"x'),
    "an output less": lambda m, at: in_value(m, at, b'"wait":', b'"await":'),
    "two copies that differ": lambda m, at: m.predictions.append(
        m.predictions[at]._replace(value=m.predictions[at].value + b" ")
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
async def test_what_is_wrong_whatever_the_memory_holds_is_found(folded, name):
    """Outputs cannot be compared there, all else can."""
    UNSEEN[name](folded, first_of(folded, 140, with_steps=lambda steps: steps > 21))
    found = await at_from(folded)
    assert found.counts["different"] == 1
    assert not found.is_fine("exactly_once")


@pytest.mark.parametrize(("by", "is_wrong"), [(0, False), (1, True), (-30, True)])
async def test_a_keys_first_steps_are_held_against_what_the_range_leaves_room_for(
    model, by, is_wrong
):
    """At most one for each offset before the range, and one at least; nothing else tells of them."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(30)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    steps(made, 29, by)
    found = await made.audit(first="29")  # its only event, and it had one at every offset before
    assert found.counts["different"] == is_wrong
    assert found.why_not["began_before"] == (not is_wrong)
    assert found.counts["compared"] == is_wrong


async def test_a_keys_second_event_cannot_be_its_first(model):
    """Where the first one's prediction is not there, the next one has two steps at least."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(30)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    del made.predictions[20]
    steps(made, 20, 1 - 22)
    in_value(made, 20, b'"cold":false', b'"cold":true')
    found = await made.audit(first="20")
    assert wrong(found)["different"] >= 1
    assert found.examples[0].offset == 21


async def test_a_memory_that_was_lost_is_found_in_a_later_begin(model):
    """Without a time to live steps never fall but by a forget."""
    settings = settings_of()
    records = records_of(forgets=False)
    whole = Folded(model, settings, await fold(model, settings, records))
    cold = await fold(model, settings, [r for r in records if r.offset >= 150])
    later = {offset_of(m): m for m in cold.predictions}
    whole.predictions = [
        with_header(later.get(offset_of(m), m), "sr-origin", b"0") for m in whole.predictions
    ]
    found = await at_from(whole)
    assert found.counts["different"] == len(later)


async def test_a_forget_that_production_did_not_obey_is_found(model):
    """After it both begin anew."""
    settings = settings_of()
    records = records_of()
    forgets = {r.offset: r.key for r in records if r.value is None and 100 <= r.offset < 200}
    made = Folded(model, settings, await fold(model, settings, [r for r in records if r.offset not in forgets]))  # fmt: skip
    made.records = records
    found = await at_from(made)
    assert found.counts["different"] > 5
    assert {e.key for e in found.examples} <= {key.decode() for key in forgets.values()}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("ttl", [None, 3.0, 20.0])
@pytest.mark.parametrize("gap", [(), range(120, 140)])
async def test_nothing_right_is_called_wrong(model, seed, ttl, gap):
    """Wherever the range begins, with keys that expire and times that go back."""
    settings = settings_of(state_ttl=ttl)
    draw = random.Random(seed)
    records = [
        r._replace(timestamp=r.timestamp + draw.randrange(-6000, 6000))
        for r in records_of(seed=seed)
    ]
    made = Folded(model, settings, await fold(model, settings, records, sizes=[30] * 8))
    made.predictions = [m for m in made.predictions if offset_of(m) not in gap]
    for first in (1, 60, 110, 180):
        found = await at_from(made, str(first))
        missing = sum(o in gap and o >= first for o in kinds(made)["event"])
        assert wrong(found) == ({"missing": missing} if missing else {})
        events = sum(o >= first for o in kinds(made)["event"])
        counts = found.counts
        assert counts["compared"] + counts["not_comparable"] + missing == events


@pytest.mark.parametrize("ttl", [None, 5.0])
async def test_a_step_that_fails_on_one_side_alone_is_no_fault(ttl):
    """Whether a step gives a finite number depends on a memory that is not in the range."""
    made = models.small("elman")
    broken = Model(made.spec, made.cell, copy.deepcopy(made.network))
    with torch.no_grad():
        for name, weights in broken.network.named_parameters():
            if name == "head.weight":
                weights.mul_(1e38).mul_(6)
            elif name == "cell.weight_hh_l0":
                weights.mul_(4)
    settings = settings_of(state_ttl=ttl)
    made = Folded(broken, settings, await fold(broken, settings, records_of()))
    codes = [dict(m.headers)["sr-error"] for m in made.letters]
    assert codes.count(b"step_not_finite") > 20
    assert (await made.audit()).is_fine("exactly_once")
    found = await at_from(made, "90")
    assert wrong(found) == {}
    assert found.why_not["began_before"] > 0


async def test_a_memory_that_lives_too_long_is_found_in_a_later_begin(model):
    """Stream time in the range has left it behind, so its key begins cold."""
    rare = {100, 150, 200}
    records = [
        record(o, b"b" if o in rare else b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o)
        for o in range(240)
    ]
    settings, forever = settings_of(state_ttl=30.0), settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    assert wrong(await at_from(made, "90")) == {}
    wrong_one = await fold(model, forever, records)
    fold_header = dict(made.predictions[0].headers)["sr-fold"]
    made.predictions = [with_header(m, "sr-fold", fold_header) for m in wrong_one.predictions]
    found = await at_from(made, "90")
    assert found.counts["different"] == 1
    made = Folded(model, forever, wrong_one)
    assert wrong(await at_from(made, "90")) == {}


async def test_a_cold_start_that_cannot_be_is_found_with_a_time_to_live(model):
    """A memory that went on bounds stream time at the begin: no other could have expired."""
    settings = settings_of(state_ttl=60.0)
    made = Folded(model, settings, await fold(model, settings, records_of(forgets=True)))
    forgotten = {r.key for r in made.records if r.value is None and r.offset > 20}
    at = max(i for i, m in enumerate(made.predictions) if m.key in forgotten)
    said = orjson.loads(made.predictions[at].value)["steps"]
    assert said > 1
    steps(made, at, 1 - said)
    in_value(made, at, b'"cold":false', b'"cold":true')
    found = await at_from(made, "20")  # nothing comes after it that could give it away
    assert wrong(found) == {"different": 1}


# Another kind of machine


def computed_elsewhere(message, *, is_named=True, by=b"1"):
    """Return a prediction as another build of torch would have computed it."""
    value = re.sub(rb'("value":-?\d+\.\d{4})\d*', rb"\g<1>" + by, message.value)
    if is_named:
        value = re.sub(rb'"numerics":"[^"]*"', b'"numerics":"old"', value)
    return message._replace(value=value)


async def test_a_memory_of_two_builds_is_compared_by_value(folded):
    """The new build says its own name, but what it steps was computed by the old one."""
    folded.predictions = [
        computed_elsewhere(m, is_named=offset_of(m) < 100) for m in folded.predictions
    ]
    found = await folded.audit()
    last_forgets = {r.key: r.offset for r in folded.records if r.value is None}
    pure = [m for m in folded.predictions if offset_of(m) > last_forgets.get(m.key, -1) >= 100]
    assert pure  # of the new build alone, so that its other digits are a fault
    assert 0 < found.counts["different"] < len(folded.predictions) - 90
    assert found.other_numerics >= 90
    for at, message in enumerate(folded.predictions):
        offset = offset_of(message)
        begun = max((r.offset for r in folded.records if r.value is None and r.key == message.key and r.offset < offset), default=-1)  # fmt: skip
        if begun >= 100:
            folded.predictions[at] = (await fold(folded.model, folded.settings, folded.records)).predictions[at]  # fmt: skip
    found = await folded.audit()
    assert wrong(found) == {}
    assert found.is_fine("exactly_once")
    in_value(folded, 150, b'"value":', b'"value":9')
    assert wrong(await folded.audit()) == {"different": 1}


async def test_a_memory_that_began_before_what_the_outputs_hold_is_compared_by_value(folded):
    """Nobody knows which machine published what retention has removed."""
    folded.starts["out"] = 50
    first = offset_of(folded.predictions[50])
    forgets = [(r.offset, r.key) for r in folded.records if r.value is None]

    def is_older(message) -> bool:
        begins = [o for o, key in forgets if key == message.key and o < offset_of(message)]
        return max(begins, default=-1) < first

    older = [at for at, m in enumerate(folded.predictions) if at >= 50 and is_older(m)]
    changed = 0
    for at in older:
        message = folded.predictions[at]
        folded.predictions[at] = computed_elsewhere(message, is_named=False)
        changed += folded.predictions[at] != message
    found = await folded.audit()
    assert found.is_fine("exactly_once")
    assert found.other_numerics == changed > 10
    younger = (at for at, m in enumerate(folded.predictions) if at >= 50 and not is_older(m))
    spoilt = {at: computed_elsewhere(folded.predictions[at], is_named=False) for at in younger}
    at = next(at for at, message in spoilt.items() if message != folded.predictions[at])
    folded.predictions[at] = spoilt[at]
    assert wrong(await folded.audit()) == {"different": 1}


@pytest.mark.parametrize("is_first", [False, True])
async def test_a_copy_of_another_machine_is_a_repeat_and_no_difference(folded, is_first):
    """Its digits may differ; what does not depend on the machine may not."""
    copy_of = computed_elsewhere(folded.predictions[40])
    folded.predictions.insert(40 if is_first else 41, copy_of)
    found = await folded.audit()
    assert wrong(found) == {"duplicated": 1}
    assert found.is_fine("at_least_once")
    at = 40 if is_first else 41
    replaced(folded, at, timestamp=1)
    assert wrong(await folded.audit()) == {"duplicated": 1, "different": 1}


async def test_other_digits_of_one_build_are_a_fault(folded):
    """Nothing of another machine is in the range: then bytes are demanded."""
    folded.predictions[100] = computed_elsewhere(folded.predictions[100], is_named=False)
    found = await folded.audit()
    assert wrong(found) == {"different": 1}
    assert found.other_numerics == 0
