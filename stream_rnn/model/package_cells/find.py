"""Finds the class of a cell by its name: one of this package, or by an entry point of another.

A bundle names a cell, and never a module: which class belongs to the name is decided by the packages
that are installed.  The names of this package's cells cannot be taken over by another one.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from pydantic import BaseModel
from torch import nn

from stream_rnn.errors import CellError, reason
from stream_rnn.options import CELL_GROUP, CELLS

SHIPPED = {
    "mingru": "stream_rnn.model.package_cells.mingru:MinGRU",
    "rg_lru": "stream_rnn.model.package_cells.rg_lru:RGLRU",
    "decay_gru": "stream_rnn.model.package_cells.decay_gru:DecayGRU",
}
"""Cells that come with this package.  Tests pin their bits, so that no version is needed."""
CELL_NAME = r"^[a-z][a-z0-9_]{0,63}$"
RESERVED = {*CELLS, "none", "memory", "memoryless", "naive"}


@dataclass(frozen=True, slots=True)
class FoundCell:
    """A class of cells, and the distribution that it belongs to; both empty for this package's."""

    kind: type[nn.Module]
    distribution: str = ""
    version: str = ""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate whatever the code of a cell raises.

    Raises:
        CellError: The code raised an exception.
    """
    try:
        yield
    except CellError:
        raise
    except Exception as error:  # a cell of another package raises whatever it raises
        raise CellError(f"{what}: {reason(error)}; correct the cell") from error


def cell_names() -> list[str]:
    """Return the names of all cells, those of other packages last."""
    names = {entry.name for entry in entry_points(group=CELL_GROUP)} - RESERVED
    return [*CELLS, *sorted(name for name in names if re.match(CELL_NAME, name))]


def find_cell(name: str, distribution: str = "", version: str = "") -> FoundCell:
    """Find and import the class of a cell.

    Args:
        name: Name of the cell.
        distribution: Distribution that a bundle names, for the message.
        version: Its version.

    Raises:
        CellError: No installed package has such a cell, several have, or it cannot be imported.
    """
    if name in SHIPPED:
        module, _, attribute = SHIPPED[name].partition(":")
        shipped: type[nn.Module] = getattr(import_module(module), attribute)
        return FoundCell(shipped)
    entries = {_place(entry): entry for entry in entry_points(group=CELL_GROUP, name=name)}
    if name not in cell_names() or not entries:
        wanted = f"{distribution}=={version}" if version else distribution
        remedy = f"pip install {wanted}" if wanted else f"choose {', '.join(cell_names())}"
        raise CellError(f"no installed package has a cell {name}: {remedy}")
    if len(entries) > 1:
        packages = " and ".join(sorted(" ".join(place) for place in entries))
        raise CellError(f"{packages} both have a cell {name}: uninstall one of them")
    ((place, entry),) = entries.items()
    with translated(f"the cell {name} of {' '.join(place)} cannot be imported"):
        return FoundCell(checked_class(name, entry.load()), *place)


def _place(entry: EntryPoint) -> tuple[str, str]:
    """Return the distribution and the version of an entry point."""
    dist = entry.dist
    return (dist.name, dist.version) if dist is not None else ("an unknown package", "")


def checked_class(name: str, kind: object) -> type[nn.Module]:
    """Return a class that can be a cell.

    Raises:
        CellError: It is no ``nn.Module``, or has no ``Config``.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise CellError(f"the entry point {name} is no subclass of torch.nn.Module: correct it")
    config = getattr(kind, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise CellError(f"the cell {name} has no pydantic model Config: add one")
    return kind
