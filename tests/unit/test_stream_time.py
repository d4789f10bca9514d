"""A stream time far ahead of now is reported with its effect, and with a remedy if it has one."""

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stream_rnn.fold.stream_time import describe_ahead
from stream_rnn.operate.check_kafka import check_stream_times
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.worker.health import Health
from tests import models

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
NOW_S, DAY_S = NOW.timestamp(), 86_400
SETTINGS = Settings.build(app="app", source="events", predictions="out")
MODEL = models.small("gru")
SHORT, LONG = SETTINGS.replace(state_ttl=3600.0), SETTINGS.replace(state_ttl=30.0 * DAY_S)
YEAR = "with event_year_max below that year"


def ahead_of(days, settings):
    """Return what is reported of a stream time that is some days ahead."""
    return describe_ahead(round(1000 * (NOW_S + days * DAY_S)), NOW_S, settings)


def test_a_stream_time_that_is_little_ahead_is_not_reported():
    """A day is little, and so is twice the limit of an event's own lead."""
    for settings in (SETTINGS, SHORT):
        assert ahead_of(1, settings) is None
        assert describe_ahead(None, NOW_S, settings) is None
    assert ahead_of(3, SHORT.replace(event_time_ahead_max_s=2.0 * DAY_S)) is None


def test_without_state_ttl_there_is_no_remedy():
    """Nothing expires, so nothing is to be done."""
    ahead = ahead_of(3, SETTINGS)
    assert ahead.text.endswith("; without state_ttl this has no effect")
    assert ahead.remedy == ""
    assert str(ahead) == ahead.text


@pytest.mark.parametrize(
    ("settings", "effect", "is_cold"),
    [
        (SHORT, "until 2026-06-18 11:00:00, events with correct times find no memory", True),
        (LONG, "states whose last event is before 2026-05-19 12:00:00 have expired", False),
    ],
)
async def test_the_effect_depends_on_state_ttl(settings, effect, is_cold):
    """The fold itself agrees: a key's second event after the wrong record is cold, or is not."""
    assert effect in ahead_of(3, settings).text
    times_s = [NOW_S + 3 * DAY_S, NOW_S, NOW_S + 60]
    event = {"x": 0.5, "kind": "A"}
    log = MemoryLog(
        [
            record(i, key, event, round(1000 * time_s))
            for i, (key, time_s) in enumerate(zip((b"wrong", b"a", b"a"), times_s, strict=True))
        ]
    )
    store = MemoryStore()
    processor = memory_processor(MODEL, log, store, settings)
    await processor.run()
    assert int(processor._codec.decode([store.states[b"a"]]).steps[0]) == (1 if is_cold else 2)


@pytest.mark.parametrize(
    ("days", "has_year"), [(3, False), (200, False), (560, False), (600, True), (99_999, True)]
)
def test_a_limit_of_years_is_no_remedy_against_a_near_year(days, has_year):
    """It would skip correct records, now or from the next year on."""
    remedy = ahead_of(days, SHORT).remedy
    assert remedy.startswith("correct the producer of the record; ")
    assert (YEAR in remedy) == has_year
    assert ("message.timestamp.after.max.ms" in remedy) != has_year


@pytest.mark.parametrize(
    ("settings", "level", "finding"),
    [(SETTINGS, logging.INFO, "fine"), (SHORT, logging.ERROR, "warning")],
)
def test_what_has_no_effect_is_no_warning(settings, level, finding, caplog):
    """Neither the worker nor doctor asks for an action then."""
    caplog.set_level(logging.INFO)
    processor = memory_processor(MODEL, MemoryLog([]), MemoryStore(), settings)
    processor.stream_time_ms = round(1000 * (NOW_S + 3 * DAY_S))
    worker = SimpleNamespace(partitions=[SimpleNamespace(processor=processor)])
    health = Health(worker, settings, lambda: NOW_S)
    for _ in range(2):
        health._check_stream_times()
    (line,) = [r for r in caplog.records if "far ahead of now" in r.getMessage()]
    assert line.levelno == level
    assert line.getMessage().startswith("events[0]: stream time is 2026-06-18")
    rows = [{"partition": 0, "stream_time_ms": processor.stream_time_ms}]
    (found,) = check_stream_times(rows, settings, NOW_S)
    assert found.level == finding
