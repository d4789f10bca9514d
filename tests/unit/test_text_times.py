"""Times in texts: the same moment on every machine."""

import locale
import os
import subprocess
import sys
from datetime import datetime

import pytest

from stream_rnn.errors import FeatureError
from stream_rnn.fold.event_time import parse_iso8601_ms, parse_time_ms
from stream_rnn.model.event import EventTime
from stream_rnn.model.text_times import _HOUR_24, _read_layout, parse_text_time
from stream_rnn.model.zones import load_zone, zone_names

ISO, TEXT = "iso8601", "%d.%m.%Y %I:%M %p"
TABLE = [  # zone, local time, milliseconds: literals, by the rules of the zones
    ("Europe/Berlin", "2024-03-31T01:59", 1711846740000),
    ("Europe/Berlin", "2024-03-31T02:30", 1711848600000),  # does not exist: 03:30 of summer
    ("Europe/Berlin", "2024-03-31T03:00", 1711846800000),
    ("Europe/Berlin", "2024-10-27T02:30", 1729989000000),  # exists twice: in summer
    ("Europe/Berlin", "2024-10-27T03:00", 1729994400000),
    ("America/New_York", "2024-03-10T01:59", 1710053940000),
    ("America/New_York", "2024-03-10T02:30", 1710055800000),
    ("America/New_York", "2024-03-10T03:00", 1710054000000),
    ("America/New_York", "2024-11-03T01:30", 1730611800000),
    ("America/New_York", "2024-11-03T02:00", 1730617200000),
    ("Australia/Lord_Howe", "2024-10-06T02:15", 1728143100000),  # by half an hour
    ("Australia/Lord_Howe", "2024-04-07T01:45", 1712414700000),
    ("Asia/Kolkata", "2024-07-01T00:00", 1719772200000),
    ("UTC", "2024-03-31T02:30", 1711852200000),
]
ELSEWHERE = [{}, {"TZ": "Asia/Tokyo"}, {"PYTHONTZPATH": ""}, {"PYTHONTZPATH": "/nowhere"}]


def text_of(local):
    """Return a local time in the format with AM and PM."""
    date, clock = local.split("T")
    year, month, day = date.split("-")
    hour, minute = clock.split(":")
    assert int(hour) < 12
    return f"{day}.{month}.{year} {int(hour) or 12}:{minute} am"


def read_table():
    """Return the milliseconds of each row of the table, as a text of two units."""
    rows = []
    for zone, local, _ in TABLE:
        iso = EventTime(path="t", unit="iso8601", zone=zone)
        text = EventTime(path="t", unit="text", format=TEXT, zone=zone)
        rows.append((parse_time_ms(local, iso), parse_time_ms(text_of(local), text)))
    return rows


def test_times_around_a_change_of_the_clock_are_these_milliseconds():
    """In spring and in autumn, of zones that change by an hour, by half an hour, and never."""
    assert read_table() == [(ms, ms) for _, _, ms in TABLE]


@pytest.mark.parametrize("place", ELSEWHERE, ids=str)
def test_the_zones_of_the_machine_change_nothing(place):
    """Neither its zone nor its own rules of zones, which may be old or missing."""
    code = "from tests.unit.test_text_times import read_table; print(read_table())"
    env = {**os.environ, **place, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str([(ms, ms) for _, _, ms in TABLE])


def test_other_rules_on_the_machine_are_not_read(tmp_path):
    """A machine whose Berlin is Tokyo reads the time of Berlin."""
    rules = tmp_path / "Europe"
    rules.mkdir()
    code = (
        "import importlib.resources as r, pathlib, sys;"
        "tokyo = r.files('tzdata').joinpath('zoneinfo', 'Asia', 'Tokyo').read_bytes();"
        "pathlib.Path(sys.argv[1], 'Berlin').write_bytes(tokyo);"
        "from tests.unit.test_text_times import read_table; print(read_table()[0])"
    )
    env = {**os.environ, "PYTHONTZPATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(rules)]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "(1711846740000, 1711846740000)"


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "right/Europe/Berlin", "posix/UTC", "Factory", "../UTC", ""]
)
def test_a_zone_that_depends_on_the_machine_is_refused(zone):
    """Only the IANA names are zones."""
    with pytest.raises(ValueError, match="is no time zone"):
        EventTime(path="t", unit="iso8601", zone=zone)


def test_every_zone_that_is_accepted_can_be_read():
    """Also the old names, which logs and machines still have."""
    assert len(zone_names()) > 500
    assert {"Europe/Berlin", "US/Eastern", "Etc/GMT+5"} < zone_names()
    assert all(load_zone(name) is load_zone(name) for name in zone_names())


@pytest.mark.parametrize(
    ("layout", "text", "expected"),
    [
        ("%a, %d %b %Y %H:%M:%S GMT", "Tue, 02 Jan 2024 13:45:01 GMT", "2024-01-02T13:45:01"),
        ("%A %d %B %Y", "tuesday 2 JANUARY 2024", "2024-01-02T00:00:00"),
        ("%d%b%Y", "2Jan2024", "2024-01-02T00:00:00"),
        ("%b%d%y%I%p", "Dec112412PM", "2024-12-11T12:00:00"),
        ("%d/%m/%Y %I:%M %p", "02/01/2024 12:05 am", "2024-01-02T00:05:00"),
        ("%d/%m/%Y %I:%M%p", "2/1/2024 1:05pm", "2024-01-02T13:05:00"),
        ("%d/%m/%Y %H:%M %p", "02/01/2024 13:05 PM", "2024-01-02T13:05:00"),
        ("%Y-%m (%b) %d", "2024-05 (May) 31", "2024-05-31T00:00:00"),
        ("%a %b %d %H:%M:%S %z %Y", "Sat Feb  3 10:00:00 +0130 2024", "2024-02-03T10:00:00+01:30"),
        ("%Y W%W %a", "2024 W01 Sun", "2024-01-07T00:00:00"),
        ("%% %d Mayor %b %Y", "% 01 mayor May 2024", "2024-05-01T00:00:00"),
    ],
)
def test_names_are_english_and_read_as_strptime_reads_them(layout, text, expected):
    """In any case of letters, and next to digits."""
    assert parse_text_time(text, layout).isoformat() == expected
    assert datetime.strptime(text, layout).isoformat() == expected  # noqa: DTZ007


@pytest.mark.parametrize(
    ("layout", "text"),
    [("%d %b %Y", "02 Mär 2024"), ("%d %b %Y", "02 1 2024"), ("%d %b %Y", "31 Feb 2024"),
     ("%d.%m.%Y %I %p", "02.01.2024 13 PM"), ("%b %d %Y", "Jan 02 2024 x"),
     ("%d %b %Y", "1" * 1_000_000), ("%d%m%y%H%M%S%f %b", "1" * 40 + " x")],
)  # fmt: skip
def test_a_text_of_another_form_has_no_time(layout, text):
    """And finding that out takes no longer than the text is long."""
    with pytest.raises(ValueError, match=r"match|day is out of range|unconverted"):
        parse_text_time(text, layout)


def test_the_language_of_the_process_changes_nothing():
    """A library may set the locale; names stay English."""
    time_in = EventTime(path="t", unit="text", format="%a %d %B %Y %I %p")
    expected = parse_time_ms("Tue 05 March 2024 1 PM", time_in)
    assert expected == 1709643600000
    before = locale.setlocale(locale.LC_TIME)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        try:
            locale.setlocale(locale.LC_TIME, name)
        except locale.Error:
            continue
        try:
            read = EventTime(path="t", unit="text", format="%a %d %B %Y %I %p")
            assert parse_time_ms("Tue 05 March 2024 1 PM", read) == expected
        finally:
            locale.setlocale(locale.LC_TIME, before)


def test_a_process_in_another_language_reads_english():
    """Also where no locale of that language is installed: its names are those of the calendar."""
    code = (
        "import calendar;"
        "calendar.month_abbr = calendar.month_name = ['', *(f'monat{i}' for i in range(12))];"
        "calendar.day_abbr = calendar.day_name = [f'tag{i}' for i in range(7)];"
        "from tests.unit.test_text_times import parse_text_time;"
        "print(parse_text_time('Tue 05 March 2024', '%a %d %B %Y'))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert found.strip() == "2024-03-05 00:00:00"


def test_strptime_reads_no_name():
    """So the language counts of no process, also where the test above finds no other one."""
    named = _read_layout("%a %d %B %Y %I %p")
    assert named is not None
    assert named.numbers == "|%w| %d |%m| %Y %I ||"


@pytest.mark.parametrize("layout", ["%c", "%x %H:%M", "%x %X", "%d.%m.%Y %X"])
def test_a_directive_that_depends_on_the_language_is_refused(layout):
    """%%c is text, not a directive."""
    with pytest.raises(ValueError, match="depends on the language of the machine"):
        EventTime(path="t", unit="text", format=layout)
    assert EventTime(path="t", unit="text", format="%Y-%m-%d %%c").format == "%Y-%m-%d %%c"


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T24:00:00",
        "2024-01-01 24:00",
        "20240101T24",
        "2024-W01-1T24:00:00Z",
        "2024W01T24",
    ],
)
def test_an_hour_24_is_refused_by_every_python(text):
    """Python 3.14 reads it as the next day; the message is the same on each version."""
    assert _HOUR_24.match(text)
    with pytest.raises(FeatureError) as raised:
        parse_time_ms(text, EventTime(path="t", unit="iso8601"))
    assert (raised.value.code, str(raised.value)) == (
        "bad_event_time",
        "t: the event time is not ISO 8601",
    )


def test_a_24_that_is_no_hour_is_read():
    """A day, a minute, a fraction and the year."""
    for text in ("2024-01-24", "2024-01-24T00:24:00", "2024-01-24T00:00:00.24", "20240124T00"):
        assert not _HOUR_24.match(text)
        assert parse_iso8601_ms(text) // 86_400_000 == 19746
