"""The interface of a cell that is a class: what a package implements, and what it gets.

    class Mean(nn.Module):                          # [project.entry-points."stream_rnn.cells"]
        class Config(BaseModel):                    # mean = "acme.cells:Mean"
            model_config = ConfigDict(frozen=True, extra="forbid")
            hidden: int = 64

        def __init__(self, inputs: int, config: Config) -> None: ...

Optional members are ``step``, ``gates`` with ``gate_names``, and ``reads_since_previous``.

Shape letters: T time steps, B rows, I inputs of the cell (a multiple of 8), H outputs of the cell.
"""

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stream_rnn.errors import CellError

HIDDEN_FLOATS_MAX = 65_536
OUTPUT_SIZE_MAX = 65_536

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Cell(Protocol):
    """An ``nn.Module`` that steps hidden states; all that it remembers is in h.

    Attributes:
        Config: Pydantic model of its sizes and options, all of whose fields have a default.
        hidden_shape: Shape of one key's hidden state, without the dimension of rows.
        output_size: H.

    The constructor takes the number of inputs, I, and a ``Config``.  It must also work on torch's
    device ``meta``, where tensors have shapes but no values.  All tensors are float32.
    """

    Config: ClassVar[type[BaseModel]]
    hidden_shape: tuple[int, ...]
    output_size: int

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Step T times for each of B rows, and change neither argument.

        Called with whole tiles of rows (``tiles.py``), on one thread.  The bits of a row may depend
        neither on the other rows nor on its place, and T steps give the bits of T single steps.

        Args:
            x: Inputs (T, B, I).
            h: Hidden states (B, *hidden_shape); all zeros for a key without events.

        Returns:
            The outputs (T, B, H), and the new hidden states.
        """


def sizes_of(cell: nn.Module, title: str) -> tuple[tuple[int, ...], int]:
    """Return the shape of a hidden state and the number of outputs that a cell declares.

    Raises:
        CellError: One of them is missing or out of its bounds, or a tensor has no shape yet.
    """
    for name, tensor in cell.state_dict(keep_vars=True).items():
        if is_lazy(tensor):
            raise CellError(
                f"the cell {title} fails the check shapes: {name} has no shape before the first call; "
                "use a layer that is not lazy, with the number of inputs",
                "shapes",
            )
    shape, outputs = (getattr(cell, name, None) for name in ("hidden_shape", "output_size"))
    if not (
        isinstance(shape, tuple)
        and shape
        and all(isinstance(size, int) and size > 0 for size in shape)
        and math.prod(shape) <= HIDDEN_FLOATS_MAX
    ):
        raise CellError(
            f"the cell {title} fails the check shapes: hidden_shape is {shape!r:.100}, and must be a "
            f"tuple of sizes with at most {HIDDEN_FLOATS_MAX:,} numbers; correct the cell",
            "shapes",
        )
    if not (isinstance(outputs, int) and 1 <= outputs <= OUTPUT_SIZE_MAX):
        raise CellError(
            f"the cell {title} fails the check shapes: output_size is {outputs!r:.100}, and must be "
            f"1 to {OUTPUT_SIZE_MAX:,}; correct the cell",
            "shapes",
        )
    return shape, outputs


def reads_since_previous(kind: type[nn.Module]) -> bool:
    """Return whether a cell takes ``since_previous``, the column of x with the time since the last event.

    Its constructor then has a third argument, the number of the column among the I inputs.
    """
    return bool(getattr(kind, "reads_since_previous", False))


def gate_names(cell: nn.Module) -> Mapping[str, str]:
    """Return the letters and names of the gates that a cell tells; most tell none.

    A cell that tells gates has ``gate_names``, and a method ``gates(x, h)``, which maps x (N, I) and
    h (N, *hidden_shape) before the step to the gates by letter, each in the shape of h.
    """
    names: Mapping[str, str] = getattr(cell, "gate_names", {})
    return names


def own_step(cell: nn.Module) -> Step | None:
    """Return the method ``step(x (B, I), h) -> (B, H), h`` of a cell; ``None`` if it has none."""
    step: Step | None = getattr(cell, "step", None) if hasattr(type(cell), "step") else None
    return step


def run_module(cell: nn.Module, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Run a cell over a sequence (T, B, I); a single step by its own ``step``, if it has one."""
    if len(x) == 1 and (step := own_step(cell)) is not None:
        out, h = step(x[0], h)
        return out[None], h
    out, h = cell(x, h)
    return out, h
