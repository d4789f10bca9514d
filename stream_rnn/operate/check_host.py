"""Checks of this machine and the bundle: nothing is asked of a server."""

import resource
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from stream_rnn.errors import BundleError
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.features import Categorical
from stream_rnn.model.network import TILE, Model, pin_numerics
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.settings import FoldSettings

FILES_AT_LEAST = 1024
FILES_A_PARTITION = 8
PROBED_ROWS = 5 * TILE + 3
PROBED_STEPS = 3
FREE_BYTES_AT_LEAST = 100_000_000


def check_bundle(settings: FoldSettings) -> tuple[Finding, Model | None]:
    """Load the bundle."""
    try:
        model = load_bundle(settings.bundle)
    except BundleError as error:
        return bad("bundle", str(error), "train one, or correct --bundle"), None
    heads = ", ".join(f"{head.name} ({head.kind})" for head in model.spec.heads)
    said = (
        f"{model.name} {model.fingerprint[:16]}, {model.cell.kind} {model.cell.hidden} x "
        f"{model.cell.layers}, heads {heads}"
    )
    return fine("bundle", said), model


def check_numerics(model: Model) -> Finding:
    """Step random events alone and among others: no bit may differ."""
    pin_numerics()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(PROBED_ROWS, PROBED_STEPS, model.feature_count, generator=generator)
    for feature in model.spec.features:
        if isinstance(feature, Categorical):  # its column is an index; 0 is one in each
            x[..., model.encoder.names.index(feature.name)] = 0.0
    h = torch.rand(PROBED_ROWS, *model.hidden_shape, generator=generator) - 0.5
    together_y, together_h = model.forward(x, h)
    for row in range(0, PROBED_ROWS, 7):
        y, state = x[row : row + 1], h[row : row + 1]
        outputs = []
        for t in range(PROBED_STEPS):
            out, state = model.step(y[:, t], state)
            outputs.append(out)
        same_y = torch.equal(torch.stack(outputs, dim=1)[0], together_y[row])
        if not (same_y and torch.equal(state[0], together_h[row])):
            return bad(
                "numerics",
                f"row {row} has other bits alone than among {PROBED_ROWS}: a replay would differ",
                "run on another CPU type or torch build; tests/unit/test_steps.py shows which cells",
            )
    return fine("numerics", f"{model.numerics()}: no bit depends on the batch")


def check_machine(settings: FoldSettings) -> list[Finding]:
    """Look at limits, versions and the directory for temporary files."""
    found = [fine("versions", f"Python {sys.version.split()[0]}, torch {torch.__version__}")]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(FILES_AT_LEAST, FILES_A_PARTITION * settings.partitions_max)
    if soft != resource.RLIM_INFINITY and soft < needed:
        found.append(
            warning(
                "open files", f"the limit is {soft}, {needed} may be needed", f"ulimit -n {needed}"
            )
        )
    else:
        found.append(fine("open files", f"the limit is {soft}"))
    directory = Path(tempfile.gettempdir())
    free = shutil.disk_usage(directory).free
    if free < FREE_BYTES_AT_LEAST:
        found.append(
            warning(
                "temporary files", f"{directory} has {free / 1e6:.0f} MB free", "free some space"
            )
        )
    else:
        found.append(fine("temporary files", f"{directory} has {free / 1e9:.1f} GB free"))
    return found
