"""Builds the processor of a partition: the one place that knows what belongs to it."""

import time

from stream_rnn.fold.crash_points import AtCrashPoint, no_op
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.observer import Nobody, Observer
from stream_rnn.fold.outputs import PublishedOutputs, Sink
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery import Choices
from stream_rnn.fold.recovery_facts import Log, Recovery
from stream_rnn.fold.source import Source
from stream_rnn.model.network import Model
from stream_rnn.settings import FoldSettings
from stream_rnn.store.cache import StateCache
from stream_rnn.store.state import Store


def build_processor(
    *,
    model: Model,
    settings: FoldSettings,
    partition: int,
    source: Source,
    store: Store,
    log: Log,
    publisher: Publisher,
    cache_bytes: int,
    sink: Sink | None = None,
    choices: Choices | None = None,
    patience_s: float = 0.0,
    at_crash_point: AtCrashPoint = no_op,
    observer: Observer | None = None,
) -> Processor:
    """Return the processor of one partition.

    Args:
        model: what is stepped.
        settings: names and limits.
        partition: number of the source partition.
        source: where records come from.
        store: the fold's hidden states.
        log: what recovery asks.
        publisher: the way out.
        cache_bytes: hidden states that are kept in this process.
        sink: takes predictions and skipped records; ``None``: they are published.
        choices: where to start; ``None``: as the settings say.
        patience_s: how long a group offset that is behind is read again.
        at_crash_point: called at each point.
        observer: told of each micro-batch; ``None``: nobody is.
    """
    identity = fold_id(model.fingerprint, settings)
    recovery = Recovery(
        place=f"{settings.source}[{partition}]",
        fold_id=identity,
        store=store,
        log=log,
        choices=choices or Choices.of(settings),
        patience_s=patience_s,
        at_crash_point=at_crash_point,
    )
    return Processor(
        model=model,
        settings=settings,
        partition=partition,
        fold_id=identity,
        source=source,
        store=store,
        publisher=publisher,
        recovery=recovery,
        sink=sink or PublishedOutputs(model, settings, partition, identity),
        cache=StateCache(model.hidden_size_floats, cache_bytes),
        clock=time.monotonic,
        at_crash_point=at_crash_point,
        observer=observer or Nobody(),
    )
