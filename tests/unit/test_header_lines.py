"""Header lines of ``spec init``: one with a name too few, and none above texts only."""

import subprocess

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.spec.sniffing import Sniffer

ROWS = [["device", "at", "temp"], *([f"d{i % 3}", f"2024-01-0{i}", "20.5"] for i in range(1, 9))]


def mended(message, content):
    """Return what the command of a message makes of a file."""
    command = message.partition(": sed ")[2].replace(" LOG", "")
    return subprocess.run(
        ["/bin/sh", "-c", "sed " + command], input=content, capture_output=True, check=True
    ).stdout


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " "])
def test_row_names_lack_a_name(mark):
    """The remedy keeps the header, and makes a table of the file."""
    lines = [mark.join(([] if i == 0 else [str(i)]) + row) for i, row in enumerate(ROWS)]
    content = "\n".join([*lines, ""]).encode()
    with pytest.raises(ConfigError, match="has 3 names, but line 2 has 4 fields: the first") as got:
        Sniffer(content, {}).sniff()
    whole = mended(str(got.value), content)
    assert whole.splitlines()[0].decode() == mark.join(["row", *ROWS[0]])
    assert "columns" not in Sniffer(whole, {}).sniff().options


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "|"])
def test_a_trailing_delimiter_is_removed(mark, end):
    """It is named as such, whatever ends the lines."""
    lines = [mark.join(row) + mark * (i > 0) for i, row in enumerate(ROWS)]
    content = end.join([*lines, ""]).encode()
    with pytest.raises(ConfigError, match="the lines below it end with a delimiter") as got:
        Sniffer(content, {}).sniff()
    assert mended(str(got.value), content) == end.join([*map(mark.join, ROWS), ""]).encode()


@pytest.mark.parametrize("above", [["# exported,by"], ["Report of 2024"], ["a,b", "c"]])
def test_lines_above_a_table_are_removed(above):
    """A comment, a title, or more than one line: they have no names."""
    content = "\n".join([*above, *map(",".join, ROWS), ""]).encode()
    with pytest.raises(ConfigError, match=rf"Remove them: tail -n \+{len(above) + 1} LOG"):
        Sniffer(content, {}).sniff()


def test_a_first_line_of_values_is_no_header():
    """All its fields are texts, which the lines below have, too."""
    rows = [[f"m{i % 3}", ("run", "stop")[i % 2], ("bad", "good")[i % 5 > 0]] for i in range(20)]
    content = "\n".join([*map(",".join, rows), ""]).encode()
    found = Sniffer(content, {}).sniff()
    assert found.options["columns"] == ["column_1", "column_2", "column_3"]
    assert any("texts of the first line, such as m0, are values" in text for text in found.reasons)


def test_a_header_that_is_repeated_is_a_header():
    """Files that were joined repeat it; one column may contain its own name."""
    rows = [["machine", "state", "result"], *([f"m{i}", "state", "ok"] for i in range(9))]
    content = "\n".join([*map(",".join, [*rows, rows[0]]), ""]).encode()
    assert "columns" not in Sniffer(content, {}).sniff().options


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["device,at,temp", *(f"d{i % 3},2024-01-0{i},20,5" for i in range(9))], "decimal commas"),
        (["id,v", *(f"{i},20,5" for i in range(9))], "decimal commas"),
        (["device,note", *(f"d{i % 3},'a, {i}'" for i in range(9))], "a text in single quotes"),
        (["device,note", *(f"d{i % 3},a, b" for i in range(9))], "put such texts into quotes"),
    ],
)
def test_a_name_too_few_has_its_cause_named(lines, says):
    """A name for the first column would shift all others, so it is no remedy here."""
    with pytest.raises(ConfigError) as caught:
        Sniffer("\n".join([*lines, ""]).encode(), {}).sniff()
    assert says in str(caught.value)
    assert ("sed '1s" in str(caught.value)) == (lines[0] == "id,v")


def test_a_remedy_has_no_raw_carriage_return():
    """A terminal would overwrite the line with it."""
    content = "\r\n".join([",".join(row) + "," * (i > 0) for i, row in enumerate(ROWS)]).encode()
    with pytest.raises(ConfigError, match="the lines below it end with a delimiter") as caught:
        Sniffer(content + b"\r\n", {}).sniff()
    assert "\r" not in str(caught.value)
    assert r"(\r?)$" in str(caught.value)
