"""The contract of a cell as checks, each of which has a name.

A fold is exact only if its cell is: the same events must give the same bits, in any batch, after
any restart.  ``load_bundle`` runs these checks over the cell of another package, with the weights
of the bundle; :func:`stream_rnn.testing.check_cell` adds those that need threads or processes.

Shape letters: T time steps, B rows, I inputs of the cell, H outputs of the cell.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from stream_rnn.errors import CellError
from stream_rnn.model.cells import CellSpec, run_cell
from stream_rnn.model.package_cells.find import translated
from stream_rnn.model.package_cells.interface import gate_names, sizes_of
from stream_rnn.model.tiles import is_batch_invariant, tile_rows, whole_tiles

if TYPE_CHECKING:
    from stream_rnn.model.network import Model

STEPS = 5
EXTREME = 1e6
EXTREME_STEPS = 40
ROWS = 6

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Probe:
    """A cell, and what is needed to step it.

    Attributes:
        cell: Module of the cell, in evaluation mode.
        inputs: Number of inputs, I.
        hidden_shape: Shape of one hidden state.
        output_size: H.
        title: The cell for messages.
        make: Makes another module of the same class, config and inputs; ``None`` for torch's.
    """

    cell: nn.Module
    inputs: int
    hidden_shape: tuple[int, ...]
    output_size: int
    title: str
    make: Callable[[], nn.Module] | None = None

    @classmethod
    def of_class(
        cls, make: Callable[[], nn.Module], inputs: int, title: str, cell: nn.Module | None = None
    ) -> Self:
        """Return the probe of a class's module, which is made unless it is given.

        Raises:
            CellError: ``hidden_shape`` or ``output_size`` is missing or out of its bounds.
        """
        cell = make() if cell is None else cell
        return cls(cell.eval(), inputs, *sizes_of(cell, title), title, make)

    @classmethod
    def of_torch(cls, cell: nn.Module, inputs: int, spec: CellSpec) -> Self:
        """Return the probe of a module of torch."""
        return cls(cell.eval(), inputs, spec.hidden_shape, spec.hidden, spec.description)

    @classmethod
    def of_network(cls, model: "Model") -> Self:
        """Return the probe of a model's cell."""
        network, spec = model.network, model.cell
        inputs = network.cell_inputs(torch.zeros(1, model.feature_count)).shape[1]
        if isinstance(spec, CellSpec):
            return cls.of_torch(network.cell, inputs, spec)
        return cls.of_class(network.new_cell, inputs, spec.title, network.cell)

    def run(self, x: Tensor, h: Tensor) -> Pair:
        """Step B rows as a model does, in whole tiles: x (T, B, I) gives (T, B, H), and h."""
        rows = x.shape[1]
        sequence = x.new_zeros(len(x), whole_tiles(rows), self.inputs)
        hidden = h.new_zeros(sequence.shape[1], *self.hidden_shape)
        sequence[:, :rows], hidden[:rows] = x, h
        out, hidden = run_cell(self.cell, sequence, hidden)
        return out[:, :rows], hidden[:rows]

    def zeros(self, rows: int) -> Tensor:
        """Return the hidden states of keys without events."""
        return torch.zeros(rows, *self.hidden_shape)

    def inputs_of(self, steps: int, rows: int, seed: int) -> Tensor:
        """Draw inputs (T, B, I)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(steps, rows, self.inputs, generator=generator)

    def states(self, rows: int, seed: int) -> Tensor:
        """Return hidden states (B, *hidden_shape) that the cell has reached by some events."""
        return self.run(self.inputs_of(STEPS, rows, seed), self.zeros(rows))[1]


def same_bits(one: Pair, other: Pair) -> bool:
    """Return whether outputs and hidden states have the same bits."""
    return all(
        a.shape == b.shape and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()
        for a, b in zip(one, other, strict=True)
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one intra-op thread, as a worker does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_contract(probe: Probe) -> tuple[str, ...]:
    """Run all checks; return their names.

    Raises:
        CellError: The cell fails a check, which the message names.
    """
    with one_thread(), torch.inference_mode(), torch.random.fork_rng(devices=[]):
        for check in CHECKS:
            run_check(probe, check)
    return tuple(check.__name__ for check in CHECKS)


def run_check(probe: Probe, check: Callable[[Probe], str]) -> None:
    """Run one check, which returns what is wrong.

    Raises:
        CellError: Something is wrong, or the code of the cell raised an exception.
    """
    what = f"the cell {probe.title} fails the check {check.__name__}"
    try:
        with translated(what):
            problem = check(probe)
    except CellError as error:
        error.check = check.__name__
        raise
    if problem:
        remedy = "correct the cell, or install a version that stream_rnn.testing.check_cell accepts"
        raise CellError(f"{what}: {problem}; {remedy}", check.__name__)


def shapes(probe: Probe) -> str:
    """Outputs, hidden states and tensors have the declared shapes, in float32."""
    of_storage: dict[int, str] = {}
    for name, tensor in probe.cell.state_dict().items():
        if not isinstance(tensor, Tensor) or tensor.dtype != torch.float32:
            return f"{name} is {getattr(tensor, 'dtype', type(tensor).__name__)}, not torch.float32"
        other = of_storage.setdefault(tensor.untyped_storage().data_ptr(), name)
        if tensor.numel() and other != name:
            return (
                f"{other} and {name} share memory, and a bundle has each tensor once: keep the "
                "module or the tensor in one attribute"
            )
    rows = tile_rows()
    for steps in (1, 3):
        result = run_cell(probe.cell, probe.inputs_of(steps, rows, 1), probe.zeros(rows))
        wanted = (steps, rows, probe.output_size), (rows, *probe.hidden_shape)
        for name, found, shape in zip(("output", "hidden state"), result, wanted, strict=True):
            if tuple(found.shape) != shape or found.dtype != torch.float32:
                return (
                    f"the {name} of {steps} steps is {found.dtype} {tuple(found.shape)}, and must be "
                    f"torch.float32 {shape}"
                )
    return ""


def no_state_outside_h(probe: Probe) -> str:
    """A call changes neither buffers nor parameters, and no later call."""
    first, other = probe.inputs_of(3, ROWS, 2), probe.inputs_of(3, ROWS, 3)
    h = probe.zeros(ROWS)
    named: dict[str, Tensor] = {
        **dict(probe.cell.named_buffers()),
        **dict(probe.cell.named_parameters()),
    }
    before = {name: tensor.clone() for name, tensor in named.items()}
    results = []
    for x in (first, other, first):
        torch.manual_seed(1)
        results.append(probe.run(x, h))
    after: dict[str, Tensor] = {
        **dict(probe.cell.named_buffers()),
        **dict(probe.cell.named_parameters()),
    }
    for name, tensor in after.items():
        if name not in before or not torch.equal(before[name], tensor):
            return f"the tensor {name} changes in a call, so a restart would change predictions"
    if not same_bits(results[0], results[2]):
        return "the same call gives other bits after another call"
    return ""


def deterministic(probe: Probe) -> str:
    """The same call gives the same bits, and draws no random numbers of torch."""
    x, h, results = probe.inputs_of(3, ROWS, 4), probe.zeros(ROWS), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        results.append(probe.run(x, h))
        if not torch.equal(before, torch.random.get_rng_state()):
            return "it draws random numbers in evaluation mode"
    return "" if same_bits(*results) else "the same call gives other bits"


def rebuild(probe: Probe) -> str:
    """Another module with the same tensors gives the same bits, as after a restart."""
    if probe.make is None:
        return ""
    torch.manual_seed(3)
    with torch.inference_mode(mode=False):
        other = probe.make().eval()
        other.load_state_dict(probe.cell.state_dict())
    x, h = probe.inputs_of(3, ROWS, 16), probe.states(ROWS, 17)
    if same_bits(replace(probe, cell=other).run(x, h), probe.run(x, h)):
        return ""
    return (
        "another module with the same tensors gives other bits: what the constructor draws or reads "
        "must be a parameter or a persistent buffer"
    )


def arguments_unchanged(probe: Probe) -> str:
    """The cell changes neither x nor h in place."""
    rows = tile_rows()
    for steps in (1, 3):
        x, h = probe.inputs_of(steps, rows, 5), probe.states(rows, 6)
        copies = x.clone(), h.clone()
        run_cell(probe.cell, x, h)
        if not same_bits((x, h), copies):
            return f"{'h' if torch.equal(x, copies[0]) else 'x'} is changed in place"
    return ""


def zero_state(probe: Probe) -> str:
    """A key without events begins with zeros, and gets finite numbers."""
    for x in (torch.zeros(1, ROWS, probe.inputs), probe.inputs_of(1, ROWS, 7)):
        if not _is_finite(probe.run(x, probe.zeros(ROWS))):
            return "a step from h = 0 gives a number that is not finite"
    return ""


def step_equals_forward(probe: Probe) -> str:
    """T steps give the bits of T single steps, wherever the sequence is cut."""
    steps = 7
    for rows in (1, ROWS, 2 * tile_rows() + 3):
        x, start = probe.inputs_of(steps, rows, rows), probe.states(rows, 8)
        whole = probe.run(x, start)
        for cut in (1, 4):
            h, outs = start, []
            for at in range(0, steps, cut):
                out, h = probe.run(x[at : at + cut], h)
                outs.append(out)
            if not same_bits((torch.cat(outs), h), whole):
                return (
                    f"{steps} steps at once give other bits than {cut} at a time, with {rows} rows"
                )
    return ""


def batch_independence(probe: Probe) -> str:
    """The bits of a row depend neither on the other rows, nor on its place, nor on their number."""
    if not is_batch_invariant():
        return ""  # no cell passes on this machine; ``doctor`` says so
    tile, steps = tile_rows(), 2
    x, h = probe.inputs_of(steps, ROWS, 9), probe.states(ROWS, 10)
    alone = [probe.run(x[:, i : i + 1], h[i : i + 1]) for i in range(ROWS)]
    for number, size in enumerate((1, 2, tile - 1, tile, tile + 1, 3 * tile + 2, 33 * tile)):
        for fill in (0.0, 1.0, 1e4, math.inf):
            generator = torch.Generator().manual_seed(number)
            places = torch.randperm(size, generator=generator)[:ROWS]
            chosen = torch.randperm(ROWS, generator=generator)[: len(places)]
            batch = torch.nan_to_num(
                probe.inputs_of(steps, size, 11) * fill, nan=0.0, posinf=math.inf, neginf=-math.inf
            )
            hidden = probe.states(size, 12)
            batch[:, places], hidden[places] = x[:, chosen], h[chosen]
            out, new = probe.run(batch, hidden)
            for place, i in zip(places.tolist(), chosen.tolist(), strict=True):
                if not same_bits((out[:, place : place + 1], new[place : place + 1]), alone[i]):
                    return f"a row at place {place} of {size} has other bits than alone"
    return ""


def finite(probe: Probe) -> str:
    """Inputs of a million give finite numbers, step after step."""
    signs = probe.inputs_of(EXTREME_STEPS, ROWS, 13).sign()
    signs[:, 0], signs[:, 1] = 1.0, -1.0
    signs[EXTREME_STEPS // 2 :, 2] = 0.0
    if not _is_finite(probe.run(signs * EXTREME, probe.zeros(ROWS))):
        return f"inputs of ±{EXTREME:g} give a number that is not finite"
    return ""


def gates(probe: Probe) -> str:
    """The gates that a cell tells have the names and the shape of h."""
    names: Any = gate_names(probe.cell)
    if not names:
        return ""
    if not isinstance(names, Mapping):
        return f"gate_names is a {type(names).__name__}, and must map letters to names"
    found: Any = probe.cell.gates(  # type: ignore[operator]  # the interface's method
        probe.inputs_of(1, ROWS, 14)[0], probe.states(ROWS, 15)
    )
    if not isinstance(found, Mapping):
        return f"gates returns a {type(found).__name__}, and must map letters to tensors"
    if list(found) != list(names):
        return f"gates returns {', '.join(found)}, and gate_names has {', '.join(names)}"
    problems = (_gate_problem(gate, (ROWS, *probe.hidden_shape)) for gate in found.values())
    return next((f"the gate {n} {p}" for n, p in zip(found, problems, strict=True) if p), "")


def _gate_problem(gate: object, shape: tuple[int, ...]) -> str:
    if not isinstance(gate, Tensor):
        return f"is a {type(gate).__name__}, and must be a tensor"
    if tuple(gate.shape) != shape:
        return f"is {tuple(gate.shape)}, and must be {shape}"
    return "" if gate.isfinite().all() else "has a number that is not finite"


CHECKS: tuple[Callable[[Probe], str], ...] = (
    shapes,
    no_state_outside_h,
    deterministic,
    rebuild,
    arguments_unchanged,
    zero_state,
    step_equals_forward,
    batch_independence,
    finite,
    gates,
)


def _is_finite(result: Pair) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in result)
