"""Checks of this machine and of the bundle, without a connection to any server."""

import resource
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from stream_rnn.errors import BundleError
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.features import column_names, embedded_of
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.model.tiles import tile_rows
from stream_rnn.operate.check_result import Finding, bad, fine, warning
from stream_rnn.settings import FoldSettings

FILES_MIN = 1024
FILES_PER_PARTITION = 8
PROBED_TILES = 40
PROBED_STEPS = 3
FREE_BYTES_MIN = 100_000_000


def check_bundle(settings: FoldSettings) -> tuple[Finding, Model | None]:
    """Load the bundle; return ``None`` beside the finding if it cannot be loaded."""
    try:
        model = load_bundle(settings.bundle)
    except BundleError as error:
        return bad("bundle", str(error), "train a bundle, or correct --bundle"), None
    heads = ", ".join(f"{head.name} ({head.kind})" for head in model.spec.heads)
    detail = f"{model.name} {model.fingerprint[:16]}, {model.cell.description}, heads {heads}"
    return fine("bundle", detail), model


def check_numerics(model: Model) -> Finding:
    """Check that the outputs of an event do not depend on the other events of its batch."""
    pin_numerics()
    rows = PROBED_TILES * tile_rows() + 3
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, PROBED_STEPS, model.feature_count, generator=generator)
    at = 0
    for feature in model.spec.features:
        if (words := embedded_of(feature)) is not None:  # its columns are indexes
            indexes = torch.randint(
                words.rows + words.is_list, (*x.shape[:2], words.columns), generator=generator
            )
            x[..., at : at + words.columns] = indexes.float()
        at += len(column_names(feature))
    h = torch.rand(rows, *model.hidden_shape, generator=generator) - 0.5
    together_y, together_h = model.forward(x, h)
    for row in range(0, rows, 7):
        y, state = x[row : row + 1], h[row : row + 1]
        outputs = []
        for t in range(PROBED_STEPS):
            out, state = model.step(y[:, t], state)
            outputs.append(out)
        same_y = torch.equal(torch.stack(outputs, dim=1)[0], together_y[row])
        if not (same_y and torch.equal(state[0], together_h[row])):
            return bad(
                "numerics",
                f"row {row} alone gives other bits than in a batch of {rows} rows, so a "
                "replay would differ from the published predictions",
                "use another CPU type or torch build; tests/unit/test_steps.py lists the cells",
            )
    return fine(
        "numerics",
        f"{model.numerics()}: outputs do not depend on the batch, in tiles of {tile_rows()} rows",
    )


def check_machine(settings: FoldSettings) -> list[Finding]:
    """Check versions, the limit of open files and the space for temporary files."""
    findings = [fine("versions", f"Python {sys.version.split()[0]}, torch {torch.__version__}")]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(FILES_MIN, FILES_PER_PARTITION * settings.partitions_max)
    if soft != resource.RLIM_INFINITY and soft < needed:
        findings.append(
            warning(
                "open files",
                f"the limit is {soft}, and a worker may need {needed}",
                f"raise it: ulimit -n {needed}",
            )
        )
    else:
        findings.append(fine("open files", f"the limit is {soft}"))
    directory = Path(tempfile.gettempdir())
    free = shutil.disk_usage(directory).free
    if free < FREE_BYTES_MIN:
        findings.append(
            warning(
                "temporary files",
                f"{directory} has {free / 1e6:.0f} MB free",
                "delete files there, or set TMPDIR to another directory",
            )
        )
    else:
        findings.append(fine("temporary files", f"{directory} has {free / 1e9:.1f} GB free"))
    return findings
