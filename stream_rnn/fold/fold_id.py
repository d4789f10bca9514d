"""Names of a fold: its id, its tag in Redis and its transactional ids in Kafka."""

import hashlib
import json
from typing import Any

from stream_rnn.model.network import Model
from stream_rnn.settings import Settings

FOLD_VERSION = 2
FRAMED_VERSION = 1
"""Version of what the bodies of framed records mean."""
WIRE_VERSION = 1
"""Version of the bytes of predictions in Avro, Protobuf and JSON Schema."""
FOLD_SETTINGS = (
    "state_ttl",
    "event_time_ahead_max_s",
    "value_bytes_max",
    "key_bytes_max",
    "top_k",
)
"""Settings that change hidden states or published bytes, besides ``event_year_max``,
``schema_registry_url`` and ``predictions_format``."""


def fold_id_of(model: Model, settings: Settings) -> str:
    """Return the id of the fold of a model, which also covers the version of its cell's package."""
    return fold_id(model.fingerprint, settings, model.cell.package)


def fold_id(
    fingerprint: str, settings: Settings, cell_package: tuple[str, str] | None = None
) -> str:
    """Return 12 hexadecimal digits that identify a fold; each fold has its own states in Redis.

    Args:
        fingerprint: Fingerprint of the bundle.
        settings: Settings; those that change hidden states or published bytes change the id.
        cell_package: Distribution of the cell and its version; ``None`` for a cell of this package.
    """
    content: dict[str, Any] = {
        "fingerprint": fingerprint,
        "fold_version": FOLD_VERSION,
        "tile": 8,  # a constant: each process finds its own, and `numerics` covers it
        **fold_settings(settings),
    }
    if settings.predictions_format != "json":
        content["predictions_format"] = [settings.predictions_format, WIRE_VERSION]
    if cell_package is not None:  # another version may compute other bits
        content["cell_package"] = list(cell_package)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def fold_settings(settings: Settings) -> dict[str, Any]:
    """Return what settings add to a fold id, besides the format of predictions."""
    content = {name: getattr(settings, name) for name in FOLD_SETTINGS}
    if settings.event_year_max is not None:  # a setting of later versions; older ids stay
        content["event_year_max"] = settings.event_year_max
    if settings.reads_frames:
        content["framed"] = FRAMED_VERSION  # with schemas, framed records are events
    return content


def fold_settings_as_text(settings: Settings) -> dict[str, str]:
    """Return all settings on which a fold id depends, as short texts, which people compare."""
    content = {**fold_settings(settings), "predictions_format": settings.predictions_format}
    return {name: str(value) for name, value in content.items()}


def store_tag(app: str, source: str, partition: int, fold: str) -> str:
    """Return the hash tag of a partition's two keys in Redis."""
    return f"{app}:{source}:{partition}:{fold}"


def transactional_id(app: str, source: str, owner: int | str) -> str:
    """Return the transactional id of a producer; starting a producer fences earlier ones with it.

    Args:
        app: App id.
        source: Name of the source topic.
        owner: Partition of a worker, or the command that writes.

    Invariant:
        Different arguments give different ids, because names contain no slash
        (`tests/unit/test_identity.py`).
    """
    return f"{app}/{source}/{owner}"


def earlier_transactional_id(app: str, source: str, partition: int) -> str:
    """Return the transactional id of the previous version; a worker also fences its owner.

    Names may contain ``-``, so two apps can share such an id.  Nothing is written with it.
    """
    return f"{app}-{source}-{partition}"
