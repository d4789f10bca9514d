"""The plan of a roll-out and the bundles of its folds in Redis, for each app and source.

    {app:source}:rollout                 hash: plan -> JSON (``plan.py``)
    {app:source}:bundle:<fingerprint>    hash: content, tensors -> bytes of the bundle's two files
    {app:source}:worker:<member id>      string: JSON (``worker_report.py``); expires

``plan.lua`` is the only writer of the plan.  A bundle is data and never code, and whoever reads one
checks it like any bundle from outside (``bundles.py``).
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import PLAN_BYTES_MAX, Plan
from stream_rnn.rollout.plan_store import BundleBytes, check_size
from stream_rnn.rollout.worker_report import REPORT_BYTES_MAX, WorkerReport
from stream_rnn.settings import FoldSettings
from stream_rnn.store.redis_store import RedisStore
from stream_rnn.store.script import Script


class RedisPlanStore:
    """A :class:`~stream_rnn.rollout.plan_store.PlanStore` in Redis.  Does not retry.

    Args:
        redis: Client that returns raw bytes.
        settings: App, source, largest bundle and deadline of one reply.
    """

    def __init__(self, redis: Redis, settings: FoldSettings) -> None:
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

    def _calls_of(self, key: str) -> RedisStore:
        """Return the store by which calls are awaited; its messages name one key."""
        calls = RedisStore(self._redis, self._tag, self._timeout_s)
        calls.position_key = calls.hidden_key = key
        return calls

    async def read(self) -> Plan | None:
        """Return the plan; ``None`` if there is none."""
        call = self._read_plan(keys=[self.key], args=[PLAN_BYTES_MAX])
        found: int | bytes | None = await self._calls.await_reply(call)
        if isinstance(found, int):
            check_plan_size(self.key, found)
        return Plan.decode(found, self.key) if isinstance(found, bytes) else None

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
