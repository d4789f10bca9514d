"""The notebook in ``tests/notebooks``, executed by a kernel of its own."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "from_a_frame_to_a_report.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Execute the notebook; return the output of each cell of code by its last line."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source.splitlines()[-1]: cell.outputs for cell in code}


def shown(outputs, kind):
    """Return what one cell shows as a result."""
    (result,) = [o for o in outputs if o.output_type == "execute_result"]
    return result.data[kind]


def test_the_notebook_is_committed_without_outputs():
    """They would change with every build of torch."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["trained", "result", "comparison"])
def test_figures_stand_in_a_frame(cells, name):
    """Their styles stay there, and nothing runs."""
    html = shown(cells[name], "text/html")
    assert html.startswith("<iframe sandbox srcdoc=")
    assert "&lt;svg" in html
    assert "<script" not in html


@pytest.mark.timeout(300)
def test_the_memory_is_worth_something(cells):
    """Only a memory knows when the vibration peaked."""
    figure = shown(cells["worth"], "text/plain")
    value, low = (float(figure.partition(f"{name}=")[2].split(",")[0]) for name in ("value", "low"))
    assert value > 0.2
    assert low > 0.1


@pytest.mark.timeout(300)
def test_the_trace_is_a_picture_and_the_replay_a_table(cells):
    """And the spec is its text."""
    assert shown(cells["steps"], "text/html").startswith("<svg")
    assert shown(cells["predictions"], "text/html").startswith("<table><caption>Replay of frame")
    assert "[[heads]]" in shown(cells["spec"], "text/html")


@pytest.mark.timeout(300)
def test_the_progress_line_is_gone_at_the_end(cells):
    """It stands in the output of a cell while a function works; messages follow it."""
    texts = ["".join(o.text for o in outputs if "text" in o) for outputs in cells.values()]
    assert all(text.endswith(" \r") for text in texts if text)
    pieces = [piece for text in texts for piece in text.split("\r")]
    messages = [piece for piece in pieces if "\n" in piece]
    assert any(message.startswith("head now_failed: the memory") for message in messages)
    assert not any(": epoch " in message or " records" in message for message in messages)
