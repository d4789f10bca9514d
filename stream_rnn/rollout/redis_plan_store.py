"""The plan of a roll-out and the bundles of its folds in Redis, for each app and source.

    {app:source}:rollout                 hash: plan -> JSON (``plan.py``), digest -> its SHA-1
    {app:source}:bundle:<fingerprint>    hash: content, tensors -> bytes of the bundle's two files
    {app:source}:worker:<member id>      string: JSON (``worker_report.py``); expires

``plan.lua`` is the only writer of the plan.  All workers look at it once a second, so it is read only
after a change.  A bundle is data and never code, and whoever reads one
checks it like any bundle from outside (``bundles.py``).
"""

import time
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import PLAN_BYTES_MAX, Plan
from stream_rnn.rollout.plan_store import BundleBytes, check_size
from stream_rnn.rollout.worker_report import REPORT_BYTES_MAX, WorkerReport
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.script import Script

READ_AGAIN_S = 30.0  # also without another digest, which a writer other than ``plan.lua`` leaves


class RedisPlanStore:
    """A :class:`~stream_rnn.rollout.plan_store.PlanStore` in Redis.  Does not retry.

    Args:
        redis: Client that returns raw bytes.
        settings: App, source, largest bundle and deadline of one reply.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        redis: Redis,
        settings: FoldSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._timeout_s = settings.redis_timeout_s
        self._bytes_max = settings.rollout_bundle_bytes_max
        self._tag = f"{settings.app}:{settings.source}"
        self.key = f"{{{self._tag}}}:rollout"
        self._bundle_prefix = f"{{{self._tag}}}:bundle:"
        self._worker_prefix = f"{{{self._tag}}}:worker:"
        self._calls = self._calls_of(self.key)
        self._write = Script(redis, "plan.lua")
        self._read_plan = Script(redis, "plan_read.lua")
        self._read_reports = Script(redis, "reports.lua")
        self._clock, self._read_s = clock, -READ_AGAIN_S
        self._last: tuple[str, int, Plan] | None = None  # digest, size and plan

    def _calls_of(self, key: str) -> RedisStore:
        """Return the store by which calls are awaited; its messages name one key."""
        calls = RedisStore(self._redis, self._tag, self._timeout_s)
        calls.position_key = calls.hidden_key = key
        return calls

    async def read(self) -> Plan | None:
        """Return the plan; ``None`` if there is none."""
        last, now_s = self._last, self._clock()
        is_recent = last is not None and now_s - self._read_s < READ_AGAIN_S
        known: tuple[str, int] = last[:2] if last is not None and is_recent else ("", 0)
        call = self._read_plan(keys=[self.key], args=[PLAN_BYTES_MAX, *known])
        found: int | bytes | None = await self._calls.await_reply(call)
        if last is not None and found == 0:
            return last[2]
        if isinstance(found, int):
            check_plan_size(self.key, found)
        if not isinstance(found, bytes):
            return None
        digest, size = sha1(found, usedforsecurity=False).hexdigest(), len(found)
        self._read_s = now_s
        if last is None or (digest, size) != last[:2]:
            last = self._last = digest, size, Plan.decode(found, self.key)
        return last[2]

    async def write(self, seen: Plan | None, plan: Plan) -> bool:
        """Write a plan if the stored one is still the one that was seen; return whether it was."""
        content = plan.encode()
        check_plan_size(self.key, len(content))
        arguments = [b"" if seen is None else seen.encode(), content]
        call = self._write(keys=[self.key], args=arguments)
        status: bytes = await self._calls.await_reply(call)
        if status not in (b"ok", b"moved"):
            raise ConfigError(
                f"{self.key} is not a hash: another program writes to this key; inspect it with "
                "TYPE, delete it, and start the roll-out again"
            )
        return status == b"ok"

    async def put_bundle(self, fingerprint: str, bundle: BundleBytes) -> None:
        """Keep the files of a bundle under its fingerprint, whatever the key contains."""
        key = self._bundle_prefix + fingerprint
        check_size(key, bundle.size, self._bytes_max)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.unlink(key)
            pipe.hset(key, mapping={"content": bundle.content, "tensors": bundle.tensors})
            await self._calls_of(key).await_reply(pipe.execute())

    async def get_bundle(self, fingerprint: str) -> BundleBytes | None:
        """Return the files of a bundle; ``None`` if Redis has none."""
        key = self._bundle_prefix + fingerprint
        check_size(key, sum(await self._bundle_sizes(key)), self._bytes_max)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(key, "content", "tensors")
            ((content, tensors),) = await self._calls_of(key).await_reply(pipe.execute())
        return None if content is None or tensors is None else BundleBytes(content, tensors)

    async def has_bundle(self, fingerprint: str) -> bool:
        """Return whether the files of a bundle are kept."""
        return all(await self._bundle_sizes(self._bundle_prefix + fingerprint))

    async def _bundle_sizes(self, key: str) -> list[int]:
        """Return the number of bytes of each file of a bundle; 0 for one that is missing."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hstrlen(key, "content")
            pipe.hstrlen(key, "tensors")
            sizes: list[int] = await self._calls_of(key).await_reply(pipe.execute())
        return sizes

    async def drop_bundle(self, fingerprint: str) -> None:
        """Delete the files of a bundle."""
        await self._calls.await_reply(self._redis.unlink(self._bundle_prefix + fingerprint))

    async def put_report(self, member: str, report: WorkerReport, expires_s: float) -> None:
        """Write the report of a worker, which Redis deletes when it expires."""
        key, expires_ms = self._worker_prefix + member, round(1000 * expires_s)
        await self._calls.await_reply(self._redis.set(key, report.encode(), px=expires_ms))

    async def get_reports(self, members: Sequence[str]) -> list[WorkerReport | None]:
        """Return the report of each member."""
        keys = [self._worker_prefix + member for member in members]
        if not keys:
            return []
        call = self._read_reports(keys=keys, args=[REPORT_BYTES_MAX])
        found: Any = await self._calls.await_reply(call)
        return [WorkerReport.decode(content) for content in found]

    async def check_rights(self, probe: str) -> None:
        """Run the commands that write, on keys that are deleted again.

        Args:
            probe: Name of a worker and of a bundle that do not exist.

        Raises:
            ConfigError: Redis refuses one of them.
        """
        bundle, worker = self._bundle_prefix + probe, self._worker_prefix + probe
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(bundle, "content", "")
            pipe.hstrlen(bundle, "content")
            pipe.unlink(bundle)
            pipe.set(worker, "", px=1)
            await self._calls.await_reply(pipe.execute())
        call = self._write(
            keys=[bundle], args=[b"-", b""]
        )  # no plan is seen as this, so it writes nothing
        await self._calls.await_reply(call)


def check_plan_size(key: str, size: int) -> None:
    """Check the size of a plan.

    Raises:
        ConfigError: It is larger than any that this version writes.
    """
    if size > PLAN_BYTES_MAX:
        raise ConfigError(
            f"{key} has {size} bytes, more than the maximum of {PLAN_BYTES_MAX} of a plan; another "
            "program writes to this key: stop it, delete the key, and start the roll-out again"
        )
