"""The group offset of a worker, below which every prediction is published.

A separate task requests it while predictions are read, so that a slow or missing answer delays no
prediction.
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
    """The group offset of each source partition, requested at most once a second.

    Args:
        app_id: App id of the worker.
        timeout_s: Deadline for one answer of Kafka, in seconds.

    Attributes:
        offsets: Group offset of each source partition.
    """

    def __init__(self, app_id: str, timeout_s: float) -> None:
        self.offsets: dict[int, int] = {}
        self._app_id = app_id
        self._timeout_s = timeout_s
        self._ended_s = -math.inf  # time of the last answer or failure
        self._last_request = self._last_answer = 0  # numbered: answers may arrive out of order
        self._request: asyncio.Task[None] | None = None

    async def refresh(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Request the group offsets from Kafka and wait for the answer.

        Args:
            admin: Started admin client.
            source_topic: Source topic of the predictions.  ``None`` while it is not known: then the
                app must fold one topic only.

        Raises:
            ConfigError: The source topic is not known, and the app folds several topics.
            UnavailableError: Kafka did not answer.
        """
        self._last_request += 1
        number = self._last_request
        try:
            committed = await committed_offsets(admin, self._app_id, None, self._timeout_s)
        finally:
            self._ended_s = time.monotonic()
        if source_topic is None:
            parsed = {tp: GroupOffset.parse(*commit) for tp, commit in committed.items()}
            folded = {tp.topic for tp, offset in parsed.items() if offset.fold_id is not None}
            if len(folded) > 1:
                raise ConfigError(
                    f"app {self._app_id} folds {', '.join(sorted(folded))}: the first prediction "
                    "shows which of them is the source; read one, then try again"
                )
            source_topic = next(iter(folded), None)
        if number < self._last_answer:
            return
        self._last_answer = number
        self.offsets = {
            tp.partition: commit.offset
            for tp, commit in sorted(committed.items())
            if tp.topic == source_topic
        }

    def refresh_when_old(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        """Send a request if the last answer is older than a second; do not wait for the answer.

        At most one request runs at a time.  If it fails, the last answer stays.  An error that does
        not come from Kafka is raised by the next call.
        """
        if self._request is not None:
            if not self._request.done():
                return
            self._raise_unexpected_end(self._request)
        if time.monotonic() - self._ended_s >= AGE_S:
            self._request = asyncio.create_task(self._try_to_refresh(admin, source_topic))

    async def close(self) -> None:
        """Cancel the request in progress."""
        if self._request is not None:
            self._request.cancel()
            await asyncio.wait([self._request], timeout=CLOSE_WITHIN_S)
            self._request = None

    async def _try_to_refresh(self, admin: CheckedAdminClient, source_topic: str | None) -> None:
        try:
            await self.refresh(admin, source_topic)
        except (UnavailableError, ConfigError) as error:
            logger.warning("the group offset of the worker is not known: %s", error)

    def _raise_unexpected_end(self, request: "asyncio.Task[None]") -> None:
        """Raise an error that does not come from Kafka; no other code awaits the task."""
        self._request = None
        if not request.cancelled():
            request.result()
