"""Workers over TLS with a client certificate, SCRAM, and exactly the rights of the run book."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_rnn.fold.output_batches import Message
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.kafka.connection import connection_options
from stream_rnn.settings import Settings
from stream_rnn.worker.shadow import ShadowTopic
from tests.forked import ForkedWorker
from tests.integration.secure_kafka import PASSWORD, SecureKafka
from tests.integration.streams import Stream, mixed_records, run

pytestmark = [pytest.mark.timeout(180), pytest.mark.integration]
BOOK = Path(__file__).parents[2] / "deploy" / "README.md"
if not BOOK.exists():
    pytest.skip("only a checkout has deploy/, the wheel has not", allow_module_level=True)
AT_ONCE = 3
ENDS_WITHIN_S = 60


def listed() -> list[tuple[str, str, bool, str]]:
    """Return the run book's rights of a worker: resource type, name, is it a prefix, operation."""
    text = BOOK.read_text(encoding="utf-8")
    table = text[text.index("| resource | operations |") :].split("\n\n")[0]
    found = []
    for line in table.splitlines()[2:]:
        resources, operations = (cell.strip() for cell in line.strip("|").split("|"))
        kind = resources.split()[0].rstrip("s")
        if kind == "cluster":
            continue  # of old brokers, as the line says
        names = re.findall(r"`([^`]+)`", resources)
        for operation in re.findall(r"\b[A-Z][A-Za-z]+\b", operations):
            found += [(kind, name, "prefix" in resources, operation) for name in names]
    return found


RIGHTS = listed()
SEEN = ["sees-source", "sees-group"]
"""Users that may only look, with Describe, where a worker must Read."""
SHADOWS = {"shadow": None, "shadow-no-write": "Write", "shadow-no-create": "Create"}
"""Users of a roll-out, each with the right that it lacks on the shadow topic."""
USERS = ["worker", *SEEN, *SHADOWS, *(f"without-{number}" for number in range(len(RIGHTS)))]


def of(app, rights):
    """Return rights with the names of an app's topics instead of the run book's."""
    names = {"flights": f"{app}-in", "delays": f"{app}-out", "departures": app}
    return [
        (kind, re.sub("|".join(names), lambda found: names[found[0]], name), prefix, operation)
        for kind, name, prefix, operation in rights
    ]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    """Return a broker that is ready."""
    with SecureKafka(tmp_path_factory.mktemp("certificates"), USERS) as broker:
        yield broker


class Secure(Stream):
    """A fold whose test goes by the plain listener, and whose workers and verbs by the other."""

    def __init__(self, app, kafka, user, redis_url, directory) -> None:
        super().__init__(app, kafka.bootstrap_servers, redis_url, directory)
        self.kafka, self.user = kafka, user

    def options(self, **more):
        given = {
            "bootstrap_servers": self.kafka.secure_servers,
            "kafka_config": self.kafka.client_config(self.directory / self.user, self.user),
        }
        return super().options(**{**given, **more})

    async def create(self, *topics) -> None:
        """Create topics of two partitions."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(name, 2, 1) for name in topics])
        await admin.close()

    async def send_foreign(self, *topics) -> None:
        """Put a record of somebody else into each partition."""
        async with AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap_servers) as producer:
            for topic in topics:
                for partition in range(2):
                    await producer.send_and_wait(topic, b"x", partition=partition)


async def ended(worker) -> tuple[int, str]:
    """Return a worker's exit status and its last error, or fail where it goes on."""
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            while worker.is_alive:
                await asyncio.sleep(0.1)
    except TimeoutError:
        await asyncio.to_thread(worker.kill)
        pytest.fail(f"it goes on:\n{worker.log.read_text()[-3000:]}")
    log = worker.log.read_text()
    assert PASSWORD not in log
    said = re.findall(r"CRITICAL stream_rnn\S+ (.*)", log)
    assert said, log[-3000:]
    return worker.exit_status, said[0]


async def test_a_worker_and_the_verbs_run_with_the_rights_of_the_run_book(
    kafka, app_id, redis_url, tmp_path
):
    """It makes its topics, publishes what the oracle says, and every verb that reads works."""
    stream = Secure(app_id, kafka, "worker", redis_url, tmp_path)
    await stream.create(stream.settings.source)
    await kafka.allow("worker", of(app_id, RIGHTS))
    await stream.produce(mixed_records(120, seed=61))
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published()
        names = ("app", "source", "predictions", "bundle", "bootstrap_servers", "kafka_config")
        place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]
        redis = f"--redis-url={redis_url}"
        await run("doctor", "--write", *place, redis)
        await run("state", "show", *place, redis)
        outputs = [o for o in place if o.startswith(("--predictions", "--bootstrap", "--kafka"))]
        await run("deadletters", "list", *outputs)
        assert '"missing":0' in await run("audit", "--json", *place)
    finally:
        status = await asyncio.to_thread(worker.stop)
    assert status == 0
    assert PASSWORD not in worker.log.read_text()
    assert await stream.compare() > 60


async def test_each_right_is_needed_and_named_when_it_is_gone(kafka, app_id, redis_url, tmp_path):
    """The worker ends with one line: which operation, on which resource."""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(number, missing) -> tuple[int, str]:
        app, user = f"{app_id}-{number}", f"without-{number}"
        (tmp_path / user).mkdir()
        stream = Secure(app, kafka, user, redis_url, tmp_path / user)
        outputs = (stream.settings.predictions, stream.settings.dead_letters_topic)
        await stream.create(stream.settings.source, *outputs if missing[3] != "Create" else ())
        if missing[3] != "Create":
            await stream.send_foreign(*outputs)
        await stream.produce(mixed_records(20, seed=62))
        await kafka.allow(user, of(app, [right for right in RIGHTS if right != missing]))
        async with at_once:
            return await ended(ForkedWorker("worker", stream.options(), tmp_path / user))

    assert len(RIGHTS) > 9
    said = await asyncio.gather(*(one(*numbered) for numbered in enumerate(RIGHTS)))
    wrong = []
    for number, (missing, (status, line)) in enumerate(zip(RIGHTS, said, strict=True)):
        ((_, name, _, operation),) = of(f"{app_id}-{number}", [missing])
        if status != 3 or operation not in line or name not in line:
            wrong.append((missing, status, line))
    assert not wrong


@pytest.mark.parametrize(("user", "kind"), [(SEEN[0], "topic"), (SEEN[1], "group")])
async def test_who_may_only_look_is_told_so_by_doctor_and_worker(
    kafka, app_id, redis_url, tmp_path, user, kind
):
    """Describe in place of Read: metadata look as if all were well."""
    stream = Secure(app_id, kafka, user, redis_url, tmp_path)
    outputs = (stream.settings.predictions, stream.settings.dead_letters_topic)
    await stream.create(stream.settings.source, *outputs)
    await stream.produce(mixed_records(20, seed=63))
    lacking = (kind, "flights" if kind == "topic" else "departures", False)
    rights = [(*right[:3], "Describe") if right[:3] == lacking and right[3] == "Read" else right for right in RIGHTS]  # fmt: skip
    assert rights != RIGHTS
    await kafka.allow(user, of(app_id, rights))
    name = stream.settings.source if kind == "topic" else app_id
    place = [f"--{n.replace('_', '-')}={v}" for n, v in stream.options().items()]
    said = await run("doctor", "--json", "--write", *place, status=1)
    bad = [one for one in map(json.loads, said.splitlines()) if one["level"] == "bad"]
    assert any(f"Read on {kind} {name}" in one["said"] for one in bad), bad
    status, line = await ended(ForkedWorker("worker", stream.options(), tmp_path))
    assert (status, f"Read on {kind} {name}" in line) == (3, True), line


@pytest.mark.parametrize(("user", "missing"), SHADOWS.items())
async def test_a_shadow_needs_the_rights_of_the_predictions(
    kafka, app_id, redis_url, tmp_path, user, missing
):
    """A candidate without one of them folds on; the report names it."""
    stream = Secure(app_id, kafka, user, redis_url, tmp_path)
    settings = Settings.build(**stream.options()).of_fold()
    await stream.create(settings.source, *[settings.shadow_topic] * (missing == "Write"))
    shadow = [(*right[:1], "delays.shadow", *right[2:]) for right in RIGHTS if right[1] == "delays"]
    assert len(shadow) == 4
    rights = [*RIGHTS, *(right for right in shadow if right[3] != missing)]
    await kafka.allow(user, of(app_id, rights))
    connection = connection_options(settings)
    async with KafkaCluster(connection, settings) as cluster:
        topic = ShadowTopic(cluster, connection, settings)
        await topic.publisher(1).publish([Message(b"k", b"1", -1, [])], [], None)
        problem = topic.problem
        await topic.close()
    if missing is None:
        assert not problem
        assert [r.value for r in await stream.outputs(settings.shadow_topic, 1)] == [b"1"]
    else:
        assert f"{missing} on topic {settings.shadow_topic}" in problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sasl_password": "wrong"}, "uthentication"),
        ({"ssl_keystore_location": None}, "closed"),  # all that TLS 1.3 lets the client know
        ({"ssl_truststore_location": None}, "certificate"),
    ],
)
async def test_wrong_papers_are_refused_in_one_line(
    kafka, app_id, redis_url, tmp_path, change, words
):
    """A wrong password, no client certificate, an authority that the worker does not know."""
    stream = Secure(app_id, kafka, "worker", redis_url, tmp_path)
    config = kafka.client_config(tmp_path / "changed", "worker", **change)
    options = stream.options(kafka_config=config, kafka_timeout_s=8)
    status, line = await ended(ForkedWorker("worker", options, tmp_path))
    assert (status, words in line) == (4, True), line


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT", "SASL_SSL"])
async def test_a_port_with_tls_and_a_client_without_or_the_reverse(kafka, tmp_path, protocol):
    """The broker closes the connection; the message names the protocol that differs."""
    config = Path(kafka.client_config(tmp_path / "client.properties", "worker"))
    text = config.read_text()
    if protocol == "SASL_SSL":
        address = kafka.bootstrap_servers
    else:
        address = kafka.secure_servers
        text = text.replace("SASL_SSL", protocol)
    config.write_text(text)
    options = ("--bootstrap-servers", address, f"--kafka-config={config}")
    said = await run("tail", "delays", *options, status=3)
    assert f"{address} closes the connection " in said, said
    has = "no TLS" if protocol == "SASL_SSL" else "TLS"
    assert f"the port may have {has} (security.protocol is {protocol})" in said
    assert PASSWORD not in said
