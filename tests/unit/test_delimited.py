"""Delimited text files: the spec says what their texts are, and every row is read or named."""

import csv
import json
import tracemalloc

import pytest

from stream_rnn.fold.decoder import Decoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay import delimited
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings
from tests.delimited_files import error, read, spec_of, values
from tests.file_records import read_records


def test_a_key_is_the_text_of_the_file(tmp_path):
    """007, 07 and 7 are three keys, and no column becomes a number that the spec does not read."""
    rows = read(tmp_path, "id,v,x\n007,1.10,1.10\n07,1.1,+2\n7,1e3,.5\n", spec_of())
    assert rows == [
        (b"007", {"id": "007", "v": "1.10", "x": 1.1}),
        (b"07", {"id": "07", "v": "1.1", "x": 2}),
        (b"7", {"id": "7", "v": "1e3", "x": 0.5}),
    ]


def test_a_key_that_is_also_a_number_stays_the_text(tmp_path):
    """The same column may be a feature."""
    assert read(tmp_path, "id\n007\n", spec_of("id")) == [(b"007", {"id": 7})]


def test_the_parts_of_keys_do_not_meet(tmp_path):
    """A dash in a part is escaped, so (1-2, 3) and (1, 2-3) are two keys; UA-EWR stays UA-EWR."""
    content = "a,b,x\n1-2,3,0\n1,2-3,0\nUA,EWR,0\n\\,-,0\n,z,0\n"
    keys = [key for key, _ in read(tmp_path, content, spec_of(key=["a", "b"]))]
    assert keys == [rb"1\-2-3", rb"1-2\-3", b"UA-EWR", rb"\\-\-", None]


def test_the_first_alternative_that_is_not_missing_makes_the_key(tmp_path):
    """A column that the file lacks is missing."""
    spec = spec_of(key=[["after", "before", "other"]])
    keys = [key for key, _ in read(tmp_path, "after,before,x\na,b,0\n,b,0\n,,0\n", spec)]
    assert keys == [b"a", b"b", None]


def test_a_text_among_numbers_costs_its_row_alone(tmp_path):
    """Also behind any number of whole numbers; the decoder states the reason."""
    numbers = "".join(f"a,{i}\n" for i in range(20_000))
    path = tmp_path / "log.csv"
    path.write_text(f"id,x\n{numbers}a,1.5\na,12A\na,7\n")
    records = [record for _, record in read_records(path, spec_of())]
    decoded = Decoder(spec_of(), Settings.build()).decode(records)
    assert [json.loads(r.value)["x"] for r in records[-4:]] == [19_999, 1.5, "12A", 7]
    assert [*decoded.skips] == [20_001]
    assert decoded.skips[20_001].code == "wrong_schema"
    assert len(decoded.rows) == 20_002


def test_missing_words_are_null_but_in_a_key(tmp_path):
    """The words of the spec, or those of pandas; in a key, only the empty text is missing."""
    content = 'id,c,x\nNA,NA,NaN\n,"",null\nnan,-,-\n'
    categorical = {"kind": "categorical", "name": "c", "path": "c", "vocabulary": ["a"]}
    assert read(tmp_path, content, spec_of("x", categorical)) == [
        (b"NA", {"id": None, "c": None, "x": None}),
        (None, {"id": None, "c": None, "x": None}),
        (b"nan", {"id": None, "c": "-", "x": "-"}),
    ]
    assert read(tmp_path, content, spec_of("x", categorical, missing=["-"])) == [
        (b"NA", {"id": "NA", "c": "NA", "x": "NaN"}),
        (None, {"id": "", "c": "", "x": "null"}),
        (b"nan", {"id": "nan", "c": None, "x": None}),
    ]


def test_a_number_may_be_a_missing_word(tmp_path):
    """Such as the -999 of a data logger."""
    found = values(tmp_path, "id,x\na,-999\na, -999\na,-9\n", spec_of(missing=["-999"]))
    assert [value["x"] for value in found] == [None, None, -9]


@pytest.mark.parametrize(
    ("marks", "texts", "numbers"),
    [
        ({}, ["1", "-1.50", "1e2", "5.", " 7 "], [1, -1.5, 100.0, 5.0, 7]),
        ({}, ["1,5", "1_0", "0x1", "inf", "1e999"], ["1,5", "1_0", "0x1", "inf", "1e999"]),
        ({"decimal": ","}, ["1,5", "1.5"], [1.5, "1.5"]),
        (
            {"decimal": ",", "thousands": "."},
            ["1.234,5", "1.234", "1234", "1.5", "12.34", "-1.234.567"],
            [1234.5, 1234, 1234, "1.5", "12.34", -1234567],
        ),
        ({"thousands": " "}, ["1 234.5", "1 23"], [1234.5, "1 23"]),
        (
            {},
            ["9007199254740993", "123456789012345678901"],
            [9007199254740993, 1.2345678901234568e20],
        ),
    ],
)
def test_numbers_are_written_as_the_spec_says(tmp_path, marks, texts, numbers):
    """A text that is no such number stays a text, and is no other number."""
    content = "id;x\n" + "".join(f"a;{text}\n" for text in texts)
    found = values(tmp_path, content, spec_of(delimiter=";", **marks))
    assert [value["x"] for value in found] == numbers
    assert [type(value["x"]) for value in found] == [type(number) for number in numbers]


def test_booleans_are_words_or_bits(tmp_path):
    """For a boolean feature and for a binary head without a threshold."""
    flag = {"kind": "boolean", "name": "f", "path": "f"}
    head = {"kind": "binary", "name": "h", "path": "h"}
    content = "id,f,h\na,True,0\na,false,1\na,yes,NA\n"
    found = values(tmp_path, content, spec_of(flag, heads=[head]))
    assert [(value["f"], value["h"]) for value in found] == [
        (True, False),
        (False, True),
        ("yes", None),
    ]


def test_the_values_of_conditions_are_typed_as_those_they_are_compared_with(tmp_path):
    """A record filter for the number 1 and one for true meet the texts of a file."""
    spec = spec_of().model_dump(by_alias=True)
    spec["event"]["only"] = [{"path": "n", "in": [1]}, {"path": "b", "in": [True]}]
    spec["event"]["forget_when"] = {"path": "op", "equals": "1"}
    found = values(tmp_path, "id,n,b,op\na,1,true,1\n", FeatureSpec.parse(spec, "t"))
    assert found == [{"id": "a", "n": 1, "b": True, "op": "1"}]


def test_a_quoted_text_may_contain_everything(tmp_path):
    """Delimiters, quotation marks and line breaks of any kind."""
    content = 'id,c\r\n"a,b","say ""x"""\r\nd,"1\r\n2\n3\r4"\r\n'
    assert read(tmp_path, content, spec_of()) == [
        (b"a,b", {"id": "a,b", "c": 'say "x"'}),
        (b"d", {"id": "d", "c": "1\r\n2\n3\r4"}),
    ]


def test_a_long_text_is_read_and_no_limit_of_the_process_stays_changed(tmp_path):
    """The csv module refuses texts of more than 131,072 characters by default."""
    csv.field_size_limit(131_072)
    long = "x" * 300_000
    assert values(tmp_path, f"id,c\na,{long}\n", spec_of()) == [{"id": "a", "c": long}]
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("id,x\na,1\na,1,2\n", 3, "has 3 fields, but the header has 2 columns"),
        ("id,x\na,1\na\n", 3, "has 1 field, but the header has 2 columns"),
        ('id,x\n\n"a\n\n",1\nb\n', 6, "has 1 field, but the header has 2 columns"),
        ('id,x\na,1\n"b,1\nc,2\n', 3, "a quotation mark is not closed"),
        ('id,x\na,1\n"5" pipe,1\n', 3, "text follows a closing quotation mark"),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_with_its_line(tmp_path, content, line, says):
    """Nothing is lost, and nothing is filled in."""
    message = error(tmp_path, content, spec_of())
    assert f"log.csv: line {line}" in message
    assert says in message


def test_an_open_quotation_mark_takes_a_bounded_memory(tmp_path, monkeypatch):
    """It does not swallow the rest of a file."""
    monkeypatch.setattr(delimited, "FIELD_CHARS_MAX", 1000)
    content = 'id,x\na,1\n"b,1\n' + "c,2\n" * 1000
    assert "line 3: a quotation mark is not closed" in error(tmp_path, content, spec_of())


def test_the_rows_of_a_batch_take_no_more_memory_than_their_bytes(tmp_path):
    """A reader keeps whole batches, so each row must not occupy the buffer of its serializer."""
    path = tmp_path / "log.csv"
    path.write_text("id,x\n" + "a,1\n" * 5000)
    list(read_batches(path, spec_of()))
    tracemalloc.start()
    try:
        batches = list(read_batches(path, spec_of()))
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    rows = sum(len(batch) for batch in batches)
    assert rows == 5000
    assert size < 1000 * rows


def test_a_file_of_many_columns_is_read_in_small_batches(tmp_path, monkeypatch):
    """The memory of a batch is that of its cells."""
    monkeypatch.setattr(delimited, "CELLS_A_BATCH", 30)
    path = tmp_path / "log.csv"
    path.write_text("id,x,y\n" + "a,1,2\n" * 25)
    assert [len(batch) for batch in read_batches(path, spec_of())] == [10, 10, 5]


@pytest.mark.parametrize(
    ("unit", "texts", "times_ms"),
    [
        ("s", ["1", "1.5", "1767225600"], [1000, 1500, 1767225600000]),
        ("ms", ["1", "2e3"], [1, 2000]),
        ("us", ["1767225600000999"], [1767225600000]),
        ("ns", ["1767225600000999999", "1767225600001000000"], [1767225600000, 1767225600001]),
        ("s", ["1", "", "soon", "1e300"], [1000, -1, -1, -1]),
    ],
)
def test_the_timestamp_of_a_row_is_its_event_time(tmp_path, unit, texts, times_ms):
    """As the decoder computes it, also where the integers are beyond 2^53."""
    path, spec = tmp_path / "log.csv", spec_of(time={"path": "at", "unit": unit})
    path.write_text("id,at\n" + "".join(f"a,{text}\n" for text in texts))
    records = [record for _, record in read_records(path, spec)]
    assert [record.timestamp for record in records] == times_ms
    decoded = Decoder(spec, Settings.build()).decode(records)
    assert decoded.time_ms.tolist() == [time_ms for time_ms in times_ms if time_ms >= 0]
