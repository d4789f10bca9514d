"""Units, formats and zones of event times, and the last year that they may lie in."""

import json
from datetime import UTC, datetime

import pytest

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record

T_US = 1_767_225_600_000_000


T_MS = T_US // 1000


LAST_OF_2100_MS = 4_133_980_799_999


SETTINGS = Settings(app="t", source="s", predictions="p", key_bytes_max=10, value_bytes_max=1000)


def plain(event=None, settings=SETTINGS, **feature):
    """Make a decoder of one numeric feature x and some event table."""
    content = {
        "name": "t",
        "event": event or {},
        "features": [{"name": "x", "kind": "numeric", "path": "x", **feature}],
        "heads": [{"name": "w", "kind": "time_to_next"}],
    }
    return Decoder(FeatureSpec.model_validate(content), settings)


def time_of(value, unit, timestamp=T_MS, **more):
    """Return the event time of a record, or the code of its error."""
    decoder = plain({"time": {"path": "at", "unit": unit, **more}})
    value = value if isinstance(value, bytes) else json.dumps({"at": value}).encode()
    decoded = decoder.decode([LogRecord(0, timestamp, b"k", value)])
    return decoded.skips[0].code if decoded.skips else int(decoded.time_ms[0])


def local(text, zone="Europe/Berlin"):
    """Return the event time of a local time as text in UTC."""
    layout = "%d.%m.%Y %H:%M"
    time_ms = time_of(text, "text", -1, format=layout, zone=zone)
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime(layout)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (T_US + 999, "us", T_MS),
        (-1, "us", -1),
        (T_US * 1000 + 999_999, "ns", T_MS),
        (1_767_225_600_000_999_999, "ns", 1_767_225_600_000),
        (1.5e15 + 0.5, "us", 1_500_000_000_000),
        (10**30, "ns", "time_out_of_bounds"),
        (10**17, "us", "time_ahead"),
        (10**18, "us", "time_out_of_bounds"),
        (True, "us", "wrong_schema"),
        (str(T_US), "us", "wrong_schema"),
    ],
)
def test_microseconds_and_nanoseconds_are_exact_and_rounded_down(value, unit, expected):
    """An integer beyond 2^53 loses nothing; alone and beside others it has the same time."""
    assert time_of(value, unit) == expected
    if isinstance(value, int) and isinstance(expected, int):
        assert time_of(str(value), unit, parse=True) == expected
        decoder = plain({"time": {"path": "at", "unit": unit}})
        pair = [{"at": value}, {"at": 0.5}]
        rows = [
            LogRecord(i, T_MS, b"k", json.dumps(event).encode()) for i, event in enumerate(pair)
        ]
        assert decoder.decode(rows).time_ms.tolist() == [expected, 0]


@pytest.mark.parametrize(
    ("stamp_ms", "time_ms", "expected"),
    [
        (T_MS, T_MS, T_MS),
        (LAST_OF_2100_MS, LAST_OF_2100_MS, LAST_OF_2100_MS),
        (LAST_OF_2100_MS + 1, LAST_OF_2100_MS + 1, "time_out_of_bounds"),
        (LAST_OF_2100_MS + 1, T_MS, "time_out_of_bounds"),
        (LAST_OF_2100_MS, LAST_OF_2100_MS + 1, "time_out_of_bounds"),
        (T_US, T_MS, "time_out_of_bounds"),
        (-1, 2 * LAST_OF_2100_MS, "time_out_of_bounds"),
        (-1, T_MS, T_MS),
    ],
)
def test_a_record_beyond_the_last_year_is_a_dead_letter(stamp_ms, time_ms, expected):
    """Whether its own timestamp or its event time lies there; the reason names the setting."""
    settings = SETTINGS.replace(event_year_max=2100)
    row = record(0, b"k", {"at": time_ms}, stamp_ms)
    decoded = plain({"time": {"path": "at"}}, settings).decode([row])
    if isinstance(expected, int):
        assert decoded.time_ms.tolist() == [expected]
    else:
        assert decoded.skips[0].code == expected
        assert "lies beyond event_year_max 2100" in str(decoded.skips[0])
    if stamp_ms == time_ms:
        assert bool(plain({}, settings).decode([row]).skips) == isinstance(expected, str)


def test_a_last_year_is_part_of_the_fold_id_only_if_it_is_set():
    """Existing folds keep their ids."""
    ids = {fold_id("f", SETTINGS.replace(event_year_max=year)) for year in (None, 2100, 9999)}
    assert len(ids) == 3
    assert fold_id("f", SETTINGS) == "6cca477b55c0"


def test_one_moment_has_one_event_time_in_every_unit():
    """Integers, texts of integers, and both kinds of text agree."""
    moment = datetime(2026, 1, 1, 0, 0, 0, 123_000, UTC)
    ms = T_MS + 123
    assert {
        time_of(ms, "ms"),
        time_of(str(ms), "ms", parse=True),
        time_of(ms / 1000, "s"),
        time_of(f"{ms / 1000}", "s", parse=True),
        time_of(ms * 1000, "us"),
        time_of(ms * 10**6, "ns"),
        time_of(moment.isoformat(), "iso8601"),
        time_of("2026-01-01T01:00:00.123", "iso8601", zone="Europe/Berlin"),
        time_of("2026-01-01 01:00:00.123", "text", format="%Y-%m-%d %H:%M:%S.%f", zone="Europe/Berlin"),
        time_of("01.01.26 02:00:00.123+0200", "text", format="%d.%m.%y %H:%M:%S.%f%z", zone="Asia/Tokyo"),
    } == {ms}  # fmt: skip


def test_a_local_time_follows_daylight_saving():
    """Winter is UTC+1, summer UTC+2; the hour that is missing moves, of the doubled one the first."""
    assert local("15.01.2026 13:45") == "15.01.2026 12:45"
    assert local("15.07.2026 13:45") == "15.07.2026 11:45"
    assert local("29.03.2026 02:30") == "29.03.2026 01:30"  # does not exist: 03:30 in summer
    assert local("25.10.2026 02:30") == "25.10.2026 00:30"  # exists twice: the earlier
    assert local("15.07.2026 13:45", "America/New_York") == "15.07.2026 17:45"


def test_a_text_that_does_not_have_the_format_is_a_skip():
    """The reason names the format, and blanks around the text do not matter."""
    layout = {"format": "%d.%m.%Y", "zone": "Europe/Berlin"}
    assert time_of(" 01.01.2026 ", "text", -1, **layout) == T_MS - 3_600_000
    for text in ("2026-01-01", "32.01.2026", ""):
        assert time_of(text, "text", **layout) == "bad_event_time"
    assert time_of(7, "text", **layout) == "wrong_schema"


def test_a_zone_of_the_text_takes_precedence():
    """Zone is for texts that name none."""
    assert time_of("2026-01-01T00:00:00Z", "iso8601", zone="Europe/Berlin") == T_MS
