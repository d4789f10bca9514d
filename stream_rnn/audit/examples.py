"""Findings on their way to be shown: they are counted at once, and some are kept."""

from typing import NamedTuple

from stream_rnn.audit.result import Audit
from stream_rnn.fold.output_batches import Message


class Told(NamedTuple):
    """A finding that may be shown.

    Attributes:
        kind: of the finding.
        offset: of the source.
        key: of the record, if it is known.
        replayed: what should be there.
        published: what is there, if it need not be read.
        places: in the output, where what is there is to be read; of copies that differ there are
            two.
        expected: what each part of it should be, where it is there and differs.
    """

    kind: str
    offset: int
    key: bytes | None
    replayed: bytes | None = None
    published: bytes | None = None
    places: tuple[int, ...] = ()
    expected: Message | None = None


class Near(NamedTuple):
    """Predictions of one event that are to be compared by value.

    Attributes:
        offset: of the source.
        message: what the replay gives.
        places: in the output; those that may differ in their last digits.
        is_known: the replay has the same memory; otherwise every copy is compared with the first.
    """

    offset: int
    message: Message
    places: tuple[int, ...]
    is_known: bool = True


class Telling:
    """Counts findings.

    Args:
        found: where they are counted.
        examples: how many of a kind are kept at a time.

    Attributes:
        told: those that may be shown.
    """

    def __init__(self, found: Audit, examples: int) -> None:
        self._found, self._examples = found, examples
        self.told: list[Told] = []

    def tell(  # what a finding consists of
        self,
        kind: str,
        offset: int,
        key: bytes | None = None,
        replayed: bytes | None = None,
        published: bytes | None = None,
        places: tuple[int, ...] = (),
        expected: Message | None = None,
        count: int = 1,
    ) -> None:
        """Count a finding; see :class:`Told`."""
        self._found.counts[kind] += count
        if sum(1 for one in self.told if one.kind == kind) < self._examples:
            self.told.append(Told(kind, offset, key, replayed, published, places, expected))
