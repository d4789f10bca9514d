"""Bundles as bytes: how a roll-out brings a model to every worker."""

import tempfile
from pathlib import Path

from stream_rnn.errors import BundleError, reason
from stream_rnn.model.bundle import JSON_NAME, TENSORS_NAME, load_bundle
from stream_rnn.model.network import Model
from stream_rnn.rollout.plan_store import BundleBytes


def read_bundle_bytes(directory: str | Path) -> tuple[Model, BundleBytes]:
    """Load a bundle, and return it with the bytes of its files.

    Raises:
        BundleError: It is missing, torn or too large.
    """
    model, path = load_bundle(directory), Path(directory)
    bundle = BundleBytes((path / JSON_NAME).read_bytes(), (path / TENSORS_NAME).read_bytes())
    return model, bundle


def load_bundle_bytes(bundle: BundleBytes, fingerprint: str) -> Model:
    """Load a bundle from bytes that anybody may have written.

    Its sizes and numbers are checked as those of a directory are, and its fingerprint covers them.

    Args:
        bundle: Bytes of the two files.
        fingerprint: Fingerprint that the bundle must have.

    Raises:
        BundleError: The bundle is torn or too large, it is another one, or there is no temporary
            directory with room for it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="stream-rnn-bundle-") as directory:
            path = Path(directory)
            (path / JSON_NAME).write_bytes(bundle.content)
            (path / TENSORS_NAME).write_bytes(bundle.tensors)
            model = load_bundle(path)
    except OSError as error:
        raise BundleError(
            f"the bundle {fingerprint[:16]} of the roll-out cannot be written to the temporary "
            f"directory: {reason(error)}; give this process one with {bundle.size} free bytes (TMPDIR)"
        ) from error
    if model.fingerprint != fingerprint:
        raise BundleError(
            f"the bundle {fingerprint[:16]} of the roll-out has the fingerprint "
            f"{model.fingerprint[:16]}: another program has changed it; start the roll-out again"
        )
    return model
