"""The page: what it says of a running fold, what it refuses, and that nothing can be slipped into it."""

import asyncio
import re
import shutil
import subprocess
import time
from importlib.resources import files

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from stream_rnn.operate import prediction_sample
from stream_rnn.operate.dashboard import Dashboard
from stream_rnn.operate.dashboard_data import DashboardData, WorkerPoller
from stream_rnn.operate.open_fold import open_fold
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records

pytestmark = pytest.mark.timeout(120)
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def page(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a page of a fold with a worker that has folded some events."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(
        [*mixed_records(200, seed=41), (HOSTILE.encode(), {"x": 1.0, "kind": "A"})]
    )
    worker = ForkedWorker("worker", stream.options(health_address="127.0.0.1:0"), tmp_path)
    await stream.until_published()
    address = re.search(r"health address=(\S+)", worker.log.read_text())[1]
    wall = time.time  # noqa: TID251  # how late predictions are
    async with (
        open_fold(stream.settings) as fold,
        Dashboard(DashboardData(fold, [address], wall), 0) as dashboard,
    ):
        stream.address, stream.worker = dashboard.address, worker
        yield stream
    await asyncio.to_thread(worker.stop)


async def get(url, **headers):
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        text = await answer.text()
        return answer, (await answer.json() if answer.content_type == "application/json" else text)


async def test_it_says_where_partitions_stand_who_owns_them_and_what_is_predicted(page):
    """Positions are at the log end, the worker is ready, and new predictions have a latency."""
    async with asyncio.timeout(60):
        while True:  # only new predictions have a latency: send until it has seen some
            await page.produce(mixed_records(20, seed=42))
            await page.until_published()
            _, now = await get(page.address + "now")
            if now["latency_ms"] and now["workers"][0].get("ready") and now["outputs"]:
                break
    assert [row["partition"] for row in now["partitions"]] == [0, 1]
    for row in now["partitions"]:
        assert row["log_start"] <= row["origin"] <= row["position"] <= row["log_end"]
        assert row["owner"] == now["workers"][0]["address"]
        assert (row["torn"], row["silent"]) == (False, False)
    assert now["fold"]["app"] == page.settings.app
    assert now["workers"][0]["counters"]["events"] > 150
    assert now["workers"][0]["skips"]
    assert set(now["outputs"]) <= {"big", "wait", "next"}
    assert sum(now["outputs"]["big"]["counts"]) > 0

    await asyncio.to_thread(page.worker.stop)
    _, now = await get(page.address + "now")
    assert now["workers"] == [{"address": now["workers"][0]["address"], "live": False}]
    assert [row["owner"] for row in now["partitions"]] == [None, None]


async def test_it_shows_the_last_predictions_of_a_log_that_gets_no_new_ones(page):
    """All that are there, without a latency; no group and no worker notices."""
    async with asyncio.timeout(30):
        while not (now := (await get(page.address + "now"))[1])["sample"]["has_begun"]:
            await asyncio.sleep(0.1)
    topic = page.settings.predictions
    published = [one for p in (0, 1) for one in await page.outputs(topic, p)]
    assert now["sample"]["records"] == len(published) > 100
    assert sum(now["outputs"]["big"]["counts"]) == len(published)
    assert now["latency_ms"] is None
    admin = AIOKafkaAdminClient(bootstrap_servers=page.settings.bootstrap_servers)
    await admin.start()
    groups = [name for name, _ in await admin.list_consumer_groups() if page.settings.app in name]
    await admin.close()
    assert groups == [page.settings.app]


async def test_an_empty_topic_is_called_empty(page, create_topic):
    """The sample has begun and has no record, which is what the page says then."""
    empty = page.settings.replace(predictions=f"{page.settings.app}-empty")
    await create_topic(empty.predictions, 2)
    async with (
        open_fold(empty) as fold,
        Dashboard(DashboardData(fold, [], time.time), 0) as dashboard,  # noqa: TID251  # how late predictions are
    ):
        async with asyncio.timeout(30):
            while not (now := (await get(dashboard.address + "now"))[1])["sample"]["has_begun"]:
                await asyncio.sleep(0.1)
    assert now["sample"] == {"has_topic": True, "has_begun": True, "offsets": 0, "records": 0}
    assert now["outputs"] == {}


async def test_a_topic_of_aborted_records_is_not_called_empty(page, create_topic):
    """Nothing in it is committed, which the page says with the number of offsets."""
    aborted = page.settings.replace(predictions=f"{page.settings.app}-aborted")
    await create_topic(aborted.predictions, 2)
    producer = AIOKafkaProducer(
        bootstrap_servers=aborted.bootstrap_servers, transactional_id=aborted.predictions
    )
    async with producer:
        await producer.begin_transaction()
        for _ in range(3):
            await producer.send_and_wait(aborted.predictions, b"{}", partition=1)
        await producer.abort_transaction()
    async with open_fold(aborted) as fold:
        sampler = prediction_sample.Sampler(fold, time.time)  # noqa: TID251  # how late predictions are
        running = asyncio.create_task(sampler.run())
        async with asyncio.timeout(30):
            while not sampler.sample()["has_begun"]:
                await asyncio.sleep(0.05)
        running.cancel()
    assert (sampler.sample()["offsets"], sampler.sample()["records"]) == (4, 0)  # with the marker
    script = files("stream_rnn.operate").joinpath("page.js").read_text()
    assert "offsets of the predictions topic contain no committed record." in script


async def test_a_topic_that_does_not_exist_yet_is_awaited_in_silence(page, create_topic, caplog):
    """The page says so, a key without predictions is shown, and the sample begins with the topic."""
    missing = page.settings.replace(predictions=f"{page.settings.app}-missing")
    async with (
        open_fold(missing) as fold,
        Dashboard(DashboardData(fold, [], time.time), 0) as dashboard,  # noqa: TID251  # how late predictions are
    ):
        async with asyncio.timeout(10):
            while (now := (await get(dashboard.address + "now"))[1])["sample"]["has_topic"]:
                await asyncio.sleep(0.1)
            answer, key = await get(dashboard.address + "key?key=" + HOSTILE.replace("=", "%3D"))
        assert now["sample"] == {"has_topic": False, "has_begun": False, "offsets": 0, "records": 0}
        assert (answer.status, key["states"][0]["steps"], key["predictions"]) == (200, 1, [])
        assert [r for r in caplog.records if missing.predictions in r.getMessage()] == []
        await create_topic(missing.predictions, 2)
        async with asyncio.timeout(30):
            while not (await get(dashboard.address + "now"))[1]["sample"]["has_begun"]:
                await asyncio.sleep(0.1)


async def test_the_last_predictions_are_bounded(page, monkeypatch):
    """At most so many offsets of all partitions together, from the end."""
    monkeypatch.setattr(prediction_sample, "SAMPLES_MAX", 20)
    async with open_fold(page.settings) as fold:
        sampler = prediction_sample.Sampler(fold, time.time)  # noqa: TID251  # how late predictions are
        running = asyncio.create_task(sampler.run())
        async with asyncio.timeout(30):
            while not sampler.sample()["has_begun"]:
                await asyncio.sleep(0.05)
        running.cancel()
    assert 0 < sampler.sample()["records"] <= 20


async def test_a_key_is_looked_up_as_data(page):
    """Its state and last predictions come as JSON, whatever the key is; what is no key is 400."""
    answer, found = await get(page.address + "key?key=" + HOSTILE.replace("=", "%3D"))
    assert answer.content_type == "application/json"
    assert found["key"] == HOSTILE
    assert found["states"][0]["steps"] == 1
    assert len(found["states"][0]["hidden"]) == 8
    assert found["predictions"][0]["key"] == HOSTILE
    _, nothing = await get(page.address + "key?key=nobody")
    assert (nothing["states"], nothing["predictions"], nothing["similar"]) == ([], [], [])
    _, nothing = await get(page.address + "key?key=" + HOSTILE.upper().replace("=", "%3D"))
    (similar,) = nothing["similar"]
    assert similar.startswith(f"'{HOSTILE}' (in lower case) in partition ")
    long = "\u0416" * 2048  # 4,096 bytes, and three times as many characters in the address
    answer, nothing = await get(page.address + "key?key=" + long)
    assert (answer.status, nothing["states"]) == (200, [])
    for bad in ("", "base64:%21", "x" * 5000):
        answer, said = await get(page.address + "key?key=" + bad)
        assert answer.status == 400, said
        assert said["error"]


async def test_what_others_wrote_among_the_predictions_is_stepped_over(page):
    """No JSON, JSON that is no prediction: the key's own ones are still shown."""
    async with AIOKafkaProducer(bootstrap_servers=page.settings.bootstrap_servers) as producer:
        for value in (b"5", b'"x"', b"null", b'{"a":1}', b"not JSON"):
            for partition in (0, 1):
                await producer.send_and_wait(
                    page.settings.predictions, value, HOSTILE.encode(), partition
                )
    answer, found = await get(page.address + "key?key=" + HOSTILE.replace("=", "%3D"))
    assert answer.status == 200
    assert [one["key"] for one in found["predictions"]] == [HOSTILE]


async def test_only_this_machine_may_ask_and_nothing_comes_from_elsewhere(page):
    """Another host name is refused; the policy allows our own script alone; no other method."""
    answer, _ = await get(page.address, Host="evil.example")
    assert answer.status == 403
    for path, status in (("key?key=k", 403), ("now", 403), ("", 200)):
        answer, _ = await get(page.address + path, **{"Sec-Fetch-Site": "cross-site"})
        assert answer.status == status
    answer, text = await get(page.address)
    assert answer.headers["Content-Security-Policy"].startswith(
        "default-src 'none'; script-src 'self'"
    )
    assert "://" not in text
    async with aiohttp.ClientSession() as session, session.post(page.address + "now") as answer:
        assert answer.status == 405


def test_the_script_sets_text_and_no_markup():
    """Nothing in it parses what it gets as HTML or code."""
    script = files("stream_rnn.operate").joinpath("page.js").read_text()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way not in script
    assert set(re.findall(r"https?://[^\"]+", script)) == {"http://www.w3.org/2000/svg"}


def test_distributions_are_bounded():
    """Classes beyond the first are one, and numbers are in bins."""
    found = prediction_sample.distribution([f"c{n % 40}" for n in range(400)])
    assert len(found["labels"]) == 13
    assert sum(found["counts"]) == 400
    found = prediction_sample.distribution([0.1, 0.5, 0.9])
    assert (found["edges"][0], found["edges"][-1]) == (0.0, 1.0)
    assert sum(prediction_sample.distribution([5.0, 5.0])["counts"]) == 2


async def test_who_does_not_answer_is_left_out_unless_named():
    """The usual ports of this machine are only tried."""
    assert await WorkerPoller("nobody-has-this-name", []).poll() == []
    named = await WorkerPoller("a", ["http://127.0.0.1:1"]).poll()
    assert named == [{"address": "http://127.0.0.1:1", "live": False}]


@pytest.mark.tools
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: Debian's package")
async def test_a_real_browser_shows_it(page, tmp_path):
    """The table is drawn, without an error of the script or of the policy."""
    process = await asyncio.create_subprocess_exec(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/c",
        "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom", page.address,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    said = [line for line in err.decode().splitlines() if "CONSOLE" in line]
    assert said == []
    text = out.decode()
    assert text.count('class="scale"') == 2
    assert page.settings.app in text
