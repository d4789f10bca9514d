"""A reader of weights in a process of its own, with a deadline and a memory bound.

A damaged HDF5 file can make libhdf5 loop for ever, take all memory, or crash: nothing in this process
could stop it.  The process gets the path, and writes the tensors as safetensors; this module is both
sides.  It has no network and no rights of its own: it is a bound, not a sandbox.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from stream_rnn.errors import BundleError, StreamRNNError, reason
from stream_rnn.model.weights.found import NUMBERS_MAX, FoundWeights

DEADLINE_S = 30.0  # for a small file
BYTES_PER_S = 20_000_000  # of a large file, on top of the deadline
MEMORY_BYTES = 2_000_000_000  # of addresses, most of which libraries reserve and do not use
COPIES = 8  # of a large file: its bytes, float32, another layout, safetensors
TENSORS, RESULT = "tensors.safetensors", "result.json"


def read_in_process(module: str, path: Path, size: int) -> FoundWeights:
    """Call ``module.read`` for a path in a process of its own.

    Args:
        module: Name of the module in this package.
        path: Path of the file.
        size: Number of bytes in the file, uncompressed.

    Raises:
        BundleError: The file is refused, or its reader does not end, crashes or takes too much.
    """
    deadline_s = DEADLINE_S + size / BYTES_PER_S
    with tempfile.TemporaryDirectory(prefix="stream-rnn-weights-") as folder:
        bounds = [str(int(deadline_s) + 1), str(MEMORY_BYTES + COPIES * size)]
        command = [sys.executable, "-P", "-m", __name__, module, str(path), folder, *bounds]
        try:
            done = subprocess.run(  # noqa: S603  # a fixed command
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                timeout=deadline_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BundleError(
                f"{path} is damaged: it could not be read in {deadline_s:g} s; save the model again"
            ) from None
        return _result(path, Path(folder), done.returncode)


def _environment() -> dict[str, str]:
    """Return the environment of the reader: it finds this package, and starts no other threads."""
    places = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _result(path: Path, folder: Path, status: int) -> FoundWeights:
    """Return what the reader has written."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if "error" not in result:
            return FoundWeights(
                result["format"],
                {name: tensor.copy() for name, tensor in load_file(folder / TENSORS).items()},
                is_tanh=result["is_tanh"],
                notes=tuple(result["notes"]),
            )
    except (OSError, ValueError, KeyError, SafetensorError):
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise BundleError(
            f"{path} is damaged: its reader ended with {how}; save the model again"
        ) from None
    raise BundleError(result["error"])


def main(module: str, path: str, folder: str, cpu_s: str, memory_bytes: str) -> None:
    """Read a file within bounds, and write its tensors or the error; the process ends here."""
    reader = import_module(f"stream_rnn.model.weights.{module}")
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(cpu_s),
        resource.RLIMIT_FSIZE: 5 * NUMBERS_MAX,
        resource.RLIMIT_AS: int(memory_bytes),
    }
    for kind, most in bounds.items():
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):  # macOS refuses some; the deadline holds everywhere
            continue
    place = Path(folder)
    try:
        found: FoundWeights = reader.read(Path(path))
        save_file(found.tensors, place / TENSORS)
        result = {"format": found.format, "is_tanh": found.is_tanh, "notes": found.notes}
    except StreamRNNError as error:
        result = {"error": str(error)}
    except MemoryError:
        result = {
            "error": f"{path} is damaged: its numbers need more memory than its size explains"
        }
    except (OSError, SafetensorError) as error:
        result = {"error": f"{path} cannot be read: {reason(error)}"}
    (place / RESULT).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
