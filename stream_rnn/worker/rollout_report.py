"""The report of this worker beside the plan of a roll-out."""

import logging
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import faust

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.fold.fold_id import fold_settings_as_text
from stream_rnn.rollout.partition import PartitionFolds
from stream_rnn.rollout.plan import FoldName, Stage
from stream_rnn.rollout.worker_report import (
    REFUSAL_LENGTH_MAX,
    REPORT_EXPIRES_S,
    WorkerReport,
)
from stream_rnn.worker.generation import member_id
from stream_rnn.worker.partitions import OwnedPartition, Partitions
from stream_rnn.worker.rollout_folds import WorkerFolds

logger = logging.getLogger(__name__)

IDLE_REPORT_EVERY_S = REPORT_EXPIRES_S / 4  # without a plan, and after it


def reporter_of(folds: WorkerFolds, partitions: Partitions, app: faust.App) -> "Reporter":
    """Return the reporter of a worker, whose consumer knows its id in the group."""
    return Reporter(folds, partitions, lambda: member_id(app.consumer))


class Reporter:
    """Writes the report of this worker after each look at the plan, seldom while no roll-out runs.

    Args:
        folds: Folds that this worker can run.
        partitions: Partitions that it owns.
        member: Function that returns the worker's id in the group; empty while it has none.
    """

    def __init__(
        self, folds: WorkerFolds, partitions: Iterable[OwnedPartition], member: Callable[[], str]
    ) -> None:
        self._folds = folds
        self._partitions = partitions
        self._member = member
        self._written_as: tuple[str, Stage | None] = "", None
        self._written_s = 0.0
        self._logged = ""

    async def __call__(self) -> None:
        """Write the report if it is time; one that Redis refuses is logged once."""
        member, now_s, plan = self._member(), time.monotonic(), self._folds.plan
        told = member, None if plan is None else plan.stage
        is_due = told != self._written_as or now_s - self._written_s >= IDLE_REPORT_EVERY_S
        if not member or (told[1] in (None, "over") and not is_due):
            return
        try:
            await self._folds.plans.put_report(member, self.report(), REPORT_EXPIRES_S)
        except StreamRNNError as error:
            if str(error) != self._logged:
                logger.info("cannot report to roll-outs, which need it: %s", reason(error))
            self._logged = str(error)
        else:
            self._written_as, self._written_s, self._logged = told, now_s, ""

    def report(self) -> WorkerReport:
        """Return what this worker reports now."""
        folds, owned = self._folds, list(self._partitions)
        times = [partition.processor.times for partition in owned]
        busy_s, events = sum(sum(t.seconds.values()) for t in times), sum(t.events for t in times)
        return WorkerReport(
            version=version("stream-rnn"),
            own=FoldName(fold_id=folds.own, fingerprint=folds.model.fingerprint),
            loaded=tuple(sorted(folds.models)),
            refused={fold: why[:REFUSAL_LENGTH_MAX] for fold, why in folds.complaints().items()},
            stage=None if folds.plan is None else folds.plan.stage,
            candidates=tuple(
                partition.processor.partition
                for partition in owned
                if isinstance(partition.folds, PartitionFolds) and partition.folds.has_candidate
            ),
            shadow=(folds.shadow.problem[:REFUSAL_LENGTH_MAX] if folds.shadow else "") or None,
            settings=fold_settings_as_text(folds.settings),
            events_per_s=events / busy_s if events and busy_s else None,
        )
