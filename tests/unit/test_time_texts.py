"""Times of ``spec init`` that are few stand-ins, digits, or texts that no format reads."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import read_sample

START = datetime(2024, 1, 1, tzinfo=UTC)


def proposed(directory, name, content, **options):
    """Return the spec of a log as one line of text."""
    path = directory / name
    path.write_bytes(content)
    text = propose(read_sample(path, 1000), name, ProposalOptions(**options))
    return text.replace("\n# ", " ")


def table(times, name="at"):
    """Return a CSV file with a time in each of its rows."""
    rows = [f"d{i % 4},{time},{20 + i % 7}.{i % 10}" for i, time in enumerate(times)]
    return "\n".join([f"device,{name},temp", *rows, ""]).encode()


def lines(rows):
    """Return records as lines of JSON."""
    return b"\n".join(map(orjson.dumps, rows)) + b"\n"


def formatted(layout, count=200):
    """Return times an hour apart; ``%s`` are seconds since 1970."""
    times = [START + timedelta(hours=i) for i in range(count)]
    return [time.strftime(layout.replace("%s", f"{time.timestamp():.0f}")) for time in times]


@pytest.mark.parametrize("options", [{}, {"time": "at"}])
@pytest.mark.parametrize(
    ("layout", "stand_in", "toml"),
    [
        ("%Y-%m-%dT%H:%M:%S", "1900-01-01T00:00:00", 'unit = "iso8601"'),
        ("%d.%m.%Y %H:%M", "31.12.9999 00:00", 'format = "%d.%m.%Y %H:%M"'),
        ("%s", "0", 'unit = "s"'),
    ],
)
def test_a_few_stand_ins_leave_the_time_its_column(tmp_path, layout, stand_in, toml, options):
    """They are counted and shown, whatever the place of the first one."""
    for place in (0, 100):
        times = formatted(layout)
        times[place] = stand_in
        text = proposed(tmp_path, "log.csv", table(times), **options)
        assert 'path = "at"' in text
        assert toml in text
        assert f"1 times of at, such as {stand_in}, lie outside of the years 1990 to 2100" in text
        assert "no such time" not in text


def test_iso_texts_of_other_years_are_named_so(tmp_path):
    """More than 5 % of stand-ins: the message does not call them anything but ISO 8601."""
    times = ["1900-01-01T00:00:00"] * 30 + formatted("%Y-%m-%dT%H:%M:%S")
    with pytest.raises(ConfigError, match=r"are ISO 8601, but more than 5 % lie outside of"):
        proposed(tmp_path, "log.csv", table(times), time="at")


@pytest.mark.parametrize("layout", ["%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
def test_a_named_time_of_digits_is_dates(tmp_path, layout):
    """--time names a column whose name is that of no time; JSON texts are as good as CSV."""
    times = formatted(layout)
    text = proposed(tmp_path, "log.csv", table(times, "x"), time="x", key=("device",))
    assert f'unit = "text"\nformat = "{layout}"' in text.replace(", ", "\n")
    rows = [{"device": f"d{i % 4}", "x": time, "v": i % 7} for i, time in enumerate(times)]
    text = proposed(tmp_path, "log.jsonl", lines(rows), time="x", key=("device",))
    assert f'unit = "text"\nformat = "{layout}"' in text.replace(", ", "\n")


def test_dates_as_numbers_of_json_are_no_seconds(tmp_path):
    """No unit of a spec reads them; they are neither seconds nor a count."""
    times = [int((START + timedelta(days=i)).strftime("%Y%m%d")) for i in range(200)]
    rows = [{"device": f"d{i % 4}", "date": time, "v": i % 7} for i, time in enumerate(times)]
    why = "20240101 and the like are dates as numbers, which no spec reads; write them as texts"
    with pytest.raises(ConfigError, match=why):
        proposed(tmp_path, "log.jsonl", lines(rows), time="date", key=("device",))
    with pytest.raises(ConfigError, match=f"date: {why}. Which is the event time"):
        proposed(tmp_path, "log.jsonl", lines(rows), key=("device",))
    text = proposed(tmp_path, "log.jsonl", lines(rows), key=("device",), time="none")
    assert f"Not read as a time: date: {why}." in text
    assert "[event.time]" not in text


def test_texts_without_digits_are_no_times(tmp_path):
    """Whatever the name of the column is, nothing is asked."""
    text = proposed(tmp_path, "log.csv", table(["noon", "night"] * 100), key=("device",))
    assert "is not read as a time" not in text


ISO = formatted("%Y-%m-%dT%H:%M:%S", 200)
GERMAN = formatted("%d.%m.%Y %H:%M", 200)


@pytest.mark.parametrize(
    "first", ["ISO", "yyyy-mm-dd", "-", "n/a", "local time of the plant in the north of Europe"]
)
@pytest.mark.parametrize("times", [ISO, GERMAN])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_first_text_does_not_decide_what_a_column_is(tmp_path, first, times, suffix):
    """A row of units, or a stand-in in the first row, costs its row alone."""
    texts = [first, *times[1:]]
    rows = [{"device": f"d{i % 4}", "ts": text, "v": i % 7} for i, text in enumerate(texts)]
    content = lines(rows) if suffix == "jsonl" else table(texts, "ts")
    text = proposed(tmp_path, f"log.{suffix}", content, key=("device",))
    assert 'path = "ts"' in text
    is_null = suffix == "csv" and first == "n/a"
    assert is_null or "1 texts of ts are no such time; they are skipped." in text
    assert "is left out" not in text


@pytest.mark.parametrize(
    ("name", "times", "says"),
    [
        (
            "Date",
            [f"{45_300 + i / 24:.4f}" for i in range(200)],
            "its numbers look like days since",
        ),
        ("Date", [45_300 + i // 9 for i in range(200)], "its numbers look like days since 1900"),
        ("at", [f"{1 + i % 28}. Mär 2024" for i in range(200)], "such as '1. Mär 2024', are of no"),
        (
            "ts",
            [*ISO[:100], *formatted("%d/%m/%Y %H:%M")[100:]],
            "such as '05/01/2024 04:00', are of no format that is known: 100 of 200 are ISO 8601",
        ),
        (
            "ts",
            [*GERMAN[:120], *(f"{text} CET" for text in GERMAN[120:])],
            "such as '06.01.2024 00:00 CET', are of no format that is known: 120 of 200 are %d.%m.",
        ),
        ("ts", [*ISO[:180], *["0001-01-01T00:00:00"] * 20], "ISO 8601, but more than 5 % lie"),
        ("ts", [*formatted("%s")[:180], *["0"] * 20], "20 of its 200 numbers, such as 0, are no"),
        ("time", [f"{i % 24:02}:00" for i in range(200)], "a time of the day without a date"),
    ],
)
def test_a_column_named_as_a_time_that_is_not_read_is_asked_about(tmp_path, name, times, says):
    """Nobody takes the row number for the event time without a word; the text shown does not fit."""
    content = table(times, name)
    with pytest.raises(ConfigError) as caught:
        proposed(tmp_path, "log.csv", content, key=("device",))
    message = str(caught.value)
    assert f"A field is named as a time, but is not read: {name}: " in message
    assert says in message
    assert "--time none  confidence 0.20: the timestamp of the record" in message
    text = proposed(tmp_path, "log.csv", content, key=("device",), time="none")
    assert "[event.time]" not in text
    assert says in text
