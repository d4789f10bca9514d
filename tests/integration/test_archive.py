"""An export is a fold as of one commit, however many come meanwhile; an import is that fold or nothing."""

import json

import pytest

from stream_rnn.errors import ConfigError, CorruptStateError
from stream_rnn.fold.fold_id import fold_id, store_tag
from stream_rnn.operate import archive
from stream_rnn.operate import key_states as states
from stream_rnn.operate.open_fold import open_fold
from stream_rnn.store.connection import connect_redis
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.state import Commit, FirstPosition, StateCodec, States, StoredPosition
from tests.integration.streams import Stream, run

KEYS = 4 * archive.CHUNK_STATES
PLACE = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url")


@pytest.fixture
async def made(app_id, bootstrap_servers, redis_url, create_topic, tmp_path):
    """Return a fold of one partition without workers, and the store of that partition."""
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 1)
    redis = connect_redis(redis_url, 5)
    identity = fold_id(stream.model.fingerprint, stream.settings)
    stream.store = RedisStore(redis, store_tag(app_id, stream.settings.source, 0, identity), 5)
    yield stream
    await redis.aclose()


class Generations:
    """Commits that write every key again, so that all states of one commit are alike."""

    def __init__(self, made, keys=KEYS) -> None:
        self._made = made
        self.keys = [b"key-%d" % number for number in range(keys)]
        self.position = 0

    async def begin(self) -> None:
        """Write the first position."""
        await self._made.store.start(StoredPosition(), FirstPosition(0, 0, 1, "abcd"))

    async def one(self) -> None:
        """Write all states with the number of the commit as their steps."""
        import numpy as np

        count, size = len(self.keys), self._made.model.hidden_size_floats
        steps = np.full(count, self.position + 1, np.uint32)
        states = States(steps, steps.astype(np.int64), np.zeros((count, size), np.float32))
        encoded = StateCodec(size).encode(states)
        writes = list(zip(self.keys, encoded, strict=True))
        commit = Commit(self.position, 0, self.position + 1, None, None, "abcd", writes, [])
        await self._made.store.commit(commit)
        self.position += 1


def parts(path):
    """Read an export: the position and the steps of each state, by key."""
    with path.open("rb") as file:
        file.seek(len(archive.MAGIC))
        archive._read_line(file, path)
        part = archive._read_header(file, path)
        states = dict(archive._read_states(file, part.keys, path))
    steps = {key: int.from_bytes(state[4:8], "little") for key, state in states.items()}
    return int(part.position["position"]), steps


async def test_all_states_of_an_export_are_of_one_commit(made, tmp_path, monkeypatch):
    """A commit comes before each of its chunks; none of them is seen in part."""
    generations = Generations(made)
    await generations.begin()
    await generations.one()
    path, chunks = tmp_path / "a.states", []

    async with open_fold(made.settings) as fold:
        redis = fold.places[0].store.redis
        scan = redis.hscan

        async def scan_after_a_commit(*arguments, **options):
            await generations.one()
            return await scan(*arguments, **options)

        monkeypatch.setattr(redis, "hscan", scan_after_a_commit)
        await archive.export(fold, path, chunks.append)
    position, steps = parts(path)
    assert generations.position > position + 2
    assert len([count for count in chunks if count]) > 2
    assert set(steps) == set(generations.keys)
    assert set(steps.values()) == {position}
    assert path.stat().st_mode & 0o077 == 0


async def test_a_state_whose_bytes_are_wrong_is_found_for_erasing(made):
    """It cannot be shown, but it is somebody's."""
    generations = Generations(made, 3)
    await generations.begin()
    await generations.one()
    await made.store.redis.hset(made.store.hidden_key, b"key-1", b"1234")
    async with open_fold(made.settings) as fold:
        with pytest.raises(CorruptStateError):
            await states.find_states(fold, b"key-1")
        assert await states.find_partitions(fold, b"key-1") == [0]
        assert await states.find_partitions(fold, b"key-9") == []


async def test_an_export_that_fails_leaves_no_copy(made, tmp_path, monkeypatch):
    """Neither in Redis nor in the directory."""
    generations = Generations(made, 10)
    await generations.begin()
    await generations.one()

    async def fails(*_arguments) -> None:
        raise ConfigError("the disk is full")

    monkeypatch.setattr(archive, "_write_states", fails)
    async with open_fold(made.settings) as fold:
        with pytest.raises(ConfigError, match="full"):
            await archive.export(fold, tmp_path / "a.states", lambda _count: None)
    names = [key async for key in made.store.redis.scan_iter(f"{{{made.settings.app}:*")]
    assert len(names) == 2
    assert list(tmp_path.glob("*.states*")) == []


async def test_an_export_does_not_overwrite_what_came_meanwhile(made, tmp_path):
    """It takes long; a file that is somebody's stays."""
    generations, path = Generations(made, 10), tmp_path / "a.states"
    await generations.begin()
    await generations.one()
    async with open_fold(made.settings) as fold:
        with pytest.raises(ConfigError, match="is not the export of an earlier run"):
            await archive.export(fold, path, lambda _count: path.write_text("mine"))
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.glob("*.states*")] == ["a.states"]


async def test_an_import_refuses_another_fold_and_one_that_moved(made, create_topic, tmp_path):
    """Another source, another number of partitions, a worker that commits meanwhile."""
    generations = Generations(made, 10)
    await generations.begin()
    await generations.one()
    path = tmp_path / "a.states"
    options = {name: f"--{name.replace('_', '-')}={made.options()[name]}" for name in PLACE}
    await run("state", "export", str(path), *options.values())
    other = f"{made.settings.app}-other"
    await create_topic(other, 1)
    elsewhere = {**options, "source": f"--source={other}"}
    await run("state", "import", str(path), *elsewhere.values(), status=3)
    file = path.read_bytes()
    about = json.loads(file.split(b"\n")[1])
    assert about["partitions"] == 1

    # Redis holds more than the file; the swap is refused if a commit came after the look.
    async with open_fold(made.settings) as fold:
        seen = await fold.places[0].store.read()
        await generations.one()
        saved = f"{fold.places[0].store.hidden_key}:import-test"
        await made.store.redis.hset(saved, mapping={b"a": b"1"})
        with pytest.raises(ConfigError, match="a worker wrote to it at the same time"):
            await archive._swap(fold.places[0].store, seen, saved, 1, {"position": "1"})
        await made.store.redis.unlink(saved)
    assert (await made.store.read()).position == generations.position
