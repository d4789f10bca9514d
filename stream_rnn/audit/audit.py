"""Audit: folds a range of the source again and compares the outputs with the published ones.

``audit/partition_audit.py`` lists the steps for one partition.  A prediction is compared byte for
byte if its memory lies wholly in the range, so that production's ``steps`` equals the replay's.
For any other prediction, the audit checks that it is possible; see ``audit/steps_check.py``.

Partitions are audited one after the other.  However many outputs are wrong, the audit of a
partition needs this memory:

- 43 bytes for each offset of the range, and temporarily 24 more
- 24 bytes for each offset, if another fold published predictions
- 8 bytes for each output, and 8 for each that was computed with other numerics
- 45 bytes for each dead letter
- for each key its hidden state, as in every replay, and a few hundred bytes
- twelve bytes for each key of the partitions before it, at most 96 MB; see
  ``audit/key_partitions.py``
- all outputs that seem to be missing, until step 5: at most ``MISSING_MAX`` and
  ``MISSING_BYTES_MAX`` of predictions, and as many of dead letters, some 200 MB for each of the
  two; beyond that, the oldest ones count as missing at once

If several folds are audited, each takes this memory, and 15 bytes more for each offset.

The audit refuses a range of more than ``OFFSETS_MAX`` offsets.
"""

from collections.abc import Mapping, Sequence

from stream_rnn.audit.audited_keys import AuditedKeys
from stream_rnn.audit.audited_range import read_range
from stream_rnn.audit.framed_values import PublishedSchemas
from stream_rnn.audit.merged import merge
from stream_rnn.audit.output_owner import OutputOwner
from stream_rnn.audit.partition_audit import AuditContext, ProgressCallback, audit_partition
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.errors import ConfigError
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.kafka_log import KafkaLog
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import Range, TopicLog
from stream_rnn.settings import FoldSettings

BUNDLES_MAX = 8


async def audit(
    log: TopicLog,
    models: Model | Sequence[Model],
    settings: FoldSettings,
    options: AuditOptions,
    partitions: Sequence[int] = (),
    on_progress: ProgressCallback = lambda _name, _records, _total: None,
) -> AuditResult:
    """Audit a range of the source topic.

    Args:
        log: The opened range of the source topic.
        models: The bundle that production uses.  If production has changed it, all of its bundles:
            then each prediction is compared with a replay by the bundle that made it, and the
            result contains the cut-overs.
        settings: App, source, predictions, and all settings that the fold id depends on.
        options: The keys to compare, and the number of examples.
        partitions: The partitions to audit; all partitions if empty.
        on_progress: Called with the name of the partition that is read, the number of records read
            since the last call, and the total number of records, or ``None`` if it is unknown.

    Raises:
        ConfigError: A topic or a partition does not exist, an output topic has another number of
            partitions than the source, or two of the bundles are the same fold.
    """
    chosen = [models] if isinstance(models, Model) else list(models)
    results = _results_by_fold(chosen, settings)
    keys = AuditedKeys(options)
    context = AuditContext(
        log=log,
        settings=settings,
        options=options,
        keys=keys,
        registry=PublishedSchemas(settings),
        on_progress=on_progress,
    )
    ranges = await log.ranges()
    await _check_partitions(log, settings, len(ranges), partitions)
    for requested in ranges:
        if not partitions or requested.partition in partitions:
            await _audit_partition(context, chosen, results, requested)
    result = merge(results)
    if result.is_empty:
        folds = "this fold" if len(results) == 1 else "these folds"
        which = "" if options.includes_all_keys else "of the chosen keys "
        result.problems.append(
            f"nothing was compared: the range has no output {which}of {folds} whose record "
            "still exists and whose memory began in the range; the notes name what was left out "
            "and why"
        )
    keys.report(result, log.topic)
    return result


def _results_by_fold(models: Sequence[Model], settings: FoldSettings) -> dict[str, AuditResult]:
    results = {fold_id_of(model, settings): AuditResult() for model in models}
    if len(results) < len(models) or not 0 < len(models) <= BUNDLES_MAX:
        raise ConfigError(
            f"an audit takes 1 to {BUNDLES_MAX} bundles of different folds, and got {len(models)} "
            f"of {len(results)} folds; check --bundle"
        )
    return results


async def _audit_partition(
    context: AuditContext,
    models: Sequence[Model],
    results: Mapping[str, AuditResult],
    requested: Range,
) -> None:
    log, settings, number = context.log, context.settings, requested.partition
    owners = [
        OutputOwner(
            app=settings.app,
            fold=fold,
            topic=log.topic,
            partition=number,
            partners=frozenset(results) - {fold},
            is_first=place == 0,
        )
        for place, fold in enumerate(results)
    ]
    found = list(results.values())
    kafka_log = KafkaLog(log.cluster, settings, number)
    audited = await read_range(kafka_log, owners[0], requested, found[0])
    await audit_partition(context, models, owners, audited, found)


async def _check_partitions(
    log: TopicLog, settings: FoldSettings, count: int, partitions: Sequence[int]
) -> None:
    if unknown := [partition for partition in partitions if partition >= count]:
        raise ConfigError(
            f"topic {log.topic} has partitions 0 to {count - 1}, none with number {unknown[0]}; "
            "check --partition"
        )
    predictions, dead_letters = settings.predictions, settings.dead_letters_topic
    topics = await log.cluster.topics(log.topic, predictions, dead_letters)
    prediction_partitions = topics[predictions].partitions
    if prediction_partitions != count or topics[dead_letters].partitions < count:
        topic = predictions if prediction_partitions != count else dead_letters
        raise ConfigError(
            f"topic {topic} has {topics[topic].partitions} partitions, {log.topic} has {count}: "
            "a worker publishes to the partition that it reads from; check --predictions, "
            "--dead-letters and --source"
        )
