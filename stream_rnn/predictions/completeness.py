"""How far a worker has published: its group offset, below which every prediction is readable.

While predictions are read it is asked for beside them, in a task of its own: a group that does not
answer, or an answer that takes long, keeps no prediction back.
"""

import asyncio
import logging
import math
import time

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.kafka.admin_client import CheckedAdminClient
from stream_rnn.kafka.group_offsets import GroupOffset, committed_offsets

AGE_S = 1.0
CLOSE_WITHIN_S = 1.0

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
        self._ended_s = -math.inf  # when the last answer came, or failed to
        self._asked = self._taken = 0  # numbers of questions: one may be answered after a later one
        self._asking: asyncio.Task[None] | None = None

    async def refresh(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Ask Kafka now.

        Args:
            admin: a started client.
            source_topic: ``None`` while none is known; then the app may fold one topic only.

        Raises:
            ConfigError: the app folds several topics.
            UnavailableError: Kafka did not answer.
        """
        self._asked += 1
        number = self._asked
        try:
            found = await committed_offsets(admin, self._app_id, None, self._timeout_s)
        finally:
            self._ended_s = time.monotonic()
        if source_topic is None:
            parsed = {tp: GroupOffset.parse(*at) for tp, at in found.items()}
            folded = {tp.topic for tp, at in parsed.items() if at.fold_id is not None}
            if len(folded) > 1:
                raise ConfigError(
                    f"app {self._app_id} folds {', '.join(sorted(folded))}: which of them these "
                    "predictions are of is known once one was read; ask again then"
                )
            source_topic = next(iter(folded), None)
        if number < self._taken:
            return
        self._taken = number
        self.offsets = {
            tp.partition: at.offset for tp, at in sorted(found.items()) if tp.topic == source_topic
        }

    def ask_when_old(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Begin to ask Kafka if the last answer is older than a second; do not wait for the answer.

        One question is asked at a time.  Without an answer, the last one is kept.  What is no error
        of Kafka's is raised by the call that follows it.
        """
        if self._asking is not None:
            if not self._asking.done():
                return
            self._raise_unexpected_end(self._asking)
        if time.monotonic() - self._ended_s >= AGE_S:
            self._asking = asyncio.create_task(self._ask(admin, source_topic))

    async def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking], timeout=CLOSE_WITHIN_S)
            self._asking = None

    async def _ask(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        try:
            await self.refresh(admin, source_topic)
        except (UnavailableError, ConfigError) as error:
            logger.warning("how far the worker has published is not known: %s", error)

    def _raise_unexpected_end(self, asked: "asyncio.Task[None]") -> None:
        """Raise what is no error of Kafka's: nobody else awaits the task."""
        self._asking = None
        if not asked.cancelled():
            asked.result()
