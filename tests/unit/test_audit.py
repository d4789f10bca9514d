"""The audit finds each kind of fault that is planted in the topics."""

import pytest

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
    steps,
)
from tests.memory_topics import offset_of, with_header


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
