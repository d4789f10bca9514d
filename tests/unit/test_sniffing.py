"""What is found in the texts of a file: its format, its types, its dates, its missing words."""

import gzip
import json
from datetime import datetime, timedelta

import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.file_format import FileFormat
from stream_rnn.spec.clocks import find_clock
from stream_rnn.spec.columns import Column
from stream_rnn.spec.date_formats import find_format
from stream_rnn.spec.event_time import clock_guess
from stream_rnn.spec.sample import read_sample
from stream_rnn.spec.sniffing import Sniffer
from stream_rnn.spec.text_columns import Marks, type_column


def sniffed(text, encoding="utf-8", **given):
    """Sniff a text."""
    return Sniffer(text.encode(encoding), given).sniff()


def column(texts, *, decimal=".", thousands="", is_json=False):
    """Return the typed column of some texts."""
    raw = Column(("x",), "text", pl.Series(texts, dtype=pl.String))
    return type_column(raw, Marks(decimal, thousands, is_json))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a,b\n1,2\n3,4\n", {}),
        ("a;b\n1,5;2\n3,25;4\n", {"delimiter": ";", "decimal": ","}),
        ("a\tb c\n1\tx y\n3\tz\n", {"delimiter": "\t"}),
        ("a|b\n1|2\n3|4\n", {"delimiter": "|"}),
        ("a  b\n1   2.5\n30  4.5\n", {"delimiter": "whitespace"}),
        ('a,b\n"1;2","3;4"\n"5;6","7;8"\n', {}),
        ("a,b\n2024-01-02 13:45,1\n2024-01-02 13:46,2\n", {}),
        ('a,b\nx,"1,234"\ny,"1,234,567"\n', {"thousands": ","}),
        ("a;b\nx;1.234,5\ny;2.345.678,25\n", {"delimiter": ";", "decimal": ",", "thousands": "."}),
        ("1,2.5\n3,4.5\n", {"columns": ["column_1", "column_2"]}),
        ("d1,2024-01-02\nd2,2024-01-03\n", {"columns": ["column_1", "column_2"]}),
        ("country,2019,2020,2021\nA,1,2,3\nB,4,5,6\n", {}),
        ("only\nx\ny\n", {}),
    ],
)
def test_a_format_is_found(text, options):
    """The spec contains what is not the default, and a reason for each of it."""
    found = sniffed(text)
    assert found.options == options
    assert found.format == FileFormat(**options)
    assert all(any(reason.startswith(name) for reason in found.reasons) for name in options)
    assert all("confidence" in reason for reason in found.reasons)


def test_what_is_not_sure_says_what_else_it_could_be():
    """Three digits behind a mark may be thousands."""
    assert 'if these are thousands: decimal = ","' in sniffed("a,b\nx,1.234\ny,5.678\n").reasons[0]
    found = sniffed('a,b\nx,"1,234"\ny,"5,678"\n')
    assert "they could be decimal commas, too" in found.reasons[0]
    assert "confidence 0.50" in found.reasons[0]


@pytest.mark.parametrize(
    ("encoding", "option"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
    ],
)
def test_an_encoding_is_found(encoding, option):
    """A byte order mark needs no option."""
    found = sniffed("a,größe\nx,ä\ny,ü\n" * 9, encoding)
    assert found.options.get("encoding") == option


def test_what_is_given_is_not_guessed():
    """Whatever the file looks like."""
    found = sniffed("a;b\n1,5;2\n3,25;4\n", decimal=".", columns=["p", "q"])
    assert found.options == {"decimal": ".", "columns": ["p", "q"], "delimiter": ";"}


def test_lines_above_a_table_are_named_with_the_remedy():
    """As the exports of many programs have them."""
    with pytest.raises(ConfigError, match=r"the first 2 lines .*tail -n \+3 LOG"):
        sniffed("Report of May\nby me\na;b;c\n1;2;3\n4;5;6\n7;8;9\n")


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "2.5", "1e3", ".5"], "number"),
        (["007", "7", "12"], "text"),
        (["1.1", "1.10", "2.0"], "text"),
        (["True", "false"], "boolean"),
        (["1_000", "2"], "text"),
        (["nan", "inf"], "text"),
        (["0x1f", "12"], "text"),
        ([None, None], "text"),
        (["1,5", "2,25"], "text"),
        ([*["1"] * 99, "12A"], "number"),
        (["1", "2", "-", "?"], "number"),
        (["1", "2", "x", "y"], "text"),
    ],
)
def test_texts_have_a_type(texts, kind):
    """A few texts among numbers are counted as such."""
    found = column(texts)
    assert found.kind == kind
    if kind == "number" and len(texts) == 100:
        assert found.unread == {"12A": 1}


def test_marks_of_numbers_are_those_of_the_file():
    """Decimal commas, and points between thousands."""
    found = column(["1.234,5", "7", None], decimal=",", thousands=".")
    assert (found.kind, found.values.to_list()) == ("number", [1234.5, 7.0, None])


def test_numbers_as_texts_of_json_need_parse():
    """Several other texts keep them from being numbers, because their records are invalid."""
    assert column(["1", " 2.5 ", ""], is_json=True).needs_parse
    assert column([*["1"] * 95, *["x"] * 5], is_json=True).kind == "text"
    assert column(["1.", "2"], is_json=True).kind == "text"


@pytest.mark.parametrize(
    "layout",
    [
        "%d.%m.%Y %H:%M",
        "%d-%m-%Y:%H.%M",
        "%m/%d/%Y",
        "%m/%d/%Y %I:%M:%S %p",
        "%d.%m.%y %H:%M:%S",
        "%Y/%m/%d %H:%M:%S",
        "%d/%b/%Y:%H:%M:%S %z",
        "%d %B %Y %H:%M",
        "%b %d, %Y",
        "%a %b %d %H:%M:%S %Y",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%Y%m%d%H%M%S",
        "%d.%m.%Y %H:%M:%S,%f",
        "%m/%d/%Y %H:%M:%S UTC",
    ],
)
def test_a_format_of_dates_is_found(layout):
    """By the texts alone."""
    moments = [
        datetime(2024, 1, 2, 13, 45, 7).astimezone() + timedelta(hours=31 * i) for i in range(60)
    ]
    found = find_format([moment.strftime(layout) for moment in moments])
    assert found.format == layout
    assert found.confidence >= 0.8


@pytest.mark.parametrize("texts", [["1.2.3"], ["a-b-2020"], ["12:30"], ["99.99.2020"], ["1/2"]])
def test_other_texts_have_no_format_of_dates(texts):
    """Versions, names, times of the day."""
    assert find_format(texts) is None


def test_days_and_months_that_can_be_either_are_not_sure():
    """Unless the days follow each other."""
    found = find_format(["02/01/2024", "07/11/2023", "05/05/2024"])
    assert (found.confidence, found.others) == (0.5, ("%m/%d/%Y",))
    days = find_format([f"{day:02}/03/2024" for day in range(1, 12)])
    assert (days.format, days.confidence) == ("%d/%m/%Y", 0.8)
    year = find_format([f"{day:02}/{month:02}/2024" for month in range(1, 13) for day in (2, 9)])
    assert (year.format, year.confidence) == ("%d/%m/%Y", 0.8)
    months = find_format([f"03/{day:02}/2024" for day in range(1, 12)])
    assert (months.format, months.confidence) == ("%m/%d/%Y", 0.8)


def berlin(*texts, zone="Europe/Berlin"):
    """Return the event time of local times, and the comments on it."""
    raw = Column(("at",), "text", pl.Series(texts))
    clock = find_clock(raw, zone)
    return clock, " ".join(clock_guess(raw, clock, zone, "why").reasons)


def test_local_times_are_read_in_their_zone():
    """An hour earlier or two than in UTC; rows in the doubled and the missing hour are counted."""
    texts = [
        "2026-03-29 02:30:00",
        "2026-07-01 12:00:00",
        "2026-10-25 02:00:00",
        "2026-10-25 02:59:00",
    ]
    clock, said = berlin(*texts)
    utc, said_of_utc = berlin(*texts, zone="")
    assert (clock.seconds - utc.seconds).tolist() == [-3600, -7200, -7200, -7200]
    assert "2 rows lie in an hour that Europe/Berlin has twice" in said
    assert "1 rows lie in an hour that Europe/Berlin does not have" in said
    assert "4 texts name no zone, so they are read as UTC" in said_of_utc


def test_times_that_go_back_by_an_hour_look_local():
    """Once, at the end of summer time."""
    said = berlin("2026-10-25 02:40:00", "2026-10-25 02:55:00", "2026-10-25 02:00:00", zone="")[1]
    assert "The times go back by an hour once, on 2026-10-25" in said


def test_missing_words_are_found_and_named(tmp_path):
    """Those of pandas, and others that stand among numbers."""
    rows = [
        f"d{i % 5},{'NA' if i % 9 == 2 else i},{'k.A.' if i % 7 == 3 else i / 4}"
        for i in range(200)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["device,a,b", *rows]))
    sample = read_sample(tmp_path / "log.csv", 1000)
    kinds = {column.path: (column.kind, column.present) for column in sample.columns}
    assert kinds == {"device": ("text", 200), "a": ("integer", 178), "b": ("number", 171)}
    assert sample.file["missing"][-1] == "k.A."
    assert "'k.A.' in 29 fields of b" in sample.reasons[-1]
    assert "'NA' in 22 fields of a" in sample.reasons[-1]


def test_compressed_files_and_parts_are_read(tmp_path):
    """By the reader of the fold: gzip, JSON arrays, a directory of Parquet with folders."""
    frame = pl.DataFrame({"device": ["a", "b"] * 10, "x": range(20)})
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    (tmp_path / "log.json").write_text(json.dumps(frame.to_dicts()))
    for day in (1, 2):
        (tmp_path / "log" / f"day={day}").mkdir(parents=True)
        frame.write_parquet(tmp_path / "log" / f"day={day}" / "part-0.parquet")
    for name, rows, columns in (
        ("log.csv.gz", 20, ["device", "x"]),
        ("log.json", 20, ["device", "x"]),
        ("log", 40, ["device", "x", "day"]),
    ):
        sample = read_sample(tmp_path / name, 1000)
        assert (sample.rows, [column.path for column in sample.columns]) == (rows, columns)
    assert read_sample(tmp_path / "log", 30).rows == 30
