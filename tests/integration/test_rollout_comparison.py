"""The comparison of the folds of a roll-out on real topics: what it reads, and what it prints."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn import compare_rollout
from stream_rnn.errors import ConfigError
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.model.bundle import save_bundle
from stream_rnn.store.connection import connect_redis
from tests import models, oracle
from tests.integration.rollout_person import Person, RollOut
from tests.integration.started_workers import PLACE, options
from tests.integration.streams import mixed_records, run
from tests.rollout_pairs import Pair
from tests.unit.report_pages import Page

pytestmark = pytest.mark.timeout(240)

LABELLED = {
    **models.SPEC,
    "heads": [
        *models.SPEC["heads"],
        {"name": "late", "kind": "binary", "of": "label", "path": "late"},
    ],
}


class Published(RollOut):
    """A roll-out whose predictions a test publishes, as two workers would."""

    NEW = models.of(LABELLED, seed=11)

    async def publish(self, records) -> None:
        """Produce records, and publish the predictions of both folds for all that is there.

        The old fold is in charge.  Its predictions are published in transactions, whose markers
        take offsets.
        """
        await self.stream.produce(records)
        self.pairs = [
            await Pair.of(
                self.models, await self.stream.source(partition), self.settings, partition
            )
            for partition in (0, 1)
        ]
        for number, topic in enumerate((self.settings.predictions, self.settings.shadow_topic)):
            await self.send(topic, number)

    async def send(self, topic, number) -> None:
        """Send the predictions of one fold."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.settings.bootstrap_servers,
            transactional_id=f"{topic}-test",
        )
        await producer.start()
        try:
            for partition, pair in enumerate(self.pairs):
                messages = pair.logs[number].predictions
                for at in range(0, len(messages), 7):
                    async with producer.transaction():
                        for one in messages[at : at + 7]:
                            await producer.send(
                                topic,
                                one.value,
                                one.key,
                                partition,
                                timestamp_ms=one.timestamp,
                                headers=one.headers,
                            )
        finally:
            await producer.stop()

    def words(self, *more) -> list[str]:
        """Return the options of the verbs."""
        place = [w for w in options(self.stream, *PLACE) if not w.startswith("--bundle=")]
        return [*place, *more]

    async def verb(self, *words, status=0):
        """Run a verb of the roll-out with ``--json``; return its object, or what it says."""
        said = await run("rollout", *words, *self.words("--json"), status=status, within_s=120)
        return json.loads(said) if status < 2 else said

    def joined(self):
        """Join everything without Kafka."""
        return [
            pair.join(origins=(None, None), partition=partition)
            for partition, pair in enumerate(self.pairs)
        ]


@pytest.fixture
async def person(stream, create_topic, redis_url, tmp_path):
    """A roll-out of two bundles with a label, its topics, and 400 predicted records."""
    save_bundle(models.of(LABELLED), tmp_path / "bundle")
    made = await stream()
    redis = connect_redis(redis_url, 5)
    async with KafkaCluster.of(made.settings) as cluster:
        person = Published(made, tmp_path, redis, cluster)
        await create_topic(person.settings.predictions, 2)
        yield person
    await redis.aclose()


async def test_both_topics_are_joined_and_the_page_is_written(person, create_topic, tmp_path):
    """The figures are those of everything that was published; targets come from the source."""
    await create_topic(person.settings.shadow_topic, 2)
    await person.publish(mixed_records(400, seed=1))
    await person.start()
    joined = person.joined()
    out = tmp_path / "rollout.html"
    found = await person.verb("report", f"--out={out}", "--threshold=0.45")
    assert found["events"] == sum(len(one.joined) for one in joined) > 250
    assert [one["joined"] for one in found["ranges"]] == [len(one.joined) for one in joined]
    assert found["heads"].keys() == {"big", "wait", "next", "late"}
    for name, head in found["heads"].items():
        known = sum(
            int((values[name] == values[name]).sum())
            for values in (p.targets(j) for p, j in zip(person.pairs, joined, strict=True))
        )
        assert head["scored"] == known
        assert (known > 200) != (name == "late")
        assert bool(head["metrics"]) != (name == "late")
    page = Page(out.read_text("utf-8"))
    assert page.ids[:4] == ["top", "contents", "data", "overview"]
    for words in ("Roll-out of", "decisions differ", "Keys that differ most", "No target is known"):
        assert words in page.text

    status = await person.verb("status", "--compare", "--threshold=big=0.45", "--max=100")
    part = status["comparison"]
    assert 60 <= part["events"] <= 100  # half of it for each partition
    for one, whole in zip(part["ranges"], joined, strict=True):
        assert one["last"] == whole.last
        assert one["first"] > whole.first
        assert one["only_old"] == one["only_new"] == 0
    text = await run("rollout", "status", "--compare", *person.words(), within_s=120)
    assert "events of" in text
    assert "big: " in text


async def test_labels_and_times_choose_what_is_scored(person, create_topic, tmp_path):
    """A labels file gives the head of labels its targets; --from drops what is older."""
    await create_topic(person.settings.shadow_topic, 2)
    await person.publish(mixed_records(200, seed=1))
    await person.start()
    joined = person.joined()
    labels = tmp_path / "labels.csv"
    places = [(one.partition, o) for one in joined for o in one.joined]
    labels.write_text(
        "partition,offset,late\n"
        + "".join(f"{p},{o},{'true' if o % 3 else 'false'}\n" for p, o in places)
    )
    settings = person.stream.settings
    found = await asyncio.to_thread(compare_rollout, settings=settings, labels=labels)
    late = found.comparison.heads["late"]
    assert late.scored == len(places)
    assert found.to_polars().filter(head="late", metric="auc")["events"].to_list() == [len(places)]
    assert "late: mean difference" in repr(found)
    assert "<iframe" in found._repr_html_()
    cut_ms = person.pairs[0].logs[0].records[-40].timestamp
    since = datetime.fromtimestamp(cut_ms / 1000, UTC).isoformat()
    part = await asyncio.to_thread(compare_rollout, settings=settings, since=since)
    assert 0 < part.comparison.events < found.comparison.events
    with pytest.raises(ConfigError, match="--from '12' is no ISO 8601 time"):
        await asyncio.to_thread(compare_rollout, settings=settings, since="12")
    labels.write_text("offset,late\n3,true\n")
    with pytest.raises(ConfigError, match="no column partition"):
        await asyncio.to_thread(compare_rollout, settings=settings, labels=labels)


async def test_what_cannot_be_compared_is_said_in_one_sentence(person, create_topic, tmp_path):
    """No plan, no shadow topic, and a shadow topic without the candidate."""
    out = f"--out={tmp_path / 'page.html'}"
    assert "no plan of a roll-out" in await person.verb("report", out, status=3)
    await person.start()
    said = await person.verb("report", out, status=3)
    assert (
        f"the shadow topic {person.settings.shadow_topic} does not exist: workers create it" in said
    )
    status = await person.verb("status", "--compare", status=1)
    assert status["comparison"] is None
    assert said.strip().removeprefix("stream-rnn: ") == status["not_compared"]
    await create_topic(person.settings.shadow_topic, 2)
    said = await person.verb("report", out, status=3)
    assert f"{person.settings.shadow_topic} has none of the candidate" in said
    assert "it has not begun" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()
    (tmp_path / "page.html").write_text("mine")
    assert "is not the report of an earlier run" in await person.verb("report", out, status=3)


async def test_ctrl_c_ends_a_comparison_without_a_traceback(person, create_topic, tmp_path):
    """The page of an earlier run stays."""
    await create_topic(person.settings.shadow_topic, 2)
    await person.publish(mixed_records(200, seed=1))
    await person.start()
    words = ["rollout", "report", f"--out={tmp_path / 'p.html'}", *person.words()]
    code = (
        "import sys, os, signal\n"
        "from stream_rnn.operate import rollout_predictions as module\n"
        "read = module._last_records\n"
        "def interrupted(*arguments):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return read(*arguments)\n"
        "module._last_records = interrupted\n"
        "from stream_rnn.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "\n")
    assert not (tmp_path / "p.html").exists()


async def test_a_roll_out_is_compared_before_and_after_the_promote(stream, redis_url, tmp_path):
    """What workers publish is joined across the cut-over, and equals what each bundle predicts."""
    redis = connect_redis(redis_url, 5)
    made = await stream()
    await made.produce(mixed_records(200, seed=1))
    async with KafkaCluster.of(made.settings) as cluster:
        person = Person(made, tmp_path, redis, cluster)
        worker = made.start("one")
        await made.until_published(worker=worker)
        await person.until_reported()
        await person.verb("start", "--wait", bundle=person.new_bundle)
        await person.publish(2, worker)
        before = await compared(person, tmp_path)
        await person.verb("promote", "--wait")
        await person.publish(3, worker)
        after = await compared(person, tmp_path)
        assert after["events"] > before["events"] > 50
        for one, later in zip(before["ranges"], after["ranges"], strict=True):
            assert one["first"] == later["first"]
            assert one["last"] < later["last"]
            assert later["only_old"] == later["only_new"] == 0
        (status,) = await person.verb("status", "--compare")
        assert status["comparison"] == after
    await redis.aclose()


async def compared(person, directory):
    """Wait until both folds have published all; compare them, and hold that against the oracle."""
    ends = []
    for partition in (0, 1):
        records = await person.stream.source(partition)
        truth = oracle.fold(
            person.models[0], person.settings, records, person.settings.source, partition
        )
        ends.append(max(truth.predictions))
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(AssertionError, ValueError):
            (found,) = await person.verb("report", f"--out={directory / 'page.html'}")
            if [one["last"] for one in found["ranges"]] == ends:
                break
        assert time.monotonic() < deadline, "the candidate does not publish all"
    gaps = []
    for partition, one in enumerate(found["ranges"]):
        records = await person.stream.source(partition)
        old, new = (
            oracle.fold(m, person.settings, records, person.settings.source, partition).predictions
            for m in person.models
        )
        offsets = [offset for offset in old if one["first"] <= offset <= one["last"]]
        assert one["joined"] == len(offsets)
        gaps += [
            abs(old[o]["outputs"]["big"]["probability"] - new[o]["outputs"]["big"]["probability"])
            for o in offsets
        ]
    differences = found["heads"]["big"]["differences"]
    assert differences["mean"] == pytest.approx(sum(gaps) / len(gaps), rel=1e-5)
    assert differences["largest"] == pytest.approx(max(gaps), rel=1e-5)
    return found
