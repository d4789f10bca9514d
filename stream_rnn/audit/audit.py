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

The audit refuses a range of more than ``OFFSETS_MAX`` offsets.
"""

from collections.abc import Sequence

from stream_rnn.audit.audited_keys import AuditedKeys
from stream_rnn.audit.framed_values import PublishedSchemas
from stream_rnn.audit.partition_audit import PartitionAudit, ProgressCallback
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.errors import ConfigError
from stream_rnn.model.network import Model
from stream_rnn.replay.logs import TopicLog
from stream_rnn.settings import FoldSettings


async def audit(
    log: TopicLog,
    model: Model,
    settings: FoldSettings,
    options: AuditOptions,
    partitions: Sequence[int] = (),
    on_progress: ProgressCallback = lambda _name, _records, _total: None,
) -> AuditResult:
    """Audit a range of the source topic.

    Args:
        log: The opened range of the source topic.
        model: The bundle that production uses.
        settings: App, source, predictions, and all settings that the fold id depends on.
        options: The keys to compare, and the number of examples.
        partitions: The partitions to audit; all partitions if empty.
        on_progress: Called with the name of the partition that is read, the number of records read
            since the last call, and the total number of records, or ``None`` if it is unknown.

    Raises:
        ConfigError: A topic or a partition does not exist, or an output topic has another number of
            partitions than the source.
    """
    result, keys = AuditResult(), AuditedKeys(options)
    registry, ranges = PublishedSchemas(settings), await log.ranges()
    await _check_partitions(log, settings, len(ranges), partitions)
    for source_range in ranges:
        if not partitions or source_range.partition in partitions:
            context = log, model, settings, options, result, keys, registry
            await PartitionAudit(*context, source_range, on_progress).audit()
    if result.is_empty:
        chosen = "" if options.includes_all_keys else "of the chosen keys "
        result.problems.append(
            f"nothing was compared: the range has no output {chosen}of this fold whose record "
            "still exists and whose memory began in the range; the notes name what was left out "
            "and why"
        )
    keys.report(result, log.topic)
    return result


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
