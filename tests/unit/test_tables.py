"""What verbs print as tables: at any width no number, interval or unit is broken over two lines."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from stream_rnn.cli import compare, doctor, evaluate, state, tail, trace
from stream_rnn.cli.shared.printing import output_console, print_note, print_table, print_text
from stream_rnn.evaluation.compare import (
    ComparedHead,
    ComparedMetric,
    Comparison,
    DifferenceExample,
)
from stream_rnn.metrics.figure import Figure
from stream_rnn.operate.check_result import Finding, Level
from stream_rnn.predictions.schema import Prediction
from stream_rnn.settings import Settings
from tests.unit.test_report import evaluation, head

WIDTHS = (60, 80, 120)
AUC = Figure(0.9909, 0.9875, 0.9942)
TIME = Figure(128_448, 105_321, 158_328)
ROW = {
    "partition": 0,
    "log_start": 1_234_567,
    "origin": 1_234_570,
    "position": 123_456_789,
    "group_offset": 123_456_789,
    "log_end": 123_456_999,
    "lag": 210,
    "keys": 5_000_000,
    "row": 11,
    "start": 123_456_789,
    "publish_from": 123_456_789,
    "stop": None,
    "would_lose": None,
    "lost": None,
    "stream_time_ahead": None,
    "anchor": 123_456_788,
    "group_offset_fold": "3fa94bc0d1e2f377",
    "last_output_fold": None,
}


def terminal(width):
    """Return a console as one of a terminal."""
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)


def lines(console):
    """Return what was printed, and check that the terminal has not to break a line."""
    found = console.file.getvalue().splitlines()
    assert max(map(len, found)) <= console.width
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_an_evaluation_keeps_its_numbers_whole(width):
    """Values with intervals, of three answers, of a number between 0 and 1 and of a time."""
    models = ("memory", "memoryless", "naive")
    some = [
        head("late", models={m: {"auc": AUC} for m in models}, worth=AUC),
        head("wait", metric="mae", unit="s", models={m: {"mae": TIME} for m in models}),
    ]
    console = terminal(width)
    evaluate._print(console, evaluation(*some), None)
    text = "\n".join(lines(console))
    assert len(re.findall(r"0\.9875 to 0\.9942", text)) == 3
    assert len(re.findall(r"29\.3 h to 44 h", text)) == 3
    assert len(re.findall(r"\b0\.9909\b", text)) == 3
    assert len(re.findall(r"\b35\.7 h", text)) >= 3


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_keeps_its_numbers_whole(width):
    """Of bundles with long names, and differences with intervals."""
    metrics = {
        "rmse": ComparedMetric(19_071_639.8, 19_095_144.4, Figure(23_504.7, -7_113.7, 44_959.4))
    }
    event = DifferenceExample("plant/line-1/machine-0001", 0, 123_456_789, "0.9909", "0.1", "no")
    heads = {"bytes": ComparedHead(2_899, metrics, (event,))}
    comparison = Comparison("a" * 30, "b" * 30, "log.csv", 15_169, {}, {}, heads)
    console = terminal(width)
    compare._print(console, comparison, {"bytes": ""})
    text = "\n".join(lines(console))
    for number in ("19,071,640", "19,095,144", "+23,505", "\N{MINUS SIGN}7,114 to +44,959"):
        assert number in text
    assert "123456789" in text


@pytest.mark.parametrize("width", WIDTHS)
def test_states_of_partitions_are_shown_by_name(width, monkeypatch):
    """Position, group offset, log start and log end, whole; no letter stands for them."""
    console = terminal(width)
    monkeypatch.setattr(state, "output_console", lambda: console)
    state._print(Settings.build(app="a", source="clicks"), "3fa94bc0d1e2f377", [ROW, ROW])
    text = "\n".join(lines(console))
    for name in ("log start", "position", "group offset", "log end"):
        assert name in text
    assert text.count("123456999") == 2
    assert not re.search(r"\b[PCSE]\b", text)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_finding_of_the_doctor_is_cut_between_words(width):
    """Its next lines stand below its text, and a unit stays with its number."""
    said = "the log reaches back 7 d, " + "and Redis answers within 30.5 s, " * 6
    console = terminal(width)
    doctor._print(console, Finding("backup", Level.WARNING, said.strip(), "take a snapshot"))
    found = lines(console)
    assert found[0].startswith("warning backup: the log")
    assert all(line.startswith(doctor.INDENT) for line in found[1:])
    assert sum(line.count("30.5 s") for line in found) == 6


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("heads", [1, 3])
def test_rows_of_tail_keep_numbers_whole(width, heads, monkeypatch):
    """The key is cut; outputs for which there is no room have lines of their own."""
    console = terminal(width)
    monkeypatch.setattr(tail, "output_console", lambda: console)
    value = {
        "format": 1,
        "numerics": "0a1b2c3d",
        "source": {"topic": "clicks", "partition": 11, "offset": 123_456_789_012},
        "key": "plant-of-the-northern-district/line-1/machine-0001",
        "event_time_ms": 1,
        "model": "m",
        "fingerprint": "3fa94bc0d1e2f377",
        "steps": 1_234_567,
        "cold": False,
        "outputs": {f"head_{i}": {"value": 19_071_639.5} for i in range(heads)},
    }
    rows = tail._TablePrinter()
    rows.show(None, Prediction.model_validate(value))
    text = "\n".join(lines(console))
    assert "123456789012" in text
    assert "1234567" in text
    assert text.count("1.90716e+07") == heads


def test_columns_of_tail_stay_below_their_titles_beside_quantiles(monkeypatch):
    """Quantiles are wider than other outputs; in a narrow terminal they have lines of their own."""
    value = {
        "format": 1,
        "numerics": "0a1b2c3d",
        "source": {"topic": "clicks", "partition": 1, "offset": 2},
        "key": "a",
        "event_time_ms": 1,
        "model": "m",
        "fingerprint": "3fa94bc0d1e2f377",
        "steps": 3,
        "cold": False,
        "outputs": {
            "range": {"p2_5": -123_456.78, "p50": -1.25e-7, "p97_5": 2e9},
            "wait": {"value": 9.75},
        },
    }
    for width, is_below in ((140, False), (100, True)):
        console = terminal(width)
        monkeypatch.setattr(tail, "output_console", lambda console=console: console)
        rows = tail._TablePrinter()
        rows.show(None, Prediction.model_validate(value))
        titles, row, *below = lines(console)
        assert bool(below) is is_below
        assert is_below or row.index("9.75") == titles.index("wait")


@pytest.mark.parametrize("width", WIDTHS)
def test_any_table_is_a_list_where_the_terminal_is_too_narrow(width):
    """Each row with its titles; a pipe has every row in one line, however long."""
    titles = ["part", *[f"column {i}" for i in range(6)]]
    cells = ["test", *[f"{10**i}.5\n1 to {10**i}" for i in range(2, 8)]]
    console = terminal(width)
    print_table(console, titles, [cells])
    text = "\n".join(lines(console))
    assert [f"{10**i}.5" in text and f"1 to {10**i}" in text for i in range(2, 8)] == [True] * 6
    console = Console(file=io.StringIO(), width=output_console().width)
    print_table(console, titles, [cells])
    assert len(console.file.getvalue().splitlines()) == 3


def test_a_trace_leaves_out_what_has_no_room():
    """First outputs go below the row, then the gates and the movement go; offset to h stay."""
    cells = [[Text("x" * 8) for _ in range(4 + 3 + 2 + 2)] for _ in range(3)]
    widths = {120: (11, 0), 100: (9, 2), 80: (6, 2), 59: (5, 2)}
    for width, (columns, outputs) in widths.items():
        rows, below = trace._fit_to_width(cells, 3, 2, width)
        assert {len(row) for row in rows} == {columns}
        assert {len(row) for row in below} == {outputs}


def test_only_the_shared_table_is_one_of_rich():
    """A table of a verb's own would wrap its cells."""
    tables = [
        path.name
        for path in Path(evaluate.__file__).parent.rglob("*.py")
        if re.search(r"rich\.table import .*\bTable\b", path.read_text())
    ]
    assert tables == ["printing.py"]


@pytest.mark.parametrize("width", range(24, 60))
def test_a_unit_and_an_interval_stay_in_one_line(width):
    """Wherever the terminal ends."""
    console = terminal(width)
    print_text(console, "no answer within 30.5 s, between 0.9875 to 0.9942 of 12 GB and more of it")
    text = "\n".join(lines(console))
    assert all(whole in text for whole in ("30.5 s", "0.9875 to 0.9942", "12 GB"))


def test_a_sentence_in_a_pipe_is_one_line(capsys):
    """Whoever reads it there has no width."""
    print_text(output_console(), "a sentence " * 40)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_note_is_one_line_whatever_the_width():
    """A pipe has 80 columns for rich, and an address in two lines cannot be copied."""
    output = io.StringIO()
    note = "Kafka and Redis run until Ctrl-C: [0, 2] " + "redis://127.0.0.1:6379/0 " * 4
    print_note(Console(file=output, width=80), note, "bold")
    assert output.getvalue() == note + "\n"
