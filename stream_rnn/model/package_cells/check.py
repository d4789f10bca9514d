"""The check of a cell before it is trained."""

import torch

from stream_rnn.model.cells import AnyCell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.model.package_cells.contract import Probe, check_contract
from stream_rnn.model.package_cells.spec import PackageCell


def check_cell_of(spec: FeatureSpec, cell: AnyCell) -> None:
    """Check that a cell can be made for a spec, and that it keeps the contract; torch's do.

    Raises:
        CellError: The cell cannot be made, or fails a check.
    """
    if isinstance(cell, PackageCell):
        with torch.random.fork_rng(devices=[]):
            check_contract(Probe.of_network(Model.initialize(spec, cell)))
