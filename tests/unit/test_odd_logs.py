"""Logs whose keys, times and numbers are written as no spec reads them: a comment names each."""

import polars as pl
import pytest

from stream_rnn import propose_spec
from stream_rnn.spec.notations import describe_notation

DAYS = [f"2024-01-{1 + i // 20:02}" for i in range(600)]


def said_of(path, columns, **options):
    """Propose a spec for a CSV of 600 rows; return it, and its text without the ends of lines."""
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    log = path / "log.csv"
    log.write_text("\n".join(rows))
    proposed = propose_spec(log, **options)
    return proposed.spec, proposed.toml.replace("\n# ", " ")


def values(divisor=97):
    """Return 600 numbers."""
    return [i * i % divisor / 4 for i in range(600)]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (["Web01", "web01", "db02"], "2 keys of host differ only in capitals or blanks"),
        (["a", "b ", "b"], "2 keys of host differ only in capitals or blanks"),
        ([" a", " b", "c"], "2 keys of host begin or end with blanks, such as ' a'"),
        (["1.0", "2.0", "3.0"], "end in .0, such as 1.0: pandas writes whole numbers"),
        (['"=""01"""', '"=""02"""', '"=""03"""'], 'a formula of Excel, such as ="01"'),
        (["a", "b", "c"], ""),
    ],
)
def test_a_spelling_of_keys_that_a_topic_hardly_has_is_named(tmp_path, keys, says):
    """Each spelling is a key of its own."""
    columns = {"host": [keys[i % 3] for i in range(600)], "at": range(1_704_203_100, 1_704_203_700)}
    _, text = said_of(tmp_path, columns | {"v": values()}, key="host", target="v")
    assert says in text
    assert bool(says) == any(word in text for word in ("differ only", "blanks", ".0,", "formula"))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            {"date": DAYS, "time": [f"{i % 24:02}:00" for i in range(600)]},
            "date is a date, and time a time of the day",
        ),
        (
            {
                "year": [2020 + i // 120 for i in range(600)],
                "month": [1 + i % 12 for i in range(600)],
            },
            "year and month look like parts of one time",
        ),
        ({"week": [f"2024-W{1 + i // 20:02}" for i in range(600)]}, "week has weeks, such as 2024"),
    ],
)
def test_a_time_in_parts_or_words_is_named(tmp_path, columns, says):
    """It is neither read nor a category."""
    columns = {"device": [f"d{i % 9}" for i in range(600)], **columns, "v": values()}
    assert says in said_of(tmp_path, columns, target="v")[1]


def test_digits_of_dates_are_times_whatever_their_name_is(tmp_path):
    """In a delimited file; the numbers of JSON and Parquet are named."""
    digits = [day.replace("-", "") for day in DAYS]
    columns = {"device": [f"d{i % 9}" for i in range(600)], "booked": digits, "v": values()}
    spec, _ = said_of(tmp_path, columns, time="booked", target="v")
    assert (spec.event.time.path, spec.event.time.format) == ("booked", "%Y%m%d")
    frame = pl.DataFrame(columns | {"booked": list(map(int, digits))})
    proposed = propose_spec(frame, target="v")
    assert "20240101 and the like are dates as numbers" in proposed.toml
    assert [getattr(f, "path", "") for f in proposed.spec.features] == ["v"]


def test_a_date_of_many_events_is_the_event_time(tmp_path):
    """It changes seldom within a key, and a date of the key itself never."""
    columns = {"device": [f"d{i % 2}" for i in range(600)], "date": DAYS, "v": values()}
    assert said_of(tmp_path, columns)[0].event.time.path == "date"
    columns["date"] = [DAYS[40 * (i % 2)] for i in range(600)]
    spec, text = said_of(tmp_path, columns, target="v")
    assert spec.event.time is None
    assert "date has times (its name is that of a time; dates without a time of the day; it" in text


def test_a_counter_within_a_key_is_no_key(tmp_path):
    """A visit of a patient, whose number begins at 1 for each of them."""
    columns = {"id": [f"p{i % 20}" for i in range(600)], "visit": [1 + i // 20 for i in range(600)]}
    spec, text = said_of(tmp_path, columns | {"v": values(89)}, target="v")
    assert spec.event.key == ("id",)
    assert "Other candidates for the key (see --key): visit (confidence 0.10)" in text


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["4.03 bar", "4.10 bar"], "with a unit, such as '4.03 bar'; write 4.03"),
        (["12 km/h", "13 km/h"], "with a unit, such as '12 km/h'; write 12"),
        (["$12.50", "($3.00)"], "with signs or units in several notations, such as '$12.50'"),
        (["12A", "13B"], ""),
        (["12 Main Street", "13 Main Street"], ""),
    ],
)
def test_numbers_with_units_are_named(texts, says):
    """Other texts with digits are texts."""
    found = describe_notation(dict.fromkeys(texts, 1))
    assert says in found
    assert bool(found) == bool(says)
