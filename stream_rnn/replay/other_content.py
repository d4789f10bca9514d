"""Content that the name of a file does not promise: what it is, and the remedy.

A format is that of the name, and is never guessed from the content.  Where the content has another
format, these functions tell what it looks like.
"""

import csv
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice

DELIMITERS = (",", ";", "\t", "|")
LINES_TRIED = 20
END_LINES_MAX = 100  # lines that a text below a table may have
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_MARKUP = re.compile(r"<(?:!doctype|\?xml|[a-z][\w:-]*[\s/>])", re.IGNORECASE)
_SQL = re.compile(  # no header of a table, even one with columns such as begin or "Set Number"
    r"(?:insert\s+into|replace\s+into|create\s+(?:table|database)|drop\s+table)(?:\W|$)|"
    r"copy\s.*\sfrom\s+stdin(?:\W|$)|set\s+(?:names\s+\S+|[@\w.]+\s*=.*|[@\w.]+\s+to\s.*);?\s*$|"
    r"(?:begin|start\s+transaction|begin\s+(?:transaction|work)\b.*);?\s*$|--(?:\s|$)|/\*(?:\W|$)",
    re.IGNORECASE,
)


def describe_first_line(line: str) -> str:
    """Return what a line is that looks like no line of a table, with the remedy; empty for one.

    Args:
        line: The whole first line; what follows it is not read.

    Example:
        >>> describe_first_line('{"device": "d1"}')
        'its first line looks like JSON: rename the file to .jsonl'
    """
    start = line.lstrip().partition("\n")[0]
    if start.startswith(("{", "[{")) or start.rstrip() == "[":
        return "its first line looks like JSON: rename the file to .jsonl"
    if _MARKUP.match(start):
        return "its first line looks like HTML or XML: export the table as CSV"
    if _SQL.match(start):
        return "its first line looks like SQL: export the table as CSV, or rows as JSON lines"
    return ""


def describe_lines(text: str) -> str:
    """Return what the first lines of a file are if none is JSON; empty if that is not clear.

    Args:
        text: Start of the file, which may end within a line.
    """
    lines = [line for line in text.splitlines()[: LINES_TRIED + 1] if line.strip()]
    lines = lines[:-1] if len(lines) > LINES_TRIED else lines
    if len(lines) < 2 or any("\0" in line for line in lines):
        return ""
    starts = [line.lstrip() for line in lines]
    if found := _describe_starts(starts):
        return found
    if any(start.startswith(("{", "[")) for start in starts):
        return ""
    is_table = any(_is_table(lines, delimiter) for delimiter in DELIMITERS)
    table = "its lines look like delimited text, not JSON: rename the file to .csv" * is_table
    return describe_first_line(lines[0]) or table


def describe_value(line: bytes) -> str:
    """Return why a line that is no JSON is none, with the remedy; empty if that is not clear.

    Example:
        >>> describe_value(b'{"v": 1}{"v": 2}')
        'several objects without a line break between them; write one a line: jq -c . LOG'
    """
    if line and not line.strip(b"\0"):
        return "NUL bytes, as a file has after a power cut; remove them: tr -d '\\0' < LOG"
    try:
        text = line.decode()
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(value, dict) and text[end:].lstrip().startswith("{"):
        return "several objects without a line break between them; write one a line: jq -c . LOG"
    return ""


def describe_end(rows: Iterable[Sequence[str]], line: int) -> str:
    """Return what the lines at the end of a table are if they are no rows, with the remedy.

    Args:
        rows: The fields of the first line that is no row, and of the lines below it.
        line: Number of this line.

    Returns:
        The end of a message; empty if the lines are not those of an end.
    """
    found = [row for row in islice(rows, END_LINES_MAX + 1) if row]
    if len(found) > END_LINES_MAX or any(len(row) > 1 for row in found):
        return ""
    text = "".join(row[0] for row in found).strip()
    if not text.strip("\0"):
        return "has only NUL bytes, as a file has after a power cut; remove them: tr -d '\\0' < LOG"
    if text == "\x1a":
        return "is the mark Ctrl-Z of DOS for the end of a file; remove it: tr -d '\\032' < LOG"
    if len(found) > 1 or " " in text:
        return f"and all below it are no rows, but a text below the table: head -n {line - 1} LOG"
    return ""


def _describe_starts(starts: Sequence[str]) -> str:
    """Return why lines with an object in each are no JSON; empty for other lines."""
    if all(start.startswith(("{'", "[{'")) for start in starts):
        return "its lines are texts of Python, not JSON; write them by json.dumps"
    if all(re.match(r"[^\t{\[]*\t\s*\{", start) for start in starts):
        return (
            "its lines have a text and a tab before the object, as a console consumer prints keys; "
            "remove it: cut -f2-"
        )
    return ""


def _is_table(lines: Sequence[str], delimiter: str) -> bool:
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter, strict=True) if row]
    except csv.Error:
        return False
    return len(rows) > 1 and len(rows[0]) > 1 and {len(row) for row in rows} == {len(rows[0])}
