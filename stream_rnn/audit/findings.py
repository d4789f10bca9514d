"""Findings of a comparison: all are counted, and some become examples."""

from typing import NamedTuple

from stream_rnn.audit.result import AuditResult
from stream_rnn.fold.output_batches import Message


class PendingExample(NamedTuple):
    """A finding that may become an example in the result.

    Attributes:
        kind: Kind of the finding.
        offset: Source offset.
        key: Key of the record, if known.
        replayed: The expected output.
        published: The published output, if it need not be read.
        output_offsets: Offsets in the output topic from which to read the published output; two if
            copies differ.
        expected: The expected message, if an output exists but differs.
    """

    kind: str
    offset: int
    key: bytes | None
    replayed: bytes | None = None
    published: bytes | None = None
    output_offsets: tuple[int, ...] = ()
    expected: Message | None = None


class ValueComparison(NamedTuple):
    """Outputs of one event that must be compared by value.

    Attributes:
        offset: Source offset.
        message: The output of the replay.
        output_offsets: Offsets in the output topic of the copies, whose last digits may differ.
        has_same_memory: Whether the replay has the same memory; if not, each copy is compared with
            the first one.
    """

    offset: int
    message: Message
    output_offsets: tuple[int, ...]
    has_same_memory: bool = True


class FindingCounter:
    """Counts findings and collects examples of them.

    Args:
        result: The result that counts the findings.
        examples: Number of pending examples of each kind.

    Attributes:
        pending: Findings that may become examples.
    """

    def __init__(self, result: AuditResult, examples: int) -> None:
        self._result, self._examples = result, examples
        self.pending: list[PendingExample] = []

    def add(
        self,
        kind: str,
        offset: int,
        key: bytes | None = None,
        replayed: bytes | None = None,
        published: bytes | None = None,
        output_offsets: tuple[int, ...] = (),
        expected: Message | None = None,
        count: int = 1,
    ) -> None:
        """Count a finding; the arguments are the fields of :class:`PendingExample`."""
        self._result.counts[kind] += count
        if sum(example.kind == kind for example in self.pending) < self._examples:
            self.pending.append(
                PendingExample(kind, offset, key, replayed, published, output_offsets, expected)
            )
