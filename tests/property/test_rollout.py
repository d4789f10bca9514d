"""A roll-out on the real processors and recoveries, whatever happens between two calls."""

from dataclasses import replace

import pytest

from stream_rnn.fold import recovery
from stream_rnn.fold.facts import known_group_offset
from stream_rnn.rollout.candidate import CandidateSource
from stream_rnn.rollout.in_charge import InCharge
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import Plan
from tests.property.invariants import PLANS
from tests.property.rollout import World

PERSON = ["start", "promote", "promote", "promote"]
FAULTS = ["rebalance", "die", "lose_answer", "time_out"]
REDIS = ["lose_states", "lose_redis", "lose_plan", "back_up", "fall_back"]
LOSSES = ["lose_states"] * 3  # often while a promote is pending
KAFKA = ["lose_group_offset", "lose_group_offset_and_redis"]
RETENTION = ["overtake_candidate", "overtake_candidate", "lose_states"]
EVERYTHING = [*FAULTS, *REDIS, "start", "end_roll_out", "abandon"]
SEEDS, STEPS = 12, 400


def explore(delivery, faults, seeds=SEEDS, steps=STEPS, stops=None, **options) -> int:
    """Run worlds of some seeds; return the number of cut-overs, and add messages to ``stops``."""
    cut_overs = 0
    for seed in range(seeds):
        world = World(PLANS[seed % len(PLANS)], delivery, seed, [*PERSON, *faults], **options)
        try:
            world.run(steps)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        cut_overs += world.checker.cut_overs
        if stops is not None:
            stops += world.stops
    return cut_overs


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("faults", [[], FAULTS, LOSSES, EVERYTHING])
def test_a_roll_out_loses_and_doubles_nothing(delivery, faults):
    """Each offset has one answer, of the fold in charge, equal to its oracle's."""
    assert explore(delivery, faults) > 1


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize(
    "losses", [KAFKA, [*KAFKA, *REDIS, *PERSON], RETENTION, [*RETENTION, "overtake"]]
)
def test_what_kafka_loses_decides_nothing_silently(delivery, losses):
    """A lost group offset keeps the fold in charge; a removed history stops, or the candidate begins again."""
    assert explore(delivery, [*FAULTS, *losses, *PERSON], steps=2 * STEPS) > 1


@pytest.mark.parametrize("own", [(0, 1), (1, 1)])
def test_the_group_offset_and_not_a_workers_bundle_decides(own):
    """Workers that begin with the new bundle, one or all, change nothing once a cut-over is made."""
    assert explore("exactly_once", FAULTS, own=own) > 1


def test_a_request_for_any_origin_is_carried_out():
    """Also if Kafka or Redis forget: the origin is then that of the states."""
    assert explore("exactly_once", FAULTS, names_origins=False) > 1


def test_a_worker_without_the_bundle_stops():
    """It never takes the partition back without a word."""
    stops, lacks = [], frozenset({1})
    explore("exactly_once", FAULTS, lacks=lacks)
    explore("exactly_once", ["rebalance"], steps=3 * STEPS, stops=stops, lacks=lacks)
    assert stops
    assert all("has put the fold" in stop for stop in stops)


def test_a_candidate_takes_over_where_it_stands(monkeypatch):
    """Most cut-overs need no recovery; one from a fold that is silent does."""
    taken = []

    async def take_over(self, processor, offset):
        taken.append(is_taken := await before(self, processor, offset))
        return is_taken

    before = PartitionFolds._take_over
    monkeypatch.setattr(PartitionFolds, "_take_over", take_over)
    explore("at_least_once", LOSSES, 60)
    assert sum(taken) > len(taken) / 2
    assert not all(taken)


# Each of these mistakes must be found


def test_a_candidate_that_folds_what_is_not_published_is_found(monkeypatch):
    """Its position would be beyond the group offset."""

    def beyond(self, reader, published, *given):
        def ahead():
            known = published()
            return known._replace(offset=known.offset + 1) if known.offset >= 0 else known

        before(self, reader, ahead, *given)

    before = CandidateSource.__init__
    monkeypatch.setattr(CandidateSource, "__init__", beyond)
    with pytest.raises(AssertionError, match="is above"):
        explore("exactly_once", [])


def test_a_cut_over_without_a_number_is_found(monkeypatch):
    """The next owner would not know that the fold is in charge."""

    def without(facts):
        known = known_group_offset(facts)
        return known if known is None else replace(known, number=0)

    monkeypatch.setattr(recovery, "known_group_offset", without)
    with pytest.raises(AssertionError, match=r"nobody asked|two folds published"):
        explore("exactly_once", FAULTS, 60)


def test_a_request_that_is_carried_out_again_is_found(monkeypatch):
    """An older Redis may bring it back."""
    monkeypatch.setattr(Plan, "pending", lambda self, partition, _: self.requests.get(partition))
    with pytest.raises(AssertionError, match=r"nobody asked|no progress"):
        explore("exactly_once", ["back_up", "fall_back"])


def test_a_cut_over_at_the_position_is_found(monkeypatch):
    """The fold in charge may be behind the group offset, and would publish again."""
    at_position = property(lambda self: self.processor.position)
    monkeypatch.setattr(PartitionFolds, "published", at_position)
    with pytest.raises(AssertionError, match=r"went back|is not|published twice"):
        explore("exactly_once", LOSSES, 60)


def test_a_lost_group_offset_without_the_last_promote_is_found(monkeypatch):
    """A fold that was promoted, and has published nothing yet, would be replaced without a word."""

    async def without(self, facts, plan):
        del self, plan
        return facts

    monkeypatch.setattr(InCharge, "_with_promoted", without)
    with pytest.raises(AssertionError, match=r"is above|went back|nobody asked|no progress"):
        explore("exactly_once", [*KAFKA, *PERSON], 60)


def test_a_request_for_another_origin_that_is_carried_out_is_found(monkeypatch):
    """Retention has overtaken the candidate, whose memories begin later than the person saw."""

    def without(self, request, processor, *, is_near):
        return before(self, request.model_copy(update={"origin": None}), processor, is_near=is_near)

    before = PartitionFolds._can_carry_out
    monkeypatch.setattr(PartitionFolds, "_can_carry_out", without)
    with pytest.raises(AssertionError, match="the person saw another origin"):
        explore("exactly_once", [*RETENTION, *PERSON], 60)
