"""How far a worker has published: its group offset, below which every prediction is readable."""

import logging
import time

from stream_rnn.answers import CheckedAdminClient
from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.predictions.groups import committed_offsets

AGE_S = 1.0
FOLD_METADATA = "v1 "  # how the metadata of a fold's group offset begins

logger = logging.getLogger(__name__)


class Completeness:
    """The group offset of each source partition, asked for at most once a second.

    Args:
        app_id: of the worker.
        timeout_s: deadline of one answer.

    Attributes:
        offsets: of each source partition, the offset below which everything is published.
    """

    def __init__(self, app_id: str, timeout_s: float) -> None:
        self.offsets: dict[int, int] = {}
        self._app_id = app_id
        self._timeout_s = timeout_s
        self._asked_s = -AGE_S

    async def refresh(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Ask Kafka now.

        Args:
            admin: a started client.
            source_topic: ``None`` while none is known; then the app may fold one topic only.

        Raises:
            ConfigError: the app folds several topics.
            UnavailableError: Kafka did not answer.
        """
        self._asked_s = time.monotonic()
        found = await committed_offsets(admin, self._app_id, None, self._timeout_s)
        if source_topic is None:
            folded = {tp.topic for tp, at in found.items() if at.metadata.startswith(FOLD_METADATA)}
            if len(folded) > 1:
                raise ConfigError(
                    f"app {self._app_id} folds {', '.join(sorted(folded))}: which of them these "
                    "predictions are of is known once one was read; ask again then"
                )
            source_topic = next(iter(folded), None)
        self.offsets = {
            tp.partition: at.offset for tp, at in sorted(found.items()) if tp.topic == source_topic
        }

    async def refresh_when_old(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Ask Kafka if the last answer is older than a second; without an answer, keep that one."""
        if time.monotonic() - self._asked_s < AGE_S:
            return
        try:
            await self.refresh(admin, source_topic)
        except (UnavailableError, ConfigError) as error:
            logger.warning("how far the worker has published is not known: %s", error)
