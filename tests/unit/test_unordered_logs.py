"""What ``spec init`` proposes from a log whose rows are not in the order of time."""

import random
import shlex

import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.spec import command

HEADER = "device,at,mode\n"


def lines_of(rows=600):
    """Return the lines of 5 devices; a mode follows another in a fixed cycle."""
    steps = [(i // 5, i % 5) for i in range(rows)]
    return [
        f"d{device},{1_767_225_600 + 3600 * step},{'abcd'[(step + device) % 4]}\n"
        for step, device in steps
    ]


def propose(path, out):
    """Propose a spec; return its text, that of features and heads, and the words of the next command."""
    result = CliRunner().invoke(command, ["init", str(path), "--out", str(out)])
    assert result.exit_code == 0, result.output
    text = out.read_text()
    kept = text.partition("[[features]]")[2]
    return text, kept, shlex.split(result.output.partition("run: ")[2])


def test_the_statistics_are_those_of_the_sorted_log(tmp_path):
    """Key, head and waits are found as if the file were sorted, as training reads it."""
    lines = lines_of()
    (tmp_path / "log.csv").write_text(HEADER + "".join(lines))
    _, expected, _ = propose(tmp_path / "log.csv", tmp_path / "a.toml")
    random.Random(1).shuffle(lines)
    (tmp_path / "log.csv").write_text(HEADER + "".join(lines))
    text, found, _ = propose(tmp_path / "log.csv", tmp_path / "b.toml")
    assert found == expected
    assert "time_to_next" not in found  # the hours between events are equal
    assert "earlier than the row before" in text


@pytest.mark.parametrize("is_sorted", [True, False])
def test_the_next_command_can_be_copied(tmp_path, is_sorted):
    """It sorts if that is needed, and a shell reads its paths as they are."""
    lines = lines_of() if is_sorted else lines_of()[::-1]
    log, out = tmp_path / "my log's.csv", tmp_path / "a spec.toml"
    log.write_text(HEADER + "".join(lines))
    _, _, words = propose(log, out)
    sort = [] if is_sorted else ["--sort-by-time"]
    expected = ["stream-rnn", "train", str(log), "--spec", str(out), *sort, "--out", "BUNDLE"]
    assert words == expected
