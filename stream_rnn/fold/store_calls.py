"""Calls of the store: repeated while it is unavailable, and made smaller if it takes none so large.

Services and proxies limit the size of a request, often by closing the connection, and a slow link
cannot transfer every request within ``redis_timeout_s``.  A commit is atomic, so a smaller one
needs a smaller micro-batch: the partition finds its start again and folds the same records in
halves, silently if they are published.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from stream_rnn.errors import ConfigError, MovedError, NoAnswerError, TooLargeError
from stream_rnn.settings import Settings
from stream_rnn.store.retry import retry
from stream_rnn.store.state import NO_COMMIT, Store

FAILURES_MAX = 2  # a connection that was cut fails once
FAILURES_OF_ONE_MAX = 5  # before a person must act

T = TypeVar("T")


@dataclass(slots=True)
class StoreCalls:
    """Calls of the store of one partition.

    Args:
        store: Store of the fold.
        settings: Deadlines, and the bounds of a micro-batch.
        place: Topic and partition, for messages.
        state_bytes: Bytes of one hidden state.
        clock: Function that returns monotonic seconds.

    Attributes:
        records_max: Greatest number of records in a micro-batch that the store may take.
        error: Why a call is being repeated; empty if the store answers.
    """

    store: Store
    settings: Settings
    place: str
    state_bytes: int
    clock: Callable[[], float]
    records_max: int = field(init=False)
    error: str = ""

    def __post_init__(self) -> None:
        self.records_max = self.settings.batch_events_max

    async def retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Await a call, and repeat it for ``redis_retry_s`` while the store is unavailable."""
        return await retry(
            call, self.settings.redis_retry_s, self.clock, self.place, self._note_error
        )

    async def retry_sized(self, call: Callable[[], Awaitable[T]], records: int) -> T:
        """Await a call whose size depends on the micro-batch, and repeat it like :meth:`retry`.

        Args:
            call: Function that returns a new awaitable for each try.
            records: Number of records of the micro-batch.

        Raises:
            TooLargeError: The store answers small requests only; ``records_max`` is now lower.
            ConfigError: The store does not even take the request for one record.
        """
        failures, end_s = 0, self.clock() + self.settings.redis_retry_s

        async def attempt() -> T:
            nonlocal failures
            try:
                return await call()
            except TooLargeError as error:
                raise self._too_large(records, str(error)) from error
            except NoAnswerError as error:
                failures += 1
                try:
                    with suppress(MovedError):  # the answer to a commit that nothing can take
                        await self.store.commit(NO_COMMIT)
                except NoAnswerError:
                    failures = 0
                    raise
                is_last = self.clock() >= end_s
                if (is_last or failures >= FAILURES_MAX) and records > 1:
                    raise self._too_large(records, str(error)) from error
                if is_last and failures >= FAILURES_OF_ONE_MAX:
                    raise self._too_large(records, str(error)) from error
                raise

        return await self.retry(attempt)

    def _too_large(self, records: int, reason: str) -> ConfigError | TooLargeError:
        """Lower ``records_max``, and return the error that names the setting."""
        if records <= 1:
            return ConfigError(
                f"{self.place}: Redis, or a proxy before it, answers small requests, but takes no "
                f"request with one hidden state of {self.state_bytes} bytes ({reason}); raise its "
                "limit of a request, or redis_timeout_s"
            )
        self.records_max = records // 2
        limit = self.records_max * self.state_bytes
        return TooLargeError(
            f"Redis, or a proxy before it, answers small requests, but takes no request with "
            f"{records} hidden states ({reason}); micro-batches of {self.place} have at most "
            f"{self.records_max} records from now on: set commit_bytes_max to {limit} or less, or "
            "raise redis_timeout_s if the connection is slow"
        )

    def _note_error(self, reason: str) -> None:
        self.error = reason
