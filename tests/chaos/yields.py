"""Checks the logs of a group of readers.

A reader process writes a line ``seconds kind words`` for each event, at once; all use one clock:

    B          the process has its signal handlers
    O          the reader is open
    A          the group has assigned partitions to the reader
    Y p o      the reader has yielded the prediction for offset o of source partition p
    c          the reader is about to commit
    C          the commit is acknowledged: it covers all predictions yielded since the last one
    F          the commit is refused: it covers none of them
    u          the outcome of the commit is unknown
    E name     the reader has raised an error of the package; X for any other error
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Source = tuple[int, int]  # partition and offset


@dataclass
class Findings:
    """Counts from the logs of all readers.

    Attributes:
        yielded: Yielded predictions, repetitions included.
        repeated: Yielded predictions that a reader had yielded before.
        lost: Predictions that no reader yielded.
        undone: Yielded predictions that no commit covers.
        again: Predictions yielded by a reader that got the partition after they were committed.
        early: Predictions yielded by a group that starts at the latest, although they were
            published before it opened.
        zombies: Committed predictions yielded by a reader that had lost the partition unknowingly.
        commits: Acknowledged commits.
        refused: Refused commits.
        unknown: Commits with an unknown outcome.
        broken: Readers that ended with an error that is not one of the package.
        examples: Some of the errors.
    """

    yielded: int = 0
    repeated: int = 0
    lost: int = 0
    undone: int = 0
    again: int = 0
    early: int = 0
    zombies: int = 0
    commits: int = 0
    refused: int = 0
    unknown: int = 0
    broken: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Number of errors."""
        return self.lost + self.undone + self.again + self.early + self.broken

    def note(self, name: str, errors: Iterable[object]) -> None:
        """Count errors of a kind, and keep some examples."""
        errors = list(errors)
        setattr(self, name, getattr(self, name) + len(errors))
        self.examples += [f"{name} {error}" for error in errors[:5]]


@dataclass
class _ReaderState:
    """State of one reader after the lines read so far."""

    name: str
    assigned_s: float = 0.0
    pending: list[Source] = field(default_factory=list)
    is_committing: bool = False


def check_yields(
    logs: Mapping[str, Iterable[str]], expected: Iterable[Source], early: Iterable[Source] = ()
) -> Findings:
    """Check the logs of all readers.

    Args:
        logs: Lines of each reader's log, by the name of the reader.
        expected: Predictions that a reader must yield and commit.
        early: Predictions that no reader may yield.
    """
    findings = Findings()
    yields: dict[Source, list[tuple[float, float, str]]] = {}
    committed: dict[Source, list[tuple[float, str]]] = {}
    maybe_committed: set[Source] = set()
    for name, lines in logs.items():
        reader = _ReaderState(name)
        for line in lines:
            at, kind, *words = line.split()
            _apply_line(
                reader, float(at), kind, words, findings, yields, committed, maybe_committed
            )
        if reader.is_committing:  # the reader was killed during the commit
            maybe_committed |= set(reader.pending)
            findings.unknown += 1
    expected = set(expected)
    findings.repeated = findings.yielded - len(yields)
    findings.note("lost", sorted(expected - set(yields)))
    findings.note("undone", sorted((expected & set(yields)) - set(committed) - maybe_committed))
    findings.note("early", sorted(set(early) & set(yields)))
    for source, times in sorted(yields.items()):
        for at, assigned, name in times:
            earlier = [(c, by) for c, by in committed.get(source, ()) if c < at]
            if any(by == name or c < assigned for c, by in earlier):
                findings.note("again", [(source, name, at, earlier)])
            elif earlier:
                findings.zombies += 1
    return findings


def _apply_line(reader, at, kind, words, findings, yields, committed, maybe_committed) -> None:
    if kind == "A":
        reader.assigned_s = at
    elif kind == "Y":
        source = (int(words[0]), int(words[1]))
        yields.setdefault(source, []).append((at, reader.assigned_s, reader.name))
        reader.pending.append(source)
        findings.yielded += 1
    elif kind == "c":
        reader.is_committing = True
    elif kind in {"C", "F", "u"}:
        reader.is_committing = False
        _end_commit(reader, at, kind, findings, committed, maybe_committed)
    elif kind == "O":
        reader.pending = []
    elif kind == "X":
        findings.note("broken", [(reader.name, *words)])


def _end_commit(reader, at, kind, findings, committed, maybe_committed) -> None:
    findings.commits += kind == "C"
    findings.refused += kind == "F"
    findings.unknown += kind == "u"
    if kind == "u":
        maybe_committed |= set(reader.pending)
        return
    for source in reader.pending if kind == "C" else ():
        committed.setdefault(source, []).append((at, reader.name))
    reader.pending = []
