"""What names a fold: a short hash of everything that changes it."""

import hashlib
import json

from stream_rnn.model.network import TILE
from stream_rnn.settings import Settings

FOLD_VERSION = 2


def fold_id(fingerprint: str, settings: Settings) -> str:
    """Return 12 hex digits; another value is another fold, with states of its own.

    Args:
        fingerprint: of the bundle.
        settings: those that decide what is skipped, what expires and which bytes are published.
    """
    content = {
        "fingerprint": fingerprint,
        "fold_version": FOLD_VERSION,
        "tile": TILE,
        "state_ttl": settings.state_ttl,
        "event_time_ahead_max_s": settings.event_time_ahead_max_s,
        "value_bytes_max": settings.value_bytes_max,
        "key_bytes_max": settings.key_bytes_max,
        "top_k": settings.top_k,
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def store_tag(app: str, source: str, partition: int, fold: str) -> str:
    """Return the hash tag of a partition's two keys in Redis."""
    return f"{app}:{source}:{partition}:{fold}"


def transactional_id(app: str, source: str, owner: int | str) -> str:
    """Return the id under which one owner of a source writes; the next one to start fences it.

    Args:
        app: the app id.
        source: the source topic.
        owner: a partition, or the verb that writes.

    Invariant:
        Other arguments give another id: no name holds a slash
        (`tests/unit/test_identity.py`).
    """
    return f"{app}/{source}/{owner}"


def earlier_transactional_id(app: str, source: str, partition: int) -> str:
    """Return the id of a partition's owner of the version before, which is to be fenced, too.

    ``-`` is legal in names, so that two apps could have one id; nothing new is written under it.
    """
    return f"{app}-{source}-{partition}"
