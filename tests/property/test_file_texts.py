"""Any texts in a delimited file come back as they are, and different keys stay different."""

import csv
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rnn.model.features import FeatureSpec
from tests.file_records import read_records

EXAMPLES = settings(max_examples=60, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
rows = st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=8)


def spec_of(key, **file):
    """Make a spec whose only number is a column that no file has."""
    return FeatureSpec.parse(
        {
            "name": "t",
            "file": {"missing": [], **file},
            "event": {"key": key},
            "features": [{"kind": "numeric", "name": "x", "path": "x"}],
            "heads": [{"kind": "time_to_next", "name": "wait"}],
        },
        "t",
    )


@given(
    rows,
    st.sampled_from(list(",;|\t")),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
@EXAMPLES
def test_a_text_is_read_as_it_was_written(content, delimiter, codec, end, is_quoted):
    """With any delimiter, encoding and line end, quoted where it must be or everywhere."""
    # The writer of Python leaves a line break unquoted that is not its own.
    is_quoted = is_quoted or any(set("\r\n") & set(text) for row in content for text in row)
    style = csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.csv"
        with path.open("w", newline="", encoding=codec) as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=style)
            writer.writerows([("a", "b", "c"), *content])
        spec = spec_of(["a"], delimiter=delimiter)
        records = [record for _, record in read_records(path, spec)]
    assert [list(json.loads(r.value).values()) for r in records] == [list(row) for row in content]
    assert [r.key for r in records] == [row[0].encode() or None for row in content]


@given(rows)
@EXAMPLES
def test_different_parts_make_different_keys(content):
    """And equal ones equal keys, in CSV as in JSON."""
    spec = spec_of(["a", "b", "c"])
    with tempfile.TemporaryDirectory() as directory:
        table, lines = Path(directory) / "log.csv", Path(directory) / "log.jsonl"
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("a", "b", "c"), *content])
        objects = [dict(zip("abc", row, strict=True)) for row in content]
        lines.write_text("".join(json.dumps(row) + "\n" for row in objects))
        keys = [record.key for _, record in read_records(lines, spec)]
        of_table = [record.key for _, record in read_records(table, spec)]
    assert len(set(keys)) == len(set(content))
    assert all(
        key == (of_lines if all(row) else None)
        for key, of_lines, row in zip(of_table, keys, content, strict=True)
    )
