"""Lines that are no rows of a file: glued objects, NUL bytes, and text below a table."""

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.replay.json_files import read_json_values
from stream_rnn.spec.sample import read_sample
from tests.unit.spec_command import run
from tests.unit.test_delimited import error, read, spec_of

GLUED = "several objects without a line break between them; write one a line: jq -c . LOG"
SPEC = """
name = "t"
[event]
key = ["device"]
[[features]]
name = "v"
kind = "numeric"
path = "v"
[[heads]]
name = "next"
kind = "regression"
path = "v"
"""
ROWS = "".join(f'{{"device": "d", "v": {i}}}\n' for i in range(5))


def test_objects_without_line_breaks_are_named(tmp_path):
    """As Firehose writes them; every reader refuses such a file."""
    log = tmp_path / "log.json"
    log.write_text(ROWS.replace("\n", ""))
    for reader in (lambda: list(read_json_values(log)), lambda: read_sample(log, 10)):
        with pytest.raises(ConfigError) as got:
            reader()
        assert f"its first line has {GLUED}" in str(got.value)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"device": "d", "v": 1}{"device": "e", "v": 2}', GLUED),
        ("\0" * 4096, "NUL bytes, as a file has after a power cut; remove them: tr -d '\\0' < LOG"),
    ],
)
def test_the_cause_of_a_line_that_is_no_json_is_named(tmp_path, line, cause):
    """By ``spec init``, and by ``spec check`` with the number of rows."""
    log, spec = tmp_path / "log.jsonl", tmp_path / "spec.toml"
    log.write_text(ROWS + line + "\n" + ROWS)
    spec.write_text(SPEC)
    assert f"1 line is {cause}; it is skipped." in read_sample(log, 100).reasons
    assert f"1 row has {cause}" in run("check", spec, log)


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("\0" * 4096, "line 3 has only NUL bytes, as a file has after a power cut"),
        ("\x1a", "line 3 is the mark Ctrl-Z of DOS for the end of a file"),
        ('\n\n"My Report"\n"All rights reserved, a, b"\n', "line 5 and all below it are no rows"),
        ("(1 row)\n", "a text below the table: head -n 2 LOG"),
        ("b\n", "line 3 has 1 field, but the header has 2 columns"),
        ("b\nc,1\n", "line 3 has 1 field, but the header has 2 columns"),
        ("b,1,2\n", "put a text that contains ',' into quotation marks"),
    ],
)
def test_what_follows_a_table_is_named(tmp_path, end, says):
    """A row that is cut is none of these."""
    assert says in error(tmp_path, f"id,x\na,1\n{end}", spec_of())


@pytest.mark.parametrize("given", [{}, {"delimiter": "\\x01"}, {"delimiter": "\\u0001"}])
def test_the_delimiter_of_hive_is_found_or_given(tmp_path, given):
    """Ctrl-A; a shell passes on an escape as it is."""
    log = tmp_path / "log.txt"
    log.write_text("".join(f"d{i % 3}\x01{i}\x01{i * i}\n" for i in range(9)))
    sample = read_sample(log, 100, given)
    assert sample.file["delimiter"] == "\x01"
    assert [column.distinct for column in sample.columns] == [3, 9, 9]


def test_a_tab_may_be_given_as_an_escape(tmp_path):
    """As the message about a wrong delimiter says."""
    log = tmp_path / "log.csv"
    log.write_text("a\tb\n1\t2\n3\t4\n")
    assert read_sample(log, 100, {"delimiter": "\\t"}).file["delimiter"] == "\t"


def test_a_key_of_minus_zero_is_its_text(tmp_path):
    """As in the key of a record; other parts and zeros keep theirs."""
    lines = ["-0", "0", '"-0"', '0, "note": "-0"', "-0.0"]
    text = "".join(f'{{"id": {line}}}\n' for line in lines)
    rows = read(tmp_path, text, spec_of(), "log.jsonl")
    assert [key for key, _ in rows] == [b"-0", b"0", b"-0", b"0", b"-0.0"]
