"""The conformance kit of cells: the contract, and what needs threads, gradients or a process.

print(check_cell("acme_mean"))      # a cell of an installed package, or one of this package
print(check_cell(Mean, {"hidden": 32}))  # a class
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from stream_rnn.model.cells import CellKind, CellSpec, cell_of, make_cell
from stream_rnn.model.package_cells.contract import Probe, check_contract, one_thread, run_check
from stream_rnn.model.package_cells.find import FoundCell, checked_class, translated
from stream_rnn.model.package_cells.spec import PackageCell, config_of, make_module

THREADS, CALLS = 4, 8
THREADS_TIMEOUT_S, PROCESS_TIMEOUT_S = 60, 120
TIMED_ROWS, TIMED_CALLS = 512, 20
TRAINED_DIFFERENCE_MAX = 1e-4


@dataclass(frozen=True, slots=True)
class CellReport:
    """The result of :func:`check_cell` for a cell that passes.

    Attributes:
        title: The cell.
        checks: Names of the checks that it passes.
        parameters: Number of parameters.
        state_bytes: Bytes of a key's state in Redis.
        step_us: Microseconds for a step of one row, in a batch of 512 rows.
    """

    title: str
    checks: tuple[str, ...]
    parameters: int
    state_bytes: int
    step_us: float

    def __str__(self) -> str:
        """Return the size and the time of the cell, and its checks."""
        return (
            f"{self.title}: {self.parameters:,} parameters, {self.state_bytes:,} bytes of state per "
            f"key, {self.step_us:.2f} us for a step of one key in a batch of {TIMED_ROWS}\n"
            f"passes {', '.join(self.checks)}"
        )


@dataclass(frozen=True, slots=True)
class _Description:
    """A cell as another process can make it: a name, or a class as ``module:name``."""

    cell: str
    config: dict[str, Any]
    inputs: int

    def probe(self) -> Probe:
        """Make the cell, initialized from the random state of torch."""
        if ":" in self.cell:
            return self._probe_of_class()
        if self.cell not in get_args(CellKind):
            other = PackageCell.of(self.cell, self.config)
            make = partial(other.build, self.inputs, since_previous=0)
            return Probe.of_class(make, self.inputs, other.description)
        sizes = {"hidden": 64, "layers": 1} | self.config
        others = {name: value for name, value in sizes.items() if name not in ("hidden", "layers")}
        spec = cell_of(self.cell, sizes["hidden"], sizes["layers"], others)
        assert isinstance(spec, CellSpec)
        return Probe.of_torch(make_cell(spec, self.inputs), self.inputs, spec)

    def _probe_of_class(self) -> Probe:
        module, _, name = self.cell.partition(":")
        with translated(f"the cell {name} cannot be imported from {module} by another process"):
            __import__(module)
            kind: Any = sys.modules[module]
            for part in name.split("."):
                kind = getattr(kind, part)
        found = FoundCell(checked_class(name, kind))
        config = config_of(name, found, self.config)
        make = partial(make_module, name, found, self.inputs, config, 0)
        return Probe.of_class(make, self.inputs, name)


def check_cell(
    cell: str | type[nn.Module], config: Mapping[str, Any] | None = None, *, inputs: int = 16
) -> CellReport:
    """Check that a cell keeps the contract, and measure its size and time.

    Besides the checks of ``load_bundle``, the cell must give the same bits in several threads at
    once and in another process, and must be trainable.

    Args:
        cell: Name of a cell, or a class of a module that can be imported.
        config: Content of its ``Config``; other fields have their defaults.
        inputs: Number of inputs of the cell, a multiple of 8.

    Raises:
        CellError: The cell fails a check, whose name is the attribute ``check`` of the error.
    """
    name = cell if isinstance(cell, str) else f"{cell.__module__}:{cell.__qualname__}"
    description = _Description(name, dict(config or {}), inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        probe = description.probe()
        checks = check_contract(probe)

        def processes(probe: Probe) -> str:
            return _compare_process(description, probe)

        with one_thread():
            for check in (threads, trainable, processes):
                run_check(probe, check)
        floats = math.prod(probe.hidden_shape)
        return CellReport(
            title=probe.title,
            checks=(*checks, "threads", "trainable", "processes"),
            parameters=sum(tensor.numel() for tensor in probe.cell.state_dict().values()),
            state_bytes=16 + 4 * floats,
            step_us=_step_us(probe),
        )


def threads(probe: Probe) -> str:
    """Calls in several threads at once give the bits of calls one after the other."""
    seeds = [*range(THREADS * CALLS)]
    expected = [_digest(probe, seed) for seed in seeds]
    with ThreadPoolExecutor(THREADS, initializer=lambda: torch.set_num_threads(1)) as pool:
        found = list(pool.map(lambda seed: _digest(probe, seed), seeds, timeout=THREADS_TIMEOUT_S))
    return "" if found == expected else "calls in several threads at once give other bits"


def trainable(probe: Probe) -> str:
    """X and each parameter have a finite gradient, and training computes what evaluation does.

    A loss reads the outputs alone, and embeddings learn from the gradient of x.  A parameter may be
    frozen (``requires_grad = False``).
    """
    cell, x, h = probe.cell, probe.inputs_of(8, 6, 1).requires_grad_(), probe.zeros(6)
    with torch.no_grad():
        expected, _ = probe.run(x, h)
    cell.train()
    try:
        out, _ = probe.run(x, h)
        if not out.requires_grad:
            return "its outputs have no gradient, so nothing before them learns"
        out.square().mean().backward()  # type: ignore[no-untyped-call]  # torch's own
    finally:
        cell.eval()
    tensors = {"x": x} | {n: p for n, p in cell.named_parameters() if p.requires_grad}
    for name, parameter in tensors.items():
        gradient, parameter.grad = parameter.grad, None
        if gradient is None:
            if name == "x":
                return "x has no gradient, so no embedding learns"
            return f"the parameter {name} has no gradient"
        if not torch.isfinite(gradient).all():
            return f"the gradient of {name} is not finite"
    if not torch.allclose(out, expected, TRAINED_DIFFERENCE_MAX, TRAINED_DIFFERENCE_MAX):
        return (
            f"in training it computes outputs that differ by more than {TRAINED_DIFFERENCE_MAX:g}"
        )
    return ""


def _compare_process(description: _Description, probe: Probe) -> str:
    """Compare the bits of this process with those of a new one."""
    with tempfile.TemporaryDirectory() as folder:
        tensors = {n: t.detach().contiguous() for n, t in probe.cell.state_dict().items()}
        save_file(tensors, Path(folder) / "cell.safetensors")
        content = {
            "cell": description.cell,
            "config": description.config,
            "inputs": description.inputs,
        }
        (Path(folder) / "cell.json").write_text(json.dumps(content), encoding="utf-8")
        paths = os.pathsep.join(path for path in sys.path if path)
        done = subprocess.run(  # noqa: S603  # this Python, and a directory of our own
            [sys.executable, "-m", "stream_rnn.testing.cell_process", folder],
            capture_output=True,
            text=True,
            check=False,
            timeout=PROCESS_TIMEOUT_S,
            env={**os.environ, "PYTHONPATH": paths},
        )
    if done.returncode:
        return f"another process fails: {done.stderr.strip()[-300:]}"
    with torch.inference_mode():
        expected = _digest(probe, 1)
    *_, found = ["", *done.stdout.split()]  # after whatever the cell has printed
    return "" if found == expected else "another process computes other bits"


def digest_of_files(folder: Path) -> str:
    """Return the digest of the cell that the files in a directory describe."""
    description = _Description(**json.loads((folder / "cell.json").read_text(encoding="utf-8")))
    probe = description.probe()
    probe.cell.load_state_dict(load_file(folder / "cell.safetensors"))
    with one_thread():
        return _digest(probe, 1)


@torch.inference_mode()
def _digest(probe: Probe, seed: int) -> str:
    rows = 1 + seed % 20
    parts = probe.run(probe.inputs_of(3, rows, seed), probe.states(rows, seed + 1))
    return hashlib.sha256(b"".join(p.contiguous().numpy().tobytes() for p in parts)).hexdigest()


@torch.inference_mode()
def _step_us(probe: Probe) -> float:
    x, h, best = probe.inputs_of(1, TIMED_ROWS, 1), probe.states(TIMED_ROWS, 1), math.inf
    with one_thread():
        for _ in range(TIMED_CALLS):
            begin = time.perf_counter()
            probe.run(x, h)
            best = min(best, time.perf_counter() - begin)
    return best / TIMED_ROWS * 1e6
