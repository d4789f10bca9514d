"""Calls of the store: repeated while it is unavailable, and made smaller if it takes none so large.

Services and proxies limit the size of a request, often by closing the connection, and a slow link
cannot transfer every request within ``redis_timeout_s``.  A commit is atomic, so a smaller one
needs a smaller micro-batch: the partition finds its start again and folds the same records in
halves, silently if they are published.  A failover closes connections, too, so only a large request
is blamed soon, and micro-batches grow again unless the server has named its limit.  Expired states
need no place in a commit: they leave in requests of their own if a commit has no room for them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from stream_rnn.errors import (
    ConfigError,
    MovedError,
    NoAnswerError,
    StreamRNNError,
    TooLargeError,
)
from stream_rnn.fold.decoder import Record
from stream_rnn.settings import Settings
from stream_rnn.store.adaptive_bound import AdaptiveBound
from stream_rnn.store.retry import retry
from stream_rnn.store.state import NO_COMMIT, Commit, Store

logger = logging.getLogger(__name__)

FAILURES_MAX = 2  # a connection that was cut fails once
SMALL_FAILURES_MAX = 5  # of a request that is too small to blame its size soon
SMALL_BYTES = 256_000

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
        sleep: Function that waits for some seconds.

    Attributes:
        records: Bound of the number of records in a micro-batch.
        key_bytes: Bound of the bytes of the keys in a micro-batch.
        expired_bytes: Bound of the bytes of a commit that deletes expired states.
        error: Why a call is being repeated; empty if the store answers.
    """

    store: Store
    settings: Settings
    place: str
    state_bytes: int
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    records: AdaptiveBound = field(init=False)
    key_bytes: AdaptiveBound = field(init=False)
    expired_bytes: AdaptiveBound = field(init=False)
    error: str = ""

    def __post_init__(self) -> None:
        largest = max(1, self.settings.commit_bytes_max // self.state_bytes)
        self.records = AdaptiveBound(min(self.settings.batch_events_max, largest))
        self.key_bytes = AdaptiveBound(self.settings.commit_bytes_max)
        self.expired_bytes = AdaptiveBound(self.settings.commit_bytes_max)

    @property
    def bounds(self) -> tuple[int, int, int]:
        """Bytes of a hidden state, and the bounds of records and of the bytes of their keys."""
        return self.state_bytes, self.records.value, self.key_bytes.value

    async def retry(self, call: Callable[[], Awaitable[T]], name: str) -> T:
        """Await a small call, and repeat it for ``redis_retry_s`` while the store is unavailable.

        Args:
            call: Function that returns a new awaitable for each try.
            name: What the call does, for messages.

        Raises:
            ConfigError: The store takes not even this request.
        """
        try:
            return await self._retry(call)
        except TooLargeError as error:
            raise ConfigError(
                f"{self.place}: cannot {name}: {error}; this request does not depend on a setting "
                "of the worker: raise the limit of a request in Redis or in the proxy before it"
            ) from error

    async def load(self, position: int, origin: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read the hidden states of some keys.

        Raises:
            TooLargeError: The store answers small requests only; the bound is now lower.
            ConfigError: The store does not even take the request for one state.
        """
        if not keys:
            return await self.retry(
                lambda: self.store.load(position, origin, keys), "read the position"
            )
        key_bytes = sum(map(len, keys))
        request_bytes = key_bytes + len(keys) * self.state_bytes
        return await self._retry_sized(
            lambda: self.store.load(position, origin, keys),
            request_bytes,
            lambda error: self._shrink(len(keys), request_bytes - key_bytes, key_bytes, error),
        )

    async def commit(self, commit: Commit, expired: Sequence[bytes] = ()) -> int:
        """Commit, and delete as many of some expired states as the request has room for.

        Args:
            commit: Changes of the micro-batch.
            expired: Keys of expired states.

        Returns:
            Number of expired states that are deleted, from the first on.

        Raises:
            TooLargeError: The store answers small requests only; the bound is now lower.
            ConfigError: The store does not even take the request for one state.
        """
        state_bytes = sum(len(value) for _, value in commit.writes)
        key_bytes = sum(len(key) for key, _ in commit.writes) + sum(map(len, commit.deletes))
        needed_bytes = state_bytes + key_bytes
        bound, total_bytes, count = self.expired_bytes.value, needed_bytes, 0
        for key in expired:
            if total_bytes + len(key) > bound and (count or needed_bytes):
                break
            total_bytes += len(key)
            count += 1
        if count:
            both = replace(commit, deletes=[*commit.deletes, *expired[:count]])
            with suppress(TooLargeError):
                await self._retry_sized(
                    lambda: self.store.commit(both),
                    total_bytes,
                    lambda error: self._shrink_expired(total_bytes, error),
                    is_optional=True,
                )
                self.expired_bytes.note_success(bound if count < len(expired) else total_bytes)
                return count
        changes = len(commit.writes) + len(commit.deletes)
        if changes or commit.position != commit.expected_position:
            await self._retry_sized(
                lambda: self.store.commit(commit),
                needed_bytes,
                lambda error: self._shrink(changes, state_bytes, key_bytes, error),
            )
        return 0

    def note_success(self, records: Sequence[Record]) -> None:
        """Let micro-batches grow again after enough commits of the greatest size.

        Args:
            records: Records of the micro-batch.  If the key of one more does not fit by the count
                of :func:`~stream_rnn.fold.slices.slice_records`, their keys have the greatest size.
        """
        if self.key_bytes.value < self.key_bytes.largest and records:
            sizes = [len(record.key or b"") for record in records]
            is_full = sum(sizes) + max(sizes) > self.key_bytes.value
            self.key_bytes.note_success(self.key_bytes.value if is_full else 0)
        if self.records.note_success(len(records)):
            logger.info(
                "micro-batches have at most %d records again partition=%s",
                self.records.value,
                self.place,
            )

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        limit_s = self.settings.redis_retry_s
        return await retry(call, limit_s, self.clock, self.place, self._note_error, self.sleep)

    async def _retry_sized(
        self,
        call: Callable[[], Awaitable[T]],
        request_bytes: int,
        shrink: Callable[[StreamRNNError], StreamRNNError],
        *,
        is_optional: bool = False,
    ) -> T:
        """Await a call, repeat it like :meth:`retry`, and raise ``shrink(error)`` if it is too large."""
        failures, end_s = 0, self.clock() + self.settings.redis_retry_s

        async def attempt() -> T:
            nonlocal failures
            try:
                return await call()
            except TooLargeError as error:
                raise shrink(error) from error
            except NoAnswerError as error:
                failures += 1
                try:
                    with suppress(MovedError):  # the answer to a commit that nothing can take
                        await self.store.commit(NO_COMMIT)
                except NoAnswerError:
                    failures = 0
                    raise
                is_last = self.clock() >= end_s
                if is_optional or request_bytes > SMALL_BYTES:
                    is_size = is_last or failures >= FAILURES_MAX
                else:
                    is_size = is_last and failures >= SMALL_FAILURES_MAX
                if is_size:
                    raise shrink(error) from error
                raise

        return await self._retry(attempt)

    def _shrink(
        self, changes: int, state_bytes: int, key_bytes: int, error: StreamRNNError
    ) -> StreamRNNError:
        """Lower the bound of what most bytes of a request are: states or keys."""
        if changes <= 1:
            return self._cannot_shrink(changes, state_bytes, key_bytes, error)
        if key_bytes <= state_bytes:
            return self._shrink_records(changes, error)
        self.key_bytes.shrink(key_bytes, is_certain=isinstance(error, TooLargeError))
        size = self.key_bytes.value
        return TooLargeError(
            f"Redis, or a proxy before it, answers small requests, but takes no request with "
            f"{changes} keys of {key_bytes} bytes ({error}); the keys in a micro-batch of "
            f"{self.place} now have at most {size} bytes: set commit_bytes_max to {size} or less, "
            "or raise redis_timeout_s if the connection is slow"
        )

    def _shrink_records(self, states: int, error: StreamRNNError) -> StreamRNNError:
        """Lower the bound of records, and return the error that names the setting."""
        self.records.shrink(states, is_certain=isinstance(error, TooLargeError))
        records = self.records.value
        return TooLargeError(
            f"Redis, or a proxy before it, answers small requests, but takes no request with "
            f"{states} hidden states ({error}); micro-batches of {self.place} now have at most "
            f"{records} records: set commit_bytes_max to {records * self.state_bytes} or less, or "
            "raise redis_timeout_s if the connection is slow"
        )

    def _cannot_shrink(
        self, changes: int, state_bytes: int, key_bytes: int, error: StreamRNNError
    ) -> ConfigError:
        """Return the error of a request that no bound makes smaller."""
        content = "the position alone"
        if changes and state_bytes:
            content = f"one hidden state of {state_bytes} bytes and its key of {key_bytes} bytes"
        elif changes:
            content = f"one forget, whose key has {key_bytes} bytes"
        return ConfigError(
            f"{self.place}: Redis, or a proxy before it, answers small requests, but takes no "
            f"request with {content} ({error}); raise its limit of a request, or redis_timeout_s"
        )

    def _shrink_expired(self, request_bytes: int, error: StreamRNNError) -> StreamRNNError:
        """Lower the bound of a request with expired states, and return an error for :meth:`commit`."""
        self.expired_bytes.shrink(request_bytes, is_certain=isinstance(error, TooLargeError))
        size = self.expired_bytes.value
        logger.warning(
            "Redis took no request of %d bytes that deletes expired states (%s); such requests now "
            "have at most %d bytes partition=%s",
            *(request_bytes, error, size, self.place),
        )
        return TooLargeError(str(error))

    def _note_error(self, reason: str) -> None:
        self.error = reason
