"""What readers of one group wrote down, and what of it may not be.

Each reader writes lines ``seconds kind words``, of one clock, before it does anything else:

    B          its process has begun: signals do what they are for
    O          the reader is open
    A          it was assigned partitions
    Y p o      it was yielded the prediction of source partition p, offset o
    c          it is about to commit
    C          the commit was acknowledged: all that was yielded since the last one is done
    F          the commit was refused: none of that is done
    u          what has become of the commit is not known
    E name     an error of the package came out; another one, or a bug, is X
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Source = tuple[int, int]  # partition and offset


@dataclass
class Findings:
    """What was counted.

    Attributes:
        yielded: predictions yielded, again or not.
        repeated: of these, what had been yielded before.
        lost: yielded to nobody.
        undone: yielded, and neither committed nor, since nobody did, yielded again.
        again: yielded again by a reader that was assigned the partition after the commit.
        early: yielded though published before a group was opened that starts at the latest.
        zombies: yielded by a reader that did not know yet that it had lost the partition.
        commits, refused, unknown: acknowledged, refused, and neither.
        broken: readers that ended by an error that is none of the package's.
        examples: some of the wrong ones.
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
        """How much may not be."""
        return self.lost + self.undone + self.again + self.early + self.broken

    def note(self, name: str, found: Iterable[object]) -> None:
        """Count what is wrong, and keep some of it."""
        some = list(found)
        setattr(self, name, getattr(self, name) + len(some))
        self.examples += [f"{name} {one}" for one in some[:5]]


@dataclass
class _Reader:
    """One reader, as far as its lines were read."""

    name: str
    assigned_s: float = 0.0
    pending: list[Source] = field(default_factory=list)
    is_committing: bool = False


def judge(
    logs: Mapping[str, Iterable[str]], wanted: Iterable[Source], early: Iterable[Source] = ()
) -> Findings:
    """Read what the readers wrote down.

    Args:
        logs: by reader.
        wanted: what must be yielded and committed.
        early: what may not be yielded at all.
    """
    found = Findings()
    yields: dict[Source, list[tuple[float, float, str]]] = {}
    done: dict[Source, list[tuple[float, str]]] = {}
    perhaps: set[Source] = set()
    for name, lines in logs.items():
        reader = _Reader(name)
        for line in lines:
            at, kind, *words = line.split()
            _follow(reader, float(at), kind, words, found, yields, done, perhaps)
        if reader.is_committing:  # it was killed meanwhile
            perhaps |= set(reader.pending)
            found.unknown += 1
    wanted = set(wanted)
    found.repeated = found.yielded - len(yields)
    found.note("lost", sorted(wanted - set(yields)))
    found.note("undone", sorted((wanted & set(yields)) - set(done) - perhaps))
    found.note("early", sorted(set(early) & set(yields)))
    for source, times in sorted(yields.items()):
        for at, assigned, name in times:
            earlier = [(c, by) for c, by in done.get(source, ()) if c < at]
            if any(by == name or c < assigned for c, by in earlier):
                found.note("again", [(source, name, at, earlier)])
            elif earlier:
                found.zombies += 1
    return found


def _follow(reader, at, kind, words, found, yields, done, perhaps) -> None:
    if kind == "A":
        reader.assigned_s = at
    elif kind == "Y":
        source = (int(words[0]), int(words[1]))
        yields.setdefault(source, []).append((at, reader.assigned_s, reader.name))
        reader.pending.append(source)
        found.yielded += 1
    elif kind == "c":
        reader.is_committing = True
    elif kind in {"C", "F", "u"}:
        reader.is_committing = False
        _end_commit(reader, at, kind, found, done, perhaps)
    elif kind == "O":
        reader.pending = []
    elif kind == "X":
        found.note("broken", [(reader.name, *words)])


def _end_commit(reader, at, kind, found, done, perhaps) -> None:
    found.commits += kind == "C"
    found.refused += kind == "F"
    found.unknown += kind == "u"
    if kind == "u":
        perhaps |= set(reader.pending)
        return
    for source in reader.pending if kind == "C" else ():
        done.setdefault(source, []).append((at, reader.name))
    reader.pending = []
