"""Excel's first line ``sep=;``: every reader of files skips it, and takes the delimiter it names."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.spec.sniffing import Sniffer
from tests.unit.spec_command import run
from tests.unit.test_delimited import error, spec_of, values


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;"])
@pytest.mark.parametrize("given", [{}, {"delimiter": ";"}, {"delimiter": "\t"}])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_read_by_the_delimiter_that_its_first_line_names(tmp_path, first, given, end):
    """Whatever the spec says, as with a byte order mark."""
    content = end.join([first, "id;x", "a;1", 'b;"2"', ""])
    assert values(tmp_path, content, spec_of(**given)) == [{"id": "a", "x": 1}, {"id": "b", "x": 2}]


def test_a_line_that_names_nothing_is_skipped_alone(tmp_path):
    """The delimiter is that of the spec then; a header may begin with ``sep``."""
    assert values(tmp_path, "sep=\nid,x\na,1\n", spec_of()) == [{"id": "a", "x": 1}]
    assert values(tmp_path, "sep,id,x\n1,a,1\n", spec_of()) == [{"sep": "1", "id": "a", "x": 1}]
    columns = {"columns": ["id", "x"]}
    assert values(tmp_path, "sep=|\na|1\n", spec_of(**columns)) == [{"id": "a", "x": 1}]


def test_lines_are_counted_as_in_the_file(tmp_path):
    """A row that cannot be read is named by its line."""
    assert "line 4 has 3 fields" in error(tmp_path, "sep=;\nid;x\na;1\nb;2;3\n", spec_of())
    assert "columns of line 2 have the name id" in error(tmp_path, "sep=;\nid;id\n", spec_of())
    assert "the file is empty" in error(tmp_path, "sep=;\n", spec_of())


def test_a_proposed_spec_reads_the_file_it_is_for(tmp_path):
    """``spec init``, then ``spec check``, with the same file."""
    rows = [f"d{i % 3};{i * i % 13},5;2024-01-01T00:{i:02}:00Z" for i in range(60)]
    log, spec = tmp_path / "log.csv", tmp_path / "spec.toml"
    log.write_text("\n".join(["sep=;", "device;temp;at", *rows, ""]))
    run("init", log, "--key", "device", "--target", "temp", "--out", spec)
    assert 'delimiter = ";"' in spec.read_text()
    assert "60 rows: 60 events" in run("check", spec, log)


@pytest.mark.parametrize(
    ("first", "given", "delimiter"),
    [
        ("sep=;", {}, ";"),
        ('"sep=;"', {"delimiter": ","}, ";"),
        ("\ufeffSEP=\t", {}, "\t"),
        ("sep=,", {"delimiter": ";"}, ","),
        ("sep=", {}, ";"),
    ],
)
def test_a_first_line_that_names_the_delimiter_is_no_row(first, given, delimiter):
    """Excel writes it, and reads what it names; a line without a sign names nothing."""
    mark = delimiter if first.strip('"') != "sep=" else ";"
    rows = [
        mark.join(row)
        for row in (["device", "at", "temp"], *(["d1", str(i), "x"] for i in range(9)))
    ]
    found = Sniffer("\n".join([first, *rows, ""]).encode(), given).sniff()
    assert found.format.delimiter == delimiter
    assert ("delimiter" in found.options) == (delimiter != ",")
    assert "columns" not in found.options


def test_lines_below_one_that_names_the_delimiter_have_their_numbers():
    """A remedy counts the lines of the file."""
    below = [f"d{i % 3};{i};b" for i in range(9)]
    for lines, says in (
        (["sep=;", "A title", "device;at;name", *below], "line 2 has 1 fields and line 3 has 3"),
        (["sep=;", "device;at", *below], "line 2, the header, has 2 names, but line 3 has 3"),
    ):
        with pytest.raises(ConfigError, match=says):
            Sniffer("\n".join([*lines, ""]).encode(), {}).sniff()
    with pytest.raises(ConfigError, match="the file has no line of text"):
        Sniffer(b"sep=;\n", {}).sniff()
