"""What a check found: a line, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    FINE = "fine"
    WARNING = "warning"  # it works; something is not as it should be in production
    BAD = "bad"  # it does not work, or data is in danger


@dataclass(frozen=True, slots=True)
class Finding:
    """One check.

    Attributes:
        what: name of the check, such as ``redis persistence``.
        level: how bad it is.
        said: what was found.
        remedy: what to do; empty where all is well.
    """

    what: str
    level: Level
    said: str
    remedy: str = ""


def fine(what: str, said: str) -> Finding:
    """All is well."""
    return Finding(what, Level.FINE, said)


def warning(what: str, said: str, remedy: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(what, Level.WARNING, said, remedy)


def bad(what: str, said: str, remedy: str) -> Finding:
    """It does not work, or data is in danger."""
    return Finding(what, Level.BAD, said, remedy)
