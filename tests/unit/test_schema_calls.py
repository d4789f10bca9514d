"""What a worker does with an id that the registry does not know, or not yet."""

import io
import json

import fastavro
import pytest

from stream_rnn.errors import UnavailableError
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.schema_calls import UNKNOWN_AFTER_S, SchemaCalls
from stream_rnn.fold.store_calls import StoreCalls
from stream_rnn.settings import Settings
from stream_rnn.store.memory_store import MemoryStore
from tests import models

SCHEMA = {
    "type": "record",
    "name": "Event",
    "fields": [{"name": "x", "type": "double"}, {"name": "kind", "type": "string"}],
}


class KeptInMemory:
    """Schemas in memory, with the contract of those in Redis."""

    def __init__(self, key, lines=()):
        self.key, self.lines = key, dict(lines)

    async def get(self, schema_id):
        """Return a line."""
        return self.lines.get(schema_id)

    async def keep(self, lines):
        """Write lines."""
        self.lines = {**lines, **self.lines}
        return {schema_id: self.lines[schema_id] for schema_id in lines}


class Clock:
    """A clock that only waits move; ``after`` is called once it has passed some seconds."""

    def __init__(self, after_s=1e9, after=lambda: None):
        self.now_s, self._after_s, self._after = 0.0, after_s, after

    def __call__(self):
        return self.now_s

    async def sleep(self, seconds):
        """Wait."""
        self.now_s += seconds
        if self.now_s >= self._after_s:
            self._after()


def calls_of(registry, kept, clock, **more):
    """Make the calls of a partition."""
    settings = Settings.build(
        schema_registry_url=registry.url, on_unknown_schema="dead_letter", **more
    )
    store = StoreCalls(MemoryStore(), settings, "t[0]", 16, clock=clock, sleep=clock.sleep)
    spec = models.small().spec
    return SchemaCalls(spec, settings, "t[0]", clock, clock.sleep, kept, store)


def records(number=9):
    """Make a framed record."""
    body = io.BytesIO()
    schema = fastavro.parse_schema(dict(SCHEMA))
    fastavro.schemaless_writer(body, schema, {"x": 1.0, "kind": "A"})
    return [LogRecord(0, 5, b"k", b"\0" + number.to_bytes(4, "big") + body.getvalue())]


async def test_a_schema_that_the_registry_knows_a_moment_later_is_no_unknown_one(registry):
    """A replica of a registry may lag behind the one that has registered it."""
    clock = Clock(UNKNOWN_AFTER_S / 2, lambda: registry.register(9, SCHEMA))
    kept = KeptInMemory("moment")
    batch = await calls_of(registry, kept, clock).decode(models.small(), records(), None)
    assert not batch.decoded.skips
    assert json.loads(kept.lines["9"])["kind"] == "AVRO"


async def test_an_id_that_stays_unknown_is_so_for_every_later_worker(registry):
    """The registry knows it then, and is not asked."""
    kept, clock = KeptInMemory("for-good"), Clock()
    batch = await calls_of(registry, kept, clock).decode(models.small(), records(), None)
    assert [error.code for error in batch.decoded.skips.values()] == ["unknown_schema"]
    assert clock.now_s >= UNKNOWN_AFTER_S
    registry.register(9, SCHEMA)
    asked = list(registry.asked)
    other = calls_of(registry, KeptInMemory("other-process", kept.lines), Clock())
    batch = await other.decode(models.small(), records(), None)
    assert [error.code for error in batch.decoded.skips.values()] == ["unknown_schema"]
    assert registry.asked == asked


async def test_a_lost_line_is_written_again_by_a_process_that_knows_it(registry):
    """Redis may have lost it; what another has written meanwhile stays."""
    registry.register(9, SCHEMA)
    kept = KeptInMemory("lost")
    calls = calls_of(registry, kept, Clock())
    await calls.decode(models.small(), records(), None)
    before = dict(kept.lines)
    kept.lines.clear()
    await calls.keep_known()
    assert kept.lines == before


async def test_an_answer_other_than_unknown_decides_nothing(registry):
    """Each is tried again until the deadline, and no record is skipped."""
    registry.failures += [500, 404, 403, 503] * 1000
    kept, clock = KeptInMemory("outage"), Clock()
    calls = calls_of(registry, kept, clock, schema_registry_retry_s=30)
    with pytest.raises(UnavailableError):
        await calls.decode(models.small(), records(), None)
    assert clock.now_s >= 30
    assert not kept.lines
    assert calls.error
