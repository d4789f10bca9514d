"""The numbers of records that a reader has read, by what became of them."""

import logging
from dataclasses import dataclass, field

CAUSES_MAX = 100
"""Maximum number of causes that are logged."""

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
