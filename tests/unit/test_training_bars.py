"""The progress of training in a terminal: events per second and the time left are always there."""

import io
import re
import time

import pytest
from rich.console import Console

from stream_rnn.cli.shared.progress import TrainingBars
from stream_rnn.training.progress import Progress


def line_of(width, progress, speeds):
    """Return the last line of the bars of a network whose events are counted at some speed."""
    text = io.StringIO()
    with TrainingBars(Console(file=text, width=width, force_terminal=True)) as bars:
        for events in speeds:
            bars("decay_gru-restarted", progress(events))
            time.sleep(0.01)
        bars.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()).replace("\r", "\n")
    return [line for line in plain.split("\n") if line.strip()][-1]


@pytest.mark.parametrize("width", [80, 100, 130, 200])
def test_speed_and_time_left_have_room(width):
    """Of a network with a long name, late in a long training."""
    line = line_of(
        width,
        lambda events: Progress(
            "decay_gru", 99, 100, 0.5, 12.3456, 11.2345, phase="validation", events_max=10**9,
            events=events,
        ),
        range(100_000, 200_000, 10_000),
    )  # fmt: skip
    assert len(line) <= width
    assert re.search(r"[\d,]+ events/s", line), line
    assert re.search(r"left( at most)? +(\d+:)?\d+:\d\d *$", line), line
    assert "99/100" in line
