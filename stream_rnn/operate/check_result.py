"""Findings: the results of the doctor's checks, each with a remedy."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a finding."""

    FINE = "fine"
    WARNING = "warning"  # workers run, but something is not as it should be in production
    BAD = "bad"  # workers cannot run, or data is in danger


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.  The attributes are the keys of ``stream-rnn doctor --json``.

    Attributes:
        what: Name of the check, such as ``redis persistence``.
        level: Severity.
        said: Description of the result.
        remedy: Action that solves the problem; empty if the level is ``fine``.
    """

    what: str
    level: Level
    said: str
    remedy: str = ""


def fine(what: str, said: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(what, Level.FINE, said)


def warning(what: str, said: str, remedy: str) -> Finding:
    """Return a finding about a problem to solve before production."""
    return Finding(what, Level.WARNING, said, remedy)


def bad(what: str, said: str, remedy: str) -> Finding:
    """Return a finding about a problem that stops workers or puts data in danger."""
    return Finding(what, Level.BAD, said, remedy)
