"""The first and the last event time of a log, and the warning of a unit that does not fit."""

import json

import pytest

from stream_rnn.model.event import EventTime
from stream_rnn.spec.time_span import TimeSpan
from tests.unit.spec_command import run, write_lines

START_S = 1_704_203_100  # 2024-01-02 13:45:00
SPEC = """
name = "t"
[event]
key = ["user"]
time = {{path = "at", unit = "{unit}"}}
[[features]]
name = "x"
kind = "numeric"
path = "x"
[[heads]]
name = "wait"
kind = "time_to_next"
"""


def span_of(raws, **time):
    """Return the span of the values of a field."""
    span = TimeSpan(EventTime(path="at", **time))
    for raw in raws:
        span.add(raw)
    return span


@pytest.mark.parametrize(
    ("log_unit", "spec_unit", "read_as"),
    [
        (1, "ms", "1970-01-20 17:23:23 to 1970-01-20 17:23:23"),
        (1_000, "s", "the year 55,974 to the year 55,974"),
        (1_000_000, "ms", "the year 55,974 to the year 55,974"),
        (1_000_000_000, "us", "the year 55,974 to the year 55,974"),
    ],
)
def test_a_wrong_unit_is_named_with_the_one_that_fits(tmp_path, log_unit, spec_unit, read_as):
    """Whether the fold skips such times or takes them as they are."""
    (tmp_path / "spec.toml").write_text(SPEC.format(unit=spec_unit))
    rows = [{"user": f"u{i % 3}", "at": (START_S + i) * log_unit, "x": i} for i in range(60)]
    log = write_lines(tmp_path / "log.jsonl", rows)
    is_skipped = read_as.startswith("the year")
    printed = " ".join(run("check", tmp_path / "spec.toml", log, status=int(is_skipped)).split())
    fitting = {1: "s", 1_000: "ms", 1_000_000: "us", 1_000_000_000: "ns"}[log_unit]
    assert f"event times: {read_as} UTC" in printed
    assert (
        f'at: 60 of 60 event times lie outside of the years 1990 to 2100: they are read in {spec_unit}. With unit = "{fitting}"'
        in printed
    )
    assert "the times of the log are 2024-01-02 13:45:00 to 2024-01-02 13:45:59 UTC" in printed


def test_a_unit_that_fits_has_no_warning(tmp_path):
    """The first and the last time are printed, and stand in the JSON."""
    (tmp_path / "spec.toml").write_text(SPEC.format(unit="iso8601"))
    rows = [{"user": "u", "at": f"2024-01-0{i}T10:00:00+02:00", "x": i} for i in (2, 1, 3)]
    log = write_lines(tmp_path / "log.jsonl", rows)
    options = ("check", tmp_path / "spec.toml", log, "--no-sort-by-time")
    assert "event times: 2024-01-01 08:00:00 to 2024-01-03 08:00:00 UTC" in run(*options)
    found = json.loads(run(*options, "--json"))
    assert (found["first_time_ms"], found["last_time_ms"]) == (1_704_096_000_000, 1_704_268_800_000)
    assert found["time_warning"] == ""


def test_stand_ins_for_no_time_are_counted():
    """A few times outside of the usual years need another value, not another unit."""
    span = span_of([START_S, 0, START_S + 1, None, True, "x", float("nan")], unit="s")
    assert (span.times, span.outside) == (3, 1)
    assert "1 of 3 event times lie outside of the years 1990 to 2100: write null" in span.warning
    texts = span_of(["0001-01-01", "2024-01-01"], unit="iso8601")
    assert "at: 1 of 2 event times" in texts.warning
    assert "is a count" not in texts.warning


def test_a_count_may_stand_for_the_time():
    """No unit makes dates of it."""
    span = span_of(range(1, 41), unit="s")
    assert span.line == "event times: 1970-01-01 00:00:01 to 1970-01-01 00:00:40 UTC"
    assert span.warning.endswith("unless they are right, or at is a count, not a date")


def test_numbers_in_texts_are_times_only_if_the_spec_parses_them():
    """As the fold reads them."""
    assert span_of([str(START_S)], unit="s").line == ""
    assert span_of([str(START_S)], unit="s", parse=True).times == 1
    assert span_of([10**400], unit="s").line == ""
