"""Logs for which no spec can be proposed: each error has its cause and a remedy."""

import polars as pl
import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import frame_sample, read_sample
from tests.unit.test_proposal import frame, take_first


@pytest.mark.parametrize(
    ("log", "wanted", "says"),
    [
        (frame().drop("UserID", "action"), {}, "no field looks like a key"),
        (pl.DataFrame({"event_id": ["a", "b", "c"]}), {}, "event_id has 3 values in 3 rows"),
        (frame().select("UserID"), {}, "no usable column is left to learn from"),
        (
            frame(),
            {"key": ("user",)},
            "--key user: the log has no such field; its fields are UserID",
        ),
        (
            frame(),
            {"time": "action"},
            "its texts, such as 'look', are of no format that is known",
        ),
        (frame(), {"targets": ("price",)}, "--target price: the log has no such field"),
        (frame(same=1), {"targets": ("same",)}, "--target same: it has the same value"),
        (frame(b=[b"x"] * 600), {"targets": ("b",)}, "--target b: JSON cannot carry bytes"),
    ],
)
def test_what_cannot_be_done_is_a_clear_error(log, wanted, says):
    """It says what to do about it."""
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        propose(frame_sample(log), "log.csv", ProposalOptions(**wanted), take_first)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.csv", "", "cannot read the log"),
        ("log.csv", "a,b\n", "has 0 rows"),
        ("log.csv", "a,b\n1,2\n", "has 1 row; a proposal needs at least 2"),
        ("log.csv", "a,b\n1,2\n1,2,3\n", "cannot read the log"),
        ("log.jsonl", "", "cannot read the log"),
        ("log.jsonl", '{"a": 1}\n{"a": ', "has 1 row"),
        ("log.jsonl", "a\nb\n", "no line is a JSON object"),
        (
            "log.csv",
            "exported by x\n\na,b\n1,2\n3,4\n",
            "the first 1 lines are no part of the table",
        ),
        ("log.parquet", "PAR1 torn", "cannot read the log"),
        ("log.xls", "a", "a log is a .jsonl, .csv, .parquet or .avro file"),
    ],
)
def test_a_file_that_says_nothing_is_a_clear_error(tmp_path, name, content, says):
    """The message names it."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_sample(path, 1000)
    assert str(path) in str(caught.value)


def test_a_sample_is_the_first_rows(tmp_path):
    """No more than were asked for."""
    frame().write_csv(tmp_path / "log.csv")
    assert read_sample(tmp_path / "log.csv", 7).columns[0].values.to_list() == list(range(7))
