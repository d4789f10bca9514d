"""Where a processor is, and what has happened so far."""

from dataclasses import dataclass, field
from enum import StrEnum


class Point(StrEnum):
    """Places between which a crash must not matter; tests crash at each."""

    POSITIONED = "positioned"
    GROUP_OFFSET_WRITTEN = "group offset written"
    FIRST_POSITION_WRITTEN = "first position written"
    DECODED = "decoded"
    LOADED = "loaded"
    STEPPED = "stepped"
    PUBLISHED = "published"
    COMMITTED = "committed"


@dataclass(slots=True)
class Counts:
    """What happened since the processor was made; for logs, metrics and tests."""

    events: int = 0
    predictions: int = 0
    silent: int = 0
    forgets: int = 0
    batches: int = 0
    positioned: int = 0
    skips: dict[str, int] = field(default_factory=dict)
