"""The owner of audited outputs, and the source offsets of an audit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputOwner:
    """The fold and the source partition whose outputs are audited.

    Attributes:
        app: App.
        fold: Fold id.
        topic: Source topic.
        partition: Source partition.
        partners: Ids of the other folds that are audited, each as the owner of its own outputs.
        is_first: Whether this is the first of the audited folds, which also checks the outputs that
            belong to none of them.
    """

    app: str
    fold: str
    topic: str
    partition: int
    partners: frozenset[str] = frozenset()
    is_first: bool = True

    def owns_elsewhere(self, headers: Mapping[str, bytes | None]) -> bool:
        """Return whether an output belongs to any partition of this app's source topic."""
        names = headers.get("sr-app"), headers.get("sr-topic")
        return names == (self.app.encode(), self.topic.encode())

    def leaves_out(self, fold: str) -> bool:
        """Return whether the audit of another fold reports misplaced outputs of a fold."""
        return fold in self.partners or (fold != self.fold and not self.is_first)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Source offsets of an audit.

    Attributes:
        start: First offset to audit.
        end: Offset after the last one to audit.
        group_offset: Group offset; everything below it has been published.
        log_end: Log end of the source when the group offset was read.
    """

    start: int
    end: int
    group_offset: int
    log_end: int
