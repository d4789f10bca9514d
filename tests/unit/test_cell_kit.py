"""The conformance kit: this package's cells pass it, and each fault is found by the name of its check."""

import pytest
import torch

from stream_rnn.errors import CellError
from stream_rnn.options import CELLS
from stream_rnn.testing import check_cell
from tests import cell_classes

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_this_package_passes(name):
    """With the bits of another process, and sizes that are those of its bundle."""
    report = check_cell(name, {"hidden": 24})
    assert report.state_bytes == 16 + 4 * 24 * (2 if name == "lstm" else 1)
    assert {"step_equals_forward", "batch_independence", "processes"} <= {*report.checks}
    assert f"{report.parameters:,} parameters" in str(report)
    assert report.step_us > 0


@pytest.mark.parametrize("name", ["gru", "mingru", "rg_lru"])
def test_a_cell_of_several_layers_passes(name):
    """Of any hidden size, as far as the cell allows it."""
    hidden = 50 if name == "gru" else 40
    assert check_cell(name, {"hidden": hidden, "layers": 2}).state_bytes == 16 + 4 * 2 * hidden


def test_a_class_passes():
    """Without an entry point; its hidden state may have any shape."""
    report = check_cell(cell_classes.Mean, {"hidden": 24})
    assert report.state_bytes == 16 + 4 * 24


@pytest.mark.parametrize(
    "kind", [cell_classes.HasNoParameters, cell_classes.IsPartlyFrozen, cell_classes.Prints]
)
def test_an_unusual_cell_passes(kind, capfd):
    """What a cell does not train, or prints, breaks no promise."""
    assert "processes" in check_cell(kind).checks
    assert ("step" in capfd.readouterr().out) == (kind is cell_classes.Prints)


@pytest.mark.parametrize(
    ("kind", "check", "says"),
    [(kind, *found) for kind, found in cell_classes.BAD.items()],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_fault_is_found_by_its_name(kind, check, says):
    """The message says what is wrong."""
    with pytest.raises(CellError) as caught:
        check_cell(kind)
    assert caught.value.check == check
    assert f"fails the check {check}: " in str(caught.value)
    assert says in str(caught.value)


def test_a_class_without_a_config_is_refused():
    """A bundle could not say how to make it."""
    with pytest.raises(CellError, match="the cell HasNoConfig has no pydantic model Config"):
        check_cell(cell_classes.HasNoConfig)


def test_a_check_leaves_the_process_as_it_was():
    """Threads and random numbers of torch."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        state = torch.random.get_rng_state()
        check_cell("mingru", {"hidden": 8})
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        torch.set_num_threads(threads)
