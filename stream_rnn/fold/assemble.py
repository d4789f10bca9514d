"""The one place that builds the processor of a partition from its parts."""

import time
from functools import partial

from stream_rnn.fold.crash_points import AtCrashPoint, no_op
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.observer import NullObserver, Observer
from stream_rnn.fold.outputs import PublishedOutputs, Sink
from stream_rnn.fold.processor import Processor
from stream_rnn.fold.publisher import Publisher
from stream_rnn.fold.recovery import RecoveryOptions
from stream_rnn.fold.recovery_facts import Log, Recovery
from stream_rnn.fold.schema_calls import KeptSchemas
from stream_rnn.fold.source import Source
from stream_rnn.model.network import Model
from stream_rnn.predictions.wire_schema import Wire
from stream_rnn.predictions.writer import JSON
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
    wire: Wire = JSON,
    options: RecoveryOptions | None = None,
    patience_s: float = 0.0,
    at_crash_point: AtCrashPoint = no_op,
    observer: Observer | None = None,
    schemas: KeptSchemas | None = None,
) -> Processor:
    """Return the processor of one partition.

    Args:
        model: Network that steps the events.
        settings: Names and limits of the fold.
        partition: Number of the source partition.
        source: Source of the partition's records.
        store: Store of the fold's hidden states.
        log: Log that recovery reads.
        publisher: Publisher of the outputs and the group offset.
        cache_bytes: Bytes of hidden states to cache in this process.
        sink: Sink of predictions and skipped records; ``None`` publishes them.
        wire: Format of the predictions that are published.
        options: Options of recovery; ``None`` takes them from the settings.
        patience_s: Seconds for which recovery rereads a group offset below the position.
        at_crash_point: Function to call at each :class:`Point`.
        observer: Observer of each micro-batch; ``None`` to observe nothing.
        schemas: Where the schemas of framed records are kept; ``None`` to keep none.
    """
    identity = fold_id_of(model, settings)
    find_start = partial(Recovery, store=store, log=log, at_crash_point=at_crash_point)
    return Processor(
        model=model,
        settings=settings,
        partition=partition,
        fold_id=identity,
        source=source,
        store=store,
        publisher=publisher,
        recovery=find_start(
            place=f"{settings.source}[{partition}]",
            fold_id=identity,
            options=options or RecoveryOptions.of(settings),
            patience_s=patience_s,
        ),
        sink=sink or PublishedOutputs(model, settings, partition, identity, wire),
        cache=StateCache(model.state_size_floats, cache_bytes),
        clock=time.monotonic,
        at_crash_point=at_crash_point,
        observer=observer or NullObserver(),
        schemas=schemas,
    )
