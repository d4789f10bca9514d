"""The demo of a roll-out: a year of departures, whose second half another bundle predicts.

The workers' own bundle is the memoryless baseline, which ``stream-rnn train`` wrote beside the
demo's bundle: a network of the same inputs that sees each event alone.  The new bundle is the
demo's, whose memories of the first half are folded from the log while the events go on.

1  start the servers, the topics and two workers with the old bundle
2  send the events at a given rate, and read the predictions as they are published
3  after a tenth of the predictions: start the roll-out, and wait until the candidate is warm
4  after half of them: promote the new fold; then go back in one partition, and forward again
5  finish: drop the states of the old fold
6  after all predictions: fold the source topic again with both bundles in this process, and compare
   every byte with what the fold that the prediction names would publish
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream_rnn.demo.flights import BUNDLE, MEMORYLESS, Departure
from stream_rnn.demo.scores import probability, replay_topic
from stream_rnn.demo.stream import PARTITIONS, Companion, DemoStream, ProgressCallback
from stream_rnn.errors import UnavailableError
from stream_rnn.local.servers import Addresses
from stream_rnn.operate import rollout_requests as requests
from stream_rnn.operate import rollout_start
from stream_rnn.operate.rollout_status import OpenRollout, PartitionStatus, Status, open_rollout
from stream_rnn.operate.rollout_waits import cold_partitions, wait_for
from stream_rnn.predictions.cut_over import parse_number
from stream_rnn.settings import FoldSettings

WITHIN_S = 120.0
LOOK_EVERY_S = 0.5
BACK_AND_FORTH = 0  # the partition that goes back
START_AT, PROMOTE_AT = 0.1, 0.5  # shares of the events that are published
# On a machine that is too slow, the stream waits: shares of the events that are sent at most before
# the new fold publishes, before the old one does again, and before the new one does again.
SENT_MAX = 0.7, 0.8, 0.9

Stage = Literal["before", "warming", "warm", "promoted", "over"]


@dataclass(slots=True)
class PublishedFolds:
    """What the reader sees of the folds.

    Attributes:
        fold_ids: Ids of the old and the new fold.
        fold: (N,) index of the fold that published an event's last prediction; -1 without one.
        number: (N,) number of the cut-over that it names.
        both: Events with predictions of both folds.
        went_back: Number of predictions with a lower number than an earlier one of their partition.
        pauses_s: Seconds without a prediction of a partition before each change of the fold.
    """

    fold_ids: Sequence[str]
    fold: NDArray[np.int64]
    number: NDArray[np.int64]
    both: set[int] = field(default_factory=set)
    went_back: int = 0
    pauses_s: list[float] = field(default_factory=list)
    _last: dict[int, tuple[int, int, float]] = field(default_factory=dict)

    def observe(self, partition: int, event: int, record: Any) -> None:
        """Take a prediction of an event."""
        headers, now_s = dict(record.headers), time.monotonic()
        fold = self.fold_ids.index(headers["sr-fold"].decode())
        number = parse_number(record.headers)
        if self.fold[event] not in (-1, fold):
            self.both.add(event)
        self.fold[event], self.number[event] = fold, number
        last_fold, last_number, read_s = self._last.get(partition, (fold, number, now_s))
        if number < last_number:
            self.went_back += 1
        elif fold != last_fold:
            self.pauses_s.append(now_s - read_s)
        self._last[partition] = fold, max(number, last_number), now_s

    def last_fold(self, partition: int) -> int:
        """Return the fold of a partition's last prediction; -1 without one."""
        return self._last[partition][0] if partition in self._last else -1

    def cut_overs(self, event_indices: Sequence[int]) -> list[int]:
        """Return the offsets of a partition whose fold is another one than that of the offset before.

        Args:
            event_indices: Indices of the partition's events in offset order.
        """
        return (np.flatnonzero(np.diff(self.fold[list(event_indices)])) + 1).tolist()


class RolloutDemo:
    """One run of the demo of a roll-out.

    Args:
        addresses: Addresses of Kafka and Redis.
        events: Events to stream.
        rate: Events to send per second; 0 sends as fast as possible.
        on_progress: Called with a line of text for each step.
        show: Called with the demo a few times per second.
        companion: Returns a context that is open while the events are streamed, such as a dashboard.
        bundles: Directories of the old and the new bundle.
    """

    def __init__(
        self,
        addresses: Addresses,
        events: Sequence[Departure],
        rate: float,
        *,
        on_progress: ProgressCallback,
        show: Callable[["RolloutDemo"], None],
        companion: Companion | None = None,
        bundles: tuple[Path, Path] = (MEMORYLESS, BUNDLE),
    ) -> None:
        self.stream = DemoStream(addresses, events, rate, bundles, on_progress, companion)
        self.stage: Stage = "before"
        self.status: Status | None = None
        count = len(events)
        self.folds = PublishedFolds(
            self.stream.fold_ids, np.full(count, -1), np.zeros(count, np.int64)
        )
        self._on_progress = on_progress
        self._show_demo = show
        self._new_bundle = bundles[1]
        self._warm_s = 0.0
        self._dropped = 0

    async def run(self) -> dict[str, Any]:
        """Run the demo and return its results.

        Raises:
            UnreachableError: Kafka does not answer.
            ConfigError: The roll-out was refused, or the run succeeded, but topics or keys remain
                on servers of the caller.
            UnavailableError: The roll-out came no further within ``WITHIN_S``.
        """
        begin_s, stream = time.monotonic(), self.stream
        async with stream.opened():
            for name in ("worker-1", "worker-2"):
                stream.start_worker(name)
            self._on_progress(
                "two workers start with the old bundle, the memoryless baseline that train wrote "
                "beside the new one"
            )
            await stream.wait_until_ready()
            seconds = await stream.run(self._roll_out, self.folds.observe, self._show)
            self._on_progress(
                "all is published: folding the source topic again with each bundle, comparing "
                "every byte"
            )
            replayed = [await self._replay(index) for index in (0, 1)]
            return self._figures(seconds, replayed, time.monotonic() - begin_s)

    async def _show(self) -> None:
        self._show_demo(self)

    # 3 to 5 -------------------------------------------------------------------------------------

    async def _roll_out(self) -> None:
        place = self.stream.settings.model_dump() | {"bundle": str(self._new_bundle)}
        settings = FoldSettings.model_validate(place)
        async with open_rollout(settings) as rollout:
            what = "some worker reports nothing to roll-outs"
            await self._until(rollout, what, lambda s: None not in s.workers.reports.values())
            self._let_send(SENT_MAX[0])
            await self._until_published(rollout, START_AT)
            await self._start(rollout)
            await self._until_published(rollout, PROMOTE_AT)
            everywhere, one = frozenset(range(PARTITIONS)), frozenset({BACK_AND_FORTH})
            await self._promote(rollout, "new", everywhere, SENT_MAX[1])
            await self._promote(rollout, "old", one, SENT_MAX[2])
            await self._promote(rollout, "new", one, 1.0)
            self._dropped = sum((await requests.finish(rollout, WITHIN_S)).values())
            self.stage, self.status = "over", await rollout.status()
            self._on_progress(f"finish: {self._dropped} hidden states of the old fold are dropped")

    async def _start(self, rollout: OpenRollout) -> None:
        """Start the roll-out, and wait until the candidate is within one micro-batch everywhere."""
        proposal, begin_s = await rollout_start.propose(rollout), time.monotonic()
        plan = await rollout_start.start(rollout, proposal)
        self.stage = "warming"
        self._on_progress(
            f"start: the workers fold the {proposal.cost.records:,} records so far with the new "
            "bundle, too, silently and without a restart"
        )
        near = rollout.settings.batch_events_max

        await self._until(
            *(rollout, "the new fold is not warm"),
            lambda status: not cold_partitions(status, plan, near),
        )
        self.stage, self._warm_s = "warm", time.monotonic() - begin_s
        self._on_progress(f"the new fold is warm after {self._warm_s:.1f} s")

    def _let_send(self, share: float) -> None:
        self.stream.send_max = int(share * len(self.stream.events))

    async def _promote(
        self, rollout: OpenRollout, fold: str, partitions: frozenset[int], sent_max: float
    ) -> None:
        """Promote a fold, and wait until it has published in each of the partitions.

        Args:
            rollout: Open clients.
            fold: ``old`` or ``new``.
            partitions: Partitions.
            sent_max: Share of the events that may be sent as soon as the fold is in charge.
        """
        self.status = await rollout.status()
        made = await requests.promote(rollout, fold, partitions)
        offsets: dict[int, int] = {}
        failed = await wait_for(
            rollout, made, WITHIN_S, lambda number, known: offsets.update({number: known.offset})
        )
        for partition, why in failed.items():
            raise UnavailableError(f"promote of the {fold} fold in partition {partition}: {why}")
        at = ", ".join(f"[{number}] {offset:,}" for number, offset in sorted(offsets.items()))
        self._on_progress(f"promote --fold {fold}: in charge from offset {at} on")
        self.stage = "promoted"
        self._let_send(sent_max)
        stream, wanted = self.stream, ("old", "new").index(fold)

        def has_published(_status: Status) -> bool:
            published = (self.folds.last_fold(partition) == wanted for partition in partitions)
            return all(published) or stream.observed.published >= stream.send_max

        await self._until(rollout, f"the {fold} fold has not published", has_published)

    async def _until(
        self, rollout: OpenRollout, what: str, is_done: Callable[[Status], bool]
    ) -> None:
        """Read the status until it is as wanted.

        Raises:
            UnavailableError: It is not within ``WITHIN_S``; ``what`` says what is the case instead.
            ConfigError: A worker has ended.
        """
        deadline = time.monotonic() + WITHIN_S
        while True:
            self.status = await rollout.status()
            if is_done(self.status):
                return
            for worker in self.stream.workers:
                worker.require_alive()
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{what} after {WITHIN_S:g} s; this machine may be too busy for the demo: try "
                    "a lower --rate"
                )
            await asyncio.sleep(LOOK_EVERY_S)

    async def _until_published(self, rollout: OpenRollout, share: float) -> None:
        """Read the status until a share of the events has a prediction."""
        while self.stream.observed.published < int(share * len(self.stream.events)):
            self.status = await rollout.status()
            await asyncio.sleep(LOOK_EVERY_S)

    def partitions(self) -> list[tuple[int, str, str, int | None]]:
        """Return partition, fold in charge, other fold, and its lag, as they were last read."""
        names = dict(zip(self.folds.fold_ids, ("old", "new"), strict=True))

        def row(partition: PartitionStatus) -> tuple[int, str, str, int | None]:
            in_charge = names.get(partition.fold_id or "", "-")
            (other,) = [one for one, name in names.items() if name != in_charge][:1]
            return partition.partition, in_charge, names[other], partition.lag(other)

        return [row(partition) for partition in self.status.partitions] if self.status else []

    # 6 ------------------------------------------------------------------------------------------

    async def _replay(self, index: int) -> tuple[NDArray[np.float64], int]:
        """Return the probabilities (N,) of a bundle, and how many predictions of its fold differ."""
        stream = self.stream
        probabilities, different = np.full(len(stream.events), np.nan), 0

        def compare(event: int, value: bytes | None) -> None:
            nonlocal different
            probabilities[event] = probability(value or b"")
            if self.folds.fold[event] == index:
                different += stream.observed.values[event] != value

        await replay_topic(
            stream.models[index], stream.settings, stream.events_by_partition, compare
        )
        return probabilities, different

    def _figures(
        self,
        streaming_s: float,
        replayed: Sequence[tuple[NDArray[np.float64], int]],
        seconds: float,
    ) -> dict[str, Any]:
        stream, folds = self.stream, self.folds
        labels, published = stream.labels, stream.observed.probability
        by_old, by_new = (folds.fold == 0) & ~labels.is_test, (folds.fold == 1) & labels.is_scored
        pauses = [] if stream.held_s else folds.pauses_s  # a pause may be one of the sender
        return {
            **stream.figures(streaming_s, sum(different for _, different in replayed)),
            "by_two_folds": len(folds.both),
            "went_back": folds.went_back,
            "published": {"old": int((folds.fold == 0).sum()), "new": int((folds.fold == 1).sum())},
            "auc_before": labels.auc(published, by_old),
            "auc_before_with_new": labels.auc(replayed[1][0], by_old),
            "auc_after": labels.auc(published, by_new),
            "auc_after_with_old": labels.auc(replayed[0][0], by_new),
            "scored_after": "test" if labels.reaches_test else "training",
            "cut_overs": {
                str(partition): folds.cut_overs(event_indices)
                for partition, event_indices in enumerate(stream.events_by_partition)
            },
            "pause_seconds_max": round(max(pauses), 2) if pauses else None,
            "held_seconds": round(stream.held_s, 1),
            "warm_seconds": round(self._warm_s, 1),
            "states_dropped": self._dropped,
            "seconds": round(seconds, 1),
            "versions": stream.versions(),
        }
