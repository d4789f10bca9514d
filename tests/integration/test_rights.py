"""The rights that deploy/README.md lists for Redis: enough for everything, and none too many."""

import asyncio
import re
import secrets
from importlib.resources import files
from pathlib import Path

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.operate.check_redis import check_rights
from stream_rnn.operate.check_result import Level
from stream_rnn.rollout.plan import FoldName, Plan
from stream_rnn.rollout.plan_store import BundleBytes
from stream_rnn.rollout.redis_plan_store import RedisPlanStore
from stream_rnn.rollout.worker_report import WorkerReport
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_schemas import RedisSchemas
from stream_rnn.store.redis_store import _SCRIPT_COMMANDS, RedisStore
from stream_rnn.store.server_checks import check_redis
from stream_rnn.store.state import Commit, FirstPosition
from tests.forked import ForkedWorker
from tests.integration.streams import Stream, mixed_records, run

pytestmark = pytest.mark.timeout(120)
BOOK = Path(__file__).parents[2] / "deploy" / "README.md"
if not BOOK.exists():
    pytest.skip("only a checkout has deploy/, the wheel has not", allow_module_level=True)


def listed() -> tuple[list[str], list[str], list[str]]:
    """Return what the run book gives a worker, an export, and the other verbs."""
    text = BOOK.read_text(encoding="utf-8")
    (line,) = re.findall(r"^ {4}user departures on (.*)$", text, re.MULTILINE)
    (more,) = re.findall(r"`state export` and `state import` also need `([^`]+)`", text)
    (size,) = re.findall(r"`state size` also needs `([^`]+)`", text)
    rules = [rule for rule in line.split() if rule.startswith("+")]
    (doctor,) = re.findall(r"`doctor` also needs `([^`]+)`", text)
    return rules, more.split(), [*size.split(), *doctor.split()]


WORKER, EXPORT, OTHERS = listed()
# Without them the client has no name on the server, and the worker warns that it cannot read the
# policy of eviction.
WISHES = {"+client|setinfo", "+client|setname", "+info"}


@pytest.fixture
async def user(redis_url):
    """Return a way to make a user with some rights on an app's keys; it returns the user's URL."""
    admin, made = connect_redis(redis_url, 5), []
    server = await admin.info("server")
    version = server.get("valkey_version", server["redis_version"])
    is_old = tuple(map(int, version.split(".")[:2])) < (7, 2)
    unknown = {"+client|setinfo"} if is_old else set()

    async def make(app, rights) -> str:
        name, password = f"u-{secrets.token_hex(4)}", secrets.token_hex(8)
        made.append(name)
        known = [right for right in rights if right not in unknown]
        rules = [f"~{{{app}:*", "resetchannels", "-@all", *known]
        await admin.script_flush()  # a script that is there already need not be loaded
        await admin.execute_command("ACL", "SETUSER", name, "on", f">{password}", *rules)
        return redis_url.replace("redis://", f"redis://{name}:{password}@")

    yield make
    await admin.execute_command("ACL", "DELUSER", *made)
    await admin.aclose()


def test_a_script_that_may_not_run_names_all_that_it_runs():
    """Redis before 7.2 does not say which command was refused."""
    lua = [files("stream_rnn.store").joinpath(f"{name}.lua").read_text() for name in ("commit", "seen", "start")]  # fmt: skip
    commands = {word for text in lua for word in re.findall(r"redis\.call\('([A-Z]+)'", text)}
    assert commands == set(re.findall(r"[A-Z]+", _SCRIPT_COMMANDS))


async def everything(url, app) -> None:
    """Do all that a worker does with Redis, on no Kafka."""
    redis = connect_redis(url, 5)
    try:
        await check_redis(redis, Settings.build(redis_url=url))
        store = RedisStore(redis, f"{app}:topic:0:fold", 5)
        await store.start(await store.read(), FirstPosition(0, 0, 1, "n"))
        await store.commit(Commit(0, 0, 5, None, 1, "n", [(b"a", b"x"), (b"b", b"y")], []))
        assert await store.load(5, 0, [b"a", b"b"]) == [b"x", b"y"]
        _, found = await store.scan(5, 0, 10)
        assert len(found) == 2
        await store.commit(Commit(5, 0, 6, None, 1, "n", [], [b"b"]))
        assert await store.drop() == 1
        plans = RedisPlanStore(redis, Settings.build(app=app, source="topic").of_fold(needs=()))
        assert await plans.read() is None
    finally:
        await redis.aclose()


async def test_a_worker_and_all_verbs_run_with_the_rights_of_the_run_book(
    user, app_id, bootstrap_servers, create_topic, tmp_path
):
    """The fold is the oracle's; the doctor, look-ups, export, import and size work."""
    url = await user(app_id, [*WORKER, *EXPORT, *OTHERS])
    stream = Stream(app_id, bootstrap_servers, url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(mixed_records(150, seed=51))
    worker = ForkedWorker("worker", stream.options(), tmp_path)
    try:
        await stream.until_published()
    finally:
        status = await asyncio.to_thread(worker.stop)
    assert status == 0
    names = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")
    place = [f"--{n.replace('_', '-')}={stream.options()[n]}" for n in names]
    path = str(tmp_path / "states")
    for verb in (["doctor"], ["state", "show"], ["state", "export", path], ["state", "size"],
                 ["state", "drop", "--yes"], ["state", "import", path]):  # fmt: skip
        await run(*verb, *place)
    assert await stream.compare() > 80


async def test_a_schema_registry_needs_one_more_right(user, app_id):
    """The schemas are kept with it, and without it the error names the command."""
    text = BOOK.read_text(encoding="utf-8")
    (more,) = re.findall(r"With a schema registry, add `([^`]+)`", text)
    settings = Settings.build(app=app_id, source="topic").of_fold(needs=())
    for rights in ([*WORKER, *more.split()], WORKER):
        redis = connect_redis(await user(app_id, rights), 5)
        kept = RedisSchemas(redis, settings)
        if rights is WORKER:
            for call in (kept.keep({"8": b"line"}), kept.check_right()):
                with pytest.raises(ConfigError, match=r"hsetnx.*; check redis_url and its ACL"):
                    await call
        else:
            await kept.check_right()
            assert await kept.read_all() == {}
            assert await kept.keep({"7": b"one"}) == await kept.keep({"7": b"other"})
            assert (await kept.get("7"), await kept.read_all()) == (b"one", {"7": b"one"})
            await kept.drop()
        await redis.aclose()


async def roll_out(url, app, source) -> None:
    """Do all that a roll-out does with Redis, besides what a fold does."""
    redis = connect_redis(url, 5)
    try:
        settings = Settings.build(app=app, source=source).of_fold(needs=())
        plans = RedisPlanStore(redis, settings)
        names = [FoldName(fold_id=12 * n, fingerprint=64 * n) for n in "ab"]
        assert await plans.write(None, Plan(folds=(names[0], names[1])))
        assert await plans.read() is not None
        assert not await plans.has_bundle(64 * "a")
        await plans.put_bundle(64 * "a", BundleBytes(b"a", b"b"))
        assert await plans.get_bundle(64 * "a") == (b"a", b"b")
        report = WorkerReport(version="1", own=names[0], loaded=())
        await plans.put_report("one", report, 60)
        assert await plans.get_reports(["one"]) == [report]
        store = RedisStore(redis, f"{app}:topic:0:fold", 5)
        await store.drop_seen(await store.read())
    finally:
        await redis.aclose()


async def test_a_roll_out_needs_what_the_run_book_adds(user, app_id):
    """All of it, and the error names what is missing."""
    given, asked = re.findall(
        r"A roll-out also needs `([^`]+)`, and who .* `([^`]+)`", BOOK.read_text()
    )[0]
    rights = [*given.split(), *asked.split()]
    assert len(rights) == 3
    await roll_out(await user(app_id, [*WORKER, *rights]), app_id, "all")
    for right in rights:
        url = await user(app_id, [*WORKER, *rights, f"-{right[1:]}"])
        with pytest.raises(ConfigError, match=rf"{right[1:]}.*; check redis_url and its ACL"):
            await roll_out(url, app_id, right[1:])


@pytest.mark.parametrize("right", [right for right in WORKER if right not in WISHES])
async def test_a_right_that_is_taken_away_is_named(user, app_id, right):
    """What remains is not enough, and the error says which command is missing."""
    url = await user(app_id, [r for r in WORKER if r != right])
    with pytest.raises(ConfigError) as raised:
        await everything(url, app_id)
    command = right.removeprefix("+").split("|")[0]
    assert command in str(raised.value).lower()
    assert "; check redis_url and its ACL" in str(raised.value)
    redis = connect_redis(url, 5)
    finding = await check_rights(RedisStore(redis, f"{app_id}:t:0:f", 5))
    await redis.aclose()
    is_loaded = right == "+script|load"  # a script that was loaded before needs it no more
    assert is_loaded or (finding.level, command in finding.said.lower()) == (Level.BAD, True)


async def test_another_apps_keys_are_out_of_reach(user, app_id):
    """The pattern holds the app's name and the colon after it."""
    url = await user(app_id, WORKER)
    await everything(url, app_id)
    with pytest.raises(ConfigError, match="refuses this user"):
        await everything(url, f"{app_id}x")
