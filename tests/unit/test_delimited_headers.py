"""Header lines, columns and encodings of delimited text files."""

import pytest

from tests.delimited_files import error, read, spec_of, values


def test_blank_lines_and_columns_without_a_name_are_left_out(tmp_path):
    """Also more blank lines than a batch has rows; pandas writes its index without a name."""
    content = "\n,id,x,\n0,a,1,\n" + "\n" * 20_000 + "1,b,2,\n\n"
    assert read(tmp_path, content, spec_of()) == [
        (b"a", {"id": "a", "x": 1}),
        (b"b", {"id": "b", "x": 2}),
    ]


def test_a_header_alone_is_a_log_without_rows(tmp_path):
    """A file without a line is none."""
    assert read(tmp_path, "id,x\n", spec_of()) == []
    assert error(tmp_path, "\n\n", spec_of()).endswith("the file is empty")


def test_two_columns_of_one_name_are_refused(tmp_path):
    """One of them would be lost."""
    message = error(tmp_path, "id,x,x\na,1,2\n", spec_of())
    assert "two columns of line 1 have the name x; rename one" in message


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("dev,x", "no column id, which event.key or event.time names; the columns are dev, x"),
        ("id;at;x", 'set delimiter = ";" in [file]'),
        ("id\tat\tx", r'set delimiter = "\t" in [file]'),
        ("id|at|x", 'set delimiter = "|" in [file]'),
        ("id at  x", 'set delimiter = "whitespace" in [file]'),
        ("d1,17.5", "set columns = [...] in [file]"),
    ],
)
def test_a_missing_column_is_named_with_the_cause(tmp_path, header, says):
    """Where one column contains another delimiter, or the first line is no header."""
    assert says in error(tmp_path, f"{header}\n{header}\n", spec_of(time={"path": "at"}))


def test_a_name_with_a_dot_is_a_column(tmp_path):
    """Its path is quoted; without quotation marks, it leads into an object, which no row has."""
    spec = spec_of("x", key=['"http.host"'])
    assert read(tmp_path, "http.host,x\na,1\n", spec) == [(b"a", {"http.host": "a", "x": 1})]
    assert "no column http.host" in error(
        tmp_path, "http.host,x\na,1\n", spec_of(key=["http.host"])
    )


@pytest.mark.parametrize(
    "content", ["1 2  0.5\n1   3\t-1.5 \n", '  "1" 2 0.5  \n\n1 3 -1.5'], ids=["runs", "quotes"]
)
def test_a_file_without_a_header_line_loses_no_line(tmp_path, content):
    """Its columns are named by the spec; blanks separate fields."""
    spec = spec_of("c", delimiter="whitespace", columns=["id", "b", "c"])
    assert read(tmp_path, content, spec, "log.txt") == [
        (b"1", {"id": "1", "b": "2", "c": 0.5}),
        (b"1", {"id": "1", "b": "3", "c": -1.5}),
    ]
    spec = spec_of("c", delimiter="whitespace", columns=["id", "b"])
    message = error(tmp_path, content, spec, "log.txt")
    assert "line 1 has 3 fields, but [file] of the spec names 2 columns" in message


def test_a_tsv_file_is_separated_by_tabs(tmp_path):
    """Unless the spec names another delimiter than the default."""
    assert read(tmp_path, "id\tx\na,b\t1\n", spec_of(), "log.tsv") == [
        (b"a,b", {"id": "a,b", "x": 1})
    ]
    assert values(tmp_path, "id;x\na;1\n", spec_of(delimiter=";"), "log.TSV") == [
        {"id": "a", "x": 1}
    ]


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-8-sig", "cp1252"),
        ("utf-16", "utf-8"),
        ("utf-32", "utf-8"),
        ("utf-16-le", "utf-16-le"),
        ("cp1252", "cp1252"),
        ("latin-1", "latin-1"),
    ],
)
def test_an_encoding_is_that_of_the_spec_or_of_the_byte_order_mark(tmp_path, codec, encoding):
    """The mark takes precedence, and is no part of the first name."""
    content = "id,c\r\nZürich,é\r\n".encode(codec)
    assert read(tmp_path, content, spec_of(encoding=encoding)) == [
        ("Zürich".encode(), {"id": "Zürich", "c": "é"})
    ]


def test_a_wrong_encoding_names_the_byte_the_line_and_the_remedy(tmp_path):
    """Also beyond the first chunk."""
    start = "id,c\n" + "a,ä\n" * 300_000
    message = error(tmp_path, start.encode() + b"b,\xe4\n", spec_of())
    offset = len(start.encode()) + 2
    assert f"byte 0xE4 at offset {offset}, in line 300002, is not utf-8" in message
    assert 'encoding = "cp1252" in [file]' in message
    message = error(tmp_path, b"id,c\nb,\x81\n", spec_of(encoding="cp1252"))
    assert "byte 0x81 at offset 7, in line 2, is not cp1252" in message


def test_utf_16_without_a_byte_order_mark_is_named(tmp_path):
    """It is valid UTF-8 with many zero bytes."""
    message = error(tmp_path, "id,c\nb,c\n".encode("utf-16-le"), spec_of())
    assert 'it looks like UTF-16: set encoding = "utf-16-le" in [file]' in message
