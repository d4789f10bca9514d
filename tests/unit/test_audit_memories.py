"""Audits of a range that begins after the origin, and of outputs from another build of torch."""

import copy
import random
import re

import orjson
import pytest
import torch

from stream_rnn.model.network import Model
from stream_rnn.testing import record
from tests import models
from tests.audited import (
    BEGIN_MS,
    faults,
    in_value,
    kinds,
    records_of,
    replaced,
    settings_of,
    steps,
)
from tests.memory_topics import Folded, fold, offset_of, with_header


async def at_from(made, first="100", **changed):
    """Audit from an offset on."""
    return await made.audit(first=first, **changed)


def first_of(made, offset, *, with_steps):
    """Return the index of the first prediction from an offset on whose steps fulfil a condition."""
    return next(
        i
        for i, m in enumerate(made.predictions)
        if offset_of(m) >= offset and with_steps(orjson.loads(m.value)["steps"])
    )


async def test_a_later_begin_compares_what_was_forgotten_in_it(folded):
    """A key's outputs are compared from its first forget in the range on."""
    result = await at_from(folded)
    assert faults(result) == {}
    assert result.is_fine("exactly_once")
    assert result.counts["compared"] > 10
    assert result.why_not_comparable["began_before"] == result.counts["not_comparable"] > 10


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
    """Outputs cannot be compared there, but everything else can."""
    UNSEEN[name](folded, first_of(folded, 140, with_steps=lambda steps: steps > 21))
    result = await at_from(folded)
    assert result.counts["different"] == 1
    assert not result.is_fine("exactly_once")


@pytest.mark.parametrize(("by", "is_wrong"), [(0, False), (1, True), (-30, True)])
async def test_a_keys_first_steps_are_held_against_what_the_range_leaves_room_for(
    model, by, is_wrong
):
    """A key has at least one step, and at most one more for each offset before the range."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(30)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    steps(made, 29, by)
    result = await made.audit(first="29")  # its only event, and it had one at every offset before
    assert result.counts["different"] == is_wrong
    assert result.why_not_comparable["began_before"] == (not is_wrong)
    assert result.counts["compared"] == is_wrong


async def test_a_keys_second_event_cannot_be_its_first(model):
    """After an event without a prediction, the next event has at least two steps."""
    records = [record(o, b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o) for o in range(30)]
    settings = settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    del made.predictions[20]
    steps(made, 20, 1 - 22)
    in_value(made, 20, b'"cold":false', b'"cold":true')
    result = await made.audit(first="20")
    assert faults(result)["different"] >= 1
    assert result.examples[0].offset == 21


async def test_a_memory_that_was_lost_is_found_in_a_later_begin(model):
    """Without ``state_ttl``, steps fall only after a forget."""
    settings = settings_of()
    records = records_of(forgets=False)
    whole = Folded(model, settings, await fold(model, settings, records))
    cold = await fold(model, settings, [r for r in records if r.offset >= 150])
    later = {offset_of(m): m for m in cold.predictions}
    whole.predictions = [
        with_header(later.get(offset_of(m), m), "sr-origin", b"0") for m in whole.predictions
    ]
    result = await at_from(whole)
    assert result.counts["different"] == len(later)


async def test_a_forget_that_production_did_not_obey_is_found(model):
    """After a forget, the memories of production and of the replay are equal."""
    settings = settings_of()
    records = records_of()
    forgets = {r.offset: r.key for r in records if r.value is None and 100 <= r.offset < 200}
    made = Folded(model, settings, await fold(model, settings, [r for r in records if r.offset not in forgets]))  # fmt: skip
    made.records = records
    result = await at_from(made)
    assert result.counts["different"] > 5
    assert {e.key for e in result.examples} <= {key.decode() for key in forgets.values()}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("ttl", [None, 3.0, 20.0])
@pytest.mark.parametrize("gap", [(), range(120, 140)])
async def test_nothing_right_is_called_wrong(model, seed, ttl, gap):
    """The range may begin anywhere, keys may expire, and times may go back."""
    settings = settings_of(state_ttl=ttl)
    draw = random.Random(seed)
    records = [
        r._replace(timestamp=r.timestamp + draw.randrange(-6000, 6000))
        for r in records_of(seed=seed)
    ]
    made = Folded(model, settings, await fold(model, settings, records, sizes=[30] * 8))
    made.predictions = [m for m in made.predictions if offset_of(m) not in gap]
    for first in (1, 60, 110, 180):
        result = await at_from(made, str(first))
        missing = sum(o in gap and o >= first for o in kinds(made)["event"])
        assert faults(result) == ({"missing": missing} if missing else {})
        events = sum(o >= first for o in kinds(made)["event"])
        counts = result.counts
        assert counts["compared"] + counts["not_comparable"] + missing == events


@pytest.mark.parametrize("ttl", [None, 5.0])
async def test_a_step_that_fails_on_one_side_alone_is_no_fault(ttl):
    """Whether a step is finite depends on a memory from before the range."""
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
    result = await at_from(made, "90")
    assert faults(result) == {}
    assert result.why_not_comparable["began_before"] > 0


async def test_a_memory_that_lives_too_long_is_found_in_a_later_begin(model):
    """Stream time in the range has expired the memory, so its key must begin cold."""
    rare = {100, 150, 200}
    records = [
        record(o, b"b" if o in rare else b"a", {"x": 0.5, "kind": "A"}, BEGIN_MS + 1000 * o)
        for o in range(240)
    ]
    settings, forever = settings_of(state_ttl=30.0), settings_of()
    made = Folded(model, settings, await fold(model, settings, records))
    assert faults(await at_from(made, "90")) == {}
    wrong_one = await fold(model, forever, records)
    fold_header = dict(made.predictions[0].headers)["sr-fold"]
    made.predictions = [with_header(m, "sr-fold", fold_header) for m in wrong_one.predictions]
    result = await at_from(made, "90")
    assert result.counts["different"] == 1
    made = Folded(model, forever, wrong_one)
    assert faults(await at_from(made, "90")) == {}


async def test_a_cold_start_that_cannot_be_is_found_with_a_time_to_live(model):
    """A memory that continued bounds stream time, so that no other memory can have expired."""
    settings = settings_of(state_ttl=60.0)
    made = Folded(model, settings, await fold(model, settings, records_of(forgets=True)))
    forgotten = {r.key for r in made.records if r.value is None and r.offset > 20}
    at = max(i for i, m in enumerate(made.predictions) if m.key in forgotten)
    said = orjson.loads(made.predictions[at].value)["steps"]
    assert said > 1
    steps(made, at, 1 - said)
    in_value(made, at, b'"cold":false', b'"cold":true')
    result = await at_from(made, "20")  # nothing comes after it that could give it away
    assert faults(result) == {"different": 1}


def computed_elsewhere(message, *, is_named=True, by=b"1"):
    """Return a prediction as another build of torch would have computed it."""
    value = re.sub(rb'("value":-?\d+\.\d{4})\d*', rb"\g<1>" + by, message.value)
    if is_named:
        value = re.sub(rb'"numerics":"[^"]*"', b'"numerics":"old"', value)
    return message._replace(value=value)


async def test_a_memory_of_two_builds_is_compared_by_value(folded):
    """The new build names itself, but steps memories that the old build computed."""
    folded.predictions = [
        computed_elsewhere(m, is_named=offset_of(m) < 100) for m in folded.predictions
    ]
    result = await folded.audit()
    last_forgets = {r.key: r.offset for r in folded.records if r.value is None}
    pure = [m for m in folded.predictions if offset_of(m) > last_forgets.get(m.key, -1) >= 100]
    assert pure  # of the new build alone, so that its other digits are a fault
    assert 0 < result.counts["different"] < len(folded.predictions) - 90
    assert result.other_numerics >= 90
    for at, message in enumerate(folded.predictions):
        offset = offset_of(message)
        begun = max((r.offset for r in folded.records if r.value is None and r.key == message.key and r.offset < offset), default=-1)  # fmt: skip
        if begun >= 100:
            folded.predictions[at] = (await fold(folded.model, folded.settings, folded.records)).predictions[at]  # fmt: skip
    result = await folded.audit()
    assert faults(result) == {}
    assert result.is_fine("exactly_once")
    in_value(folded, 150, b'"value":', b'"value":9')
    assert faults(await folded.audit()) == {"different": 1}


async def test_a_memory_that_began_before_what_the_outputs_hold_is_compared_by_value(folded):
    """The numerics of removed predictions are unknown."""
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
    result = await folded.audit()
    assert result.is_fine("exactly_once")
    assert result.other_numerics == changed > 10
    younger = (at for at, m in enumerate(folded.predictions) if at >= 50 and not is_older(m))
    spoilt = {at: computed_elsewhere(folded.predictions[at], is_named=False) for at in younger}
    at = next(at for at, message in spoilt.items() if message != folded.predictions[at])
    folded.predictions[at] = spoilt[at]
    assert faults(await folded.audit()) == {"different": 1}


@pytest.mark.parametrize("is_first", [False, True])
async def test_a_copy_of_another_machine_is_a_repeat_and_no_difference(folded, is_first):
    """Its digits may differ; fields that do not depend on the machine may not."""
    copy_of = computed_elsewhere(folded.predictions[40])
    folded.predictions.insert(40 if is_first else 41, copy_of)
    result = await folded.audit()
    assert faults(result) == {"duplicated": 1}
    assert result.is_fine("at_least_once")
    at = 40 if is_first else 41
    replaced(folded, at, timestamp=1)
    assert faults(await folded.audit()) == {"duplicated": 1, "different": 1}


async def test_other_digits_of_one_build_are_a_fault(folded):
    """Without other numerics in the range, bytes must be equal."""
    folded.predictions[100] = computed_elsewhere(folded.predictions[100], is_named=False)
    result = await folded.audit()
    assert faults(result) == {"different": 1}
    assert result.other_numerics == 0


async def test_a_deletion_begins_a_memory_that_is_compared():
    """A forget with a value counts as one with a null value; filtered records have no output."""
    model, settings, draw = models.enveloped(), settings_of(), random.Random(3)
    records = []
    for offset in range(240):
        op, table = draw.choice("uuuuud"), draw.choice(["orders", "orders", "customers"])
        after = None if op == "d" else {"amount": str(draw.uniform(-2, 2)), "order.kind": "A"}
        inner = {"op": op, "after": after, "source": {"table": table}, "ts_us": 1000 * BEGIN_MS}
        key = bytes([draw.choice(b"abcdef")])
        records.append(record(offset, key, {"payload": inner}, BEGIN_MS + 1000 * offset))
    made = Folded(model, settings, await fold(model, settings, records))

    whole, part = await made.audit(), await at_from(made)

    assert faults(whole) == faults(part) == {}
    assert whole.counts["compared"] == len(made.predictions)
    assert (whole.filtered, part.filtered) == (
        sum(b"customers" in r.value for r in records),
        sum(b"customers" in r.value for r in records[100:]),
    )
    first_forgets: dict[bytes, int] = {}
    for one in records[100:]:
        if b'"op": "d"' in one.value and b"orders" in one.value:
            first_forgets.setdefault(one.key, one.offset)
    known = [m for m in made.predictions if offset_of(m) > first_forgets.get(m.key, 1000)]
    assert part.counts["compared"] == len(known) > 40
    assert part.counts["not_comparable"] > 0
