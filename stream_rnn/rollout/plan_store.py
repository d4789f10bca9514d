"""The protocol of the store of plans and bundles, and the store in memory.

``redis_plan_store.py`` implements it in Redis, under the same contract tests.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from stream_rnn.errors import ConfigError
from stream_rnn.rollout.plan import Plan
from stream_rnn.rollout.worker_report import WorkerReport


class BundleBytes(NamedTuple):
    """The two files of a bundle.

    Attributes:
        content: Bytes of ``bundle.json``.
        tensors: Bytes of ``model.safetensors``.
    """

    content: bytes
    tensors: bytes

    @property
    def size(self) -> int:
        """Number of bytes of both files."""
        return len(self.content) + len(self.tensors)


class PlanStore(Protocol):
    """The plan of the roll-out of one app and source, and the bundles of its folds."""

    async def read(self) -> Plan | None:
        """Return the plan; ``None`` if there is none.

        Raises:
            ConfigError: Another program has written something else.
        """

    async def write(self, seen: Plan | None, plan: Plan) -> bool:
        """Write a plan if the stored one is still the one that was seen; return whether it was.

        A write whose answer was lost may have been applied; a repetition then returns ``False``.
        """

    async def put_bundle(self, fingerprint: str, bundle: BundleBytes) -> None:
        """Keep the files of a bundle under its fingerprint.

        Raises:
            ConfigError: They are larger than the limit.
        """

    async def get_bundle(self, fingerprint: str) -> BundleBytes | None:
        """Return the files of a bundle, which anybody may have written; ``None`` if it has none.

        Raises:
            ConfigError: They are larger than the limit.
        """

    async def has_bundle(self, fingerprint: str) -> bool:
        """Return whether the files of a bundle are kept."""

    async def drop_bundle(self, fingerprint: str) -> None:
        """Delete the files of a bundle, if they are kept."""

    async def put_report(self, member: str, report: WorkerReport, expires_s: float) -> None:
        """Write the report of a worker.

        Args:
            member: Id by which the group knows the worker.
            report: Its report.
            expires_s: Seconds after which the report is deleted.
        """

    async def get_reports(self, members: Sequence[str]) -> list[WorkerReport | None]:
        """Return the report of each member; ``None`` for one that has none, or one of no worker."""


def check_size(place: str, size: int, bytes_max: int) -> None:
    """Check the size of a bundle.

    Raises:
        ConfigError: It is larger than the limit.
    """
    if size > bytes_max:
        raise ConfigError(
            f"{place} has {size} bytes, and a roll-out takes bundles of at most {bytes_max}: raise "
            "rollout_bundle_bytes_max for the workers and for this command, or train a smaller network"
        )


@dataclass(slots=True)
class MemoryPlanStore:
    """A :class:`PlanStore` in memory.

    Attributes:
        plan: The plan as it is stored.
        bundles: Files of each bundle.
        bytes_max: Maximum bytes of a bundle.
        reports: Report of each worker, with the time at which it expires.
        clock: Monotonic clock in seconds.
    """

    plan: bytes | None = None
    bundles: dict[str, BundleBytes] = field(default_factory=dict)
    bytes_max: int = 100_000_000
    reports: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic

    async def read(self) -> Plan | None:
        """Return the plan."""
        return None if self.plan is None else Plan.decode(self.plan, "the plan")

    async def write(self, seen: Plan | None, plan: Plan) -> bool:
        """Write a plan if the stored one is still the one that was seen."""
        if self.plan != (None if seen is None else seen.encode()):
            return False
        self.plan = plan.encode()
        return True

    async def put_bundle(self, fingerprint: str, bundle: BundleBytes) -> None:
        """Keep the files of a bundle."""
        check_size(f"bundle {fingerprint[:16]}", bundle.size, self.bytes_max)
        self.bundles[fingerprint] = bundle

    async def get_bundle(self, fingerprint: str) -> BundleBytes | None:
        """Return the files of a bundle."""
        bundle = self.bundles.get(fingerprint)
        if bundle is not None:
            check_size(f"bundle {fingerprint[:16]}", bundle.size, self.bytes_max)
        return bundle

    async def has_bundle(self, fingerprint: str) -> bool:
        """Return whether the files of a bundle are kept."""
        return fingerprint in self.bundles

    async def drop_bundle(self, fingerprint: str) -> None:
        """Delete the files of a bundle."""
        self.bundles.pop(fingerprint, None)

    async def put_report(self, member: str, report: WorkerReport, expires_s: float) -> None:
        """Write the report of a worker."""
        self.reports[member] = report.encode(), self.clock() + expires_s

    async def get_reports(self, members: Sequence[str]) -> list[WorkerReport | None]:
        """Return the report of each member."""
        now_s = self.clock()
        found = (self.reports.get(member, (None, 0.0)) for member in members)
        return [WorkerReport.decode(c if until_s > now_s else None) for c, until_s in found]
