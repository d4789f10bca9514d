"""Records with timestamps that an output topic may refuse, such as microseconds."""

import asyncio

import pytest

from stream_rnn.kafka.topics import JAVA_LONG_MAX
from tests.integration.places import Place
from tests.integration.streams import mixed_records, run

pytestmark = pytest.mark.timeout(180)

NAMES = ("app", "source", "predictions", "bundle", "bootstrap_servers", "redis_url", "state_ttl")
YEAR_8307_MS = 200_000_000_000_000
MS = 1_767_225_600_000
WILD = [MS, MS * 1000, MS * 1_000_000, JAVA_LONG_MAX, 0, -5, 2**62 + 1, MS + 1]
AFTER, BEFORE = "message.timestamp.after.max.ms", "message.timestamp.before.max.ms"
LOOSE = {AFTER: str(JAVA_LONG_MAX), BEFORE: str(JAVA_LONG_MAX)}
HOUR = "3600000"


@pytest.fixture
async def place(app_id, bootstrap_servers, redis_url, tmp_path):
    """A fold whose source accepts every timestamp."""
    made = Place(app_id, bootstrap_servers, redis_url, tmp_path)
    await made.create(**LOOSE)
    yield made
    await made.end()


def stamped(timestamps) -> list:
    """Return a record of one key for each timestamp."""
    return [(b"a", {"x": 1.0, "kind": "A"}, timestamp) for timestamp in timestamps]


async def test_every_timestamp_that_a_loose_source_lets_in_has_its_output(place):
    """Micro- and nanoseconds lie beyond the year 9999: dead letters, and the fold goes on."""
    await place.produce(stamped(WILD))
    await place.goes_on(4)
    assert await place.compare() == 3
    letters = await place.outputs(place.settings.dead_letters_topic, 1)
    assert [letter.timestamp for letter in letters] == [t for t in WILD if t not in (MS, 0, MS + 1)]
    assert (await place.audit())["is_fine"]


@pytest.mark.parametrize(
    ("timestamp", "limit", "seems"),
    [
        (MS * 1000, AFTER, "ms, which looks like microseconds"),
        (MS * 1_000_000, AFTER, "ms, which looks like nanoseconds"),
        (4_102_444_800_000, AFTER, "ms (2100-01-01)"),
        (0, BEFORE, "ms (1970-01-01)"),
    ],
)
async def test_an_output_topic_that_refuses_a_timestamp_is_named_with_the_setting(
    timestamp, limit, seems, place
):
    """The limit was lowered after the record came: once it is raised, all is published once."""
    settings = place.settings
    await place.produce(stamped([timestamp]))
    await place.produce(mixed_records(20, 1))
    await place.goes_on(4)
    await place.produce(stamped([timestamp]))
    names = settings.source, settings.predictions, settings.dead_letters_topic
    for name in names[1:]:
        await place.configure(name, **{limit: HOUR})
    await place.configure(
        settings.source, **{limit: HOUR, "retention.ms": "1800000", "segment.ms": "1800000"}
    )
    said = await place.stops()
    offset = (await place.source(1))[-1].offset
    refused = f"refuses the timestamp of the output for {settings.source}[1] offset {offset}: "
    assert f"{refused}{timestamp} {seems}" in said
    assert f"so set {limit}={JAVA_LONG_MAX} on {settings.app}-out" in said
    for name in names:
        await place.configure(name, **LOOSE)
    await place.goes_on(11)
    assert await place.compare() > 0


async def test_a_stream_time_far_ahead_of_now_is_named_with_the_setting(place):
    """The worker, state show and doctor say it; with the setting the record is a dead letter."""
    place.settings = place.settings.replace(state_ttl=3600.0)
    options = [f"--{n.replace('_', '-')}={v}" for n, v in place.options().items() if n in NAMES]
    await place.produce(stamped([MS, YEAR_8307_MS, MS + 1]))
    worker = place.start(facts_interval_s="0.1")
    line = await place.until_says(worker, "far ahead of now")
    assert f"{place.settings.source}[1]: stream time is 8307-" in line
    assert "events with correct times find no memory" in line
    assert "with event_year_max below that year" in line
    await place.until_published(worker=worker)
    for verb in ("state show", "doctor"):
        said = await run(*verb.split(), *options)
        assert "stream time is 8307-" in " ".join(said.split())
        assert "event_year_max" in said
    assert await asyncio.to_thread(worker.stop) == 0
    assert worker.log.read_text().count("far ahead of now") == 1

    place.settings = place.settings.replace(event_year_max=2100)
    await place.produce(stamped([MS + 2]))
    await place.goes_on(8)
    rows = await place.shown()
    assert rows[1]["stream_time_ms"] == MS + 2
    said = await run("state", "show", *options, "--event-year-max=2100")
    assert "far ahead of now" not in said
    codes = [
        dict(d.headers)["sr-error"]
        for d in await place.outputs(place.settings.dead_letters_topic, 1)
    ]
    assert codes == []  # the record was published by the previous fold
    await place.produce(stamped([YEAR_8307_MS]))
    await place.goes_on(11)
    codes = [
        dict(d.headers)["sr-error"]
        for d in await place.outputs(place.settings.dead_letters_topic, 1)
    ]
    assert codes == [b"time_out_of_bounds"]
    assert (await place.shown())[1]["stream_time_ms"] == MS + 2
