"""What the other verbs say of a topic with two folds, with either bundle."""

import json

import pytest

from tests.integration.started_workers import PLACE, options
from tests.integration.streams import run

pytestmark = pytest.mark.timeout(300)


class Verbs:
    """Verbs of a person with one of the two bundles."""

    def __init__(self, person, bundle) -> None:
        place = [w for w in options(person.stream, *PLACE) if not w.startswith("--bundle=")]
        self.place = [*place, f"--bundle={bundle}"]

    async def say(self, *words, status=0) -> str:
        """Run a verb; return what it says."""
        return await run(*words, *self.place, status=status, within_s=120)

    async def positions(self) -> list[tuple[str, str, str | None]]:
        """Return what the doctor finds about the positions."""
        said = await self.say("doctor", "--json")
        rows = [json.loads(line) for line in said.splitlines()]
        return [
            (row["level"], row["said"], row["remedy"]) for row in rows if row["what"] == "position"
        ]


async def test_each_verb_says_which_fold_is_in_charge(person_of):
    """Running workers are fine, so is the bundle that is not in charge; after a finish it is not."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    said = await Verbs(person, stream.bundle).say("state", "show")
    assert "anchor -, fold of the group offset -, of the last output -" in said
    await person.begin()
    await person.verb("start", "--wait", bundle=person.new_bundle)
    await person.verb("promote", "--partitions=0", "--wait")
    of_old, of_new = Verbs(person, stream.bundle), Verbs(person, person.new_bundle)

    said = await of_old.say("state", "show")
    assert f"partition 0: fold {new} is in charge, by cut-over 1, and workers run it" in said
    assert "is the candidate: see stream-rnn rollout status" in said
    assert "partition 1: a worker would start at" in said
    said = await of_new.say("state", "show")
    assert "partition 0: a worker would start at" in said
    assert f"partition 1: fold {old} is in charge, since before the roll-out" in said
    assert [level for level, *_ in await of_old.positions()] == ["fine", "fine"]

    await person.verb("promote", "--wait")
    said = await of_old.say("state", "drop", "--yes", status=3)
    assert "has 1 running worker: stop them before dropping" in said
    await person.verb("finish")
    for level, detail, remedy in await of_old.positions():
        assert level == "warning"
        assert f"fold {new} is in charge, by cut-over" in detail
        assert f"the bundle of fold {new} as --bundle" in remedy
    assert f"fold {old}, of this bundle, is not folded" in await of_old.say("state", "show")
    assert [level for level, *_ in await of_new.positions()] == ["fine", "fine"]
    answer = json.loads(await of_old.say("state", "get", "a", "--json", status=1))
    assert f"a roll-out has put fold {new} in charge of {stream.settings.source}" in answer["note"]
    assert "give the bundle in charge as --bundle" in answer["note"]
    assert json.loads(await of_new.say("state", "get", "a", "--json"))["key"] == "a"


async def test_the_fold_that_was_dropped_is_folded_again_as_the_way_back(person_of):
    """The bundle in charge is given again, so the candidate is the workers' own fold."""
    person = await person_of()
    stream, (old, new) = person.stream, person.ids
    await person.promote_new()
    await person.verb("finish")
    rows = [line.split() for line in (await person.text("status")).splitlines()]
    assert [row[4:] for row in rows if row[0] in ("0", "1")] == 2 * [["-", "-", "-"]]
    said = await person.verb("abandon", bundle=stream.bundle, status=3)
    assert "nothing is lost: to go back, start a roll-out with the bundle that you want" in said

    (cost,) = await person.verb("start", "--wait", bundle=person.new_bundle)
    (status,) = await person.verb("status")
    assert cost["records"] == sum(p["group_offset"] - p["log_start"] for p in status["partitions"])
    assert cost["keys"] == sum(p["folds"][new]["keys"] for p in status["partitions"]) > 0
    assert all(p["folds"][old]["lag"] is not None for p in status["partitions"])
