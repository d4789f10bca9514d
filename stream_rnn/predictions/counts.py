"""The numbers of records that a reader has read, by what became of them."""

import logging
from dataclasses import dataclass, field

from stream_rnn.predictions.progress import SourcePartition

CAUSES_MAX = 100
"""Maximum number of causes that are logged."""

BEHIND_MAX = 1000
"""Number of predictions with a lower number of a cut-over after which the reader says so."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """The numbers of records that a reader has yielded, dropped or refused.

    Attributes:
        yielded: Predictions that were yielded.
        duplicates: Predictions of a source offset that was read before, or of a fold that a cut-over
            has replaced; they are dropped.
        foreign: Predictions of another app than ``worker_app_id``; they are dropped.
        bad: Values that are not predictions.
    """

    yielded: int = 0
    duplicates: int = 0
    foreign: int = 0
    bad: int = 0
    _behind: dict[SourcePartition, int] = field(default_factory=dict, repr=False, compare=False)
    _causes: set[str] = field(default_factory=set, repr=False, compare=False)

    def skip(self, where: str, error: Exception) -> None:
        """Count a value that is no prediction, and log the first one of each cause.

        Args:
            where: Place of the record.
            error: The cause.
        """
        self.bad += 1
        cause = str(error)
        if cause in self._causes or len(self._causes) == CAUSES_MAX:
            return
        self._causes.add(cause)
        logger.warning(
            "skipping a value that is no prediction place=%s: %s; others with this cause are only "
            "counted",
            *(where, cause),
        )

    def note_behind(self, source: SourcePartition, offset: int, number: int, newest: int) -> None:
        """Count a prediction that is dropped for its number alone, and log once that there are many.

        Args:
            source: Source partition.
            offset: Source offset of the prediction.
            number: Number of the last cut-over before it.
            newest: Greatest number of a cut-over that was read.
        """
        if source not in self._behind and len(self._behind) == CAUSES_MAX:
            return
        count = self._behind[source] = self._behind.get(source, 0) + 1
        if count == BEHIND_MAX:
            logger.warning(
                "dropped %d predictions of %s[%d] whose cut-over is older than number %d, which was "
                "read before; the last one has offset %d and number %d, and others are only counted. "
                "A worker that has lost the partition may append some; if all are dropped, the app "
                "has lost its group offset and the plan in Redis, and its numbers have begun again: "
                "read with another group",
                *(count, source.topic, source.partition, newest, offset, number),
            )
