"""Notes and problems of an audit: what was not compared, and states that must not occur."""

from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.output_owner import Bounds, OutputOwner
from stream_rnn.audit.published_predictions import (
    COPIES_MAX,
    COPIES_OF_ONE_MAX,
    PublishedPredictions,
)
from stream_rnn.audit.result import AuditResult
from stream_rnn.kafka.group_offsets import GroupOffset


def note_group_offset(
    result: AuditResult,
    name: str,
    app: str,
    committed: GroupOffset | None,
    effective: GroupOffset | None,
    log_start: int,
    log_end: int,
) -> None:
    """Report a group offset that is missing, or that no worker can have committed.

    Args:
        result: The result to add to.
        name: Name of the source partition.
        app: App, which is the name of the group.
        committed: The group offset in Kafka, if any.
        effective: The same, or the one that the last output implies if Kafka has none.
        log_start: Log start of the source.
        log_end: Log end of the source.
    """
    if committed is None and effective is not None:
        result.notes.append(
            f"{name}: group {app} has no offset; its last output shows that all "
            f"offsets below {effective.offset} are published"
        )
    elif committed is not None and committed.fold_id is None:
        result.notes.append(
            f"{name}: the group offset {committed.offset} was not written by a worker: somebody "
            "set it"
        )
    if effective is not None and effective.offset > log_end:
        result.problems.append(
            f"{name}: all offsets below {effective.offset} are published, but the log ends at "
            f"{log_end}: it was truncated or recreated; `stream-rnn state show` shows what a "
            "worker would do"
        )
    if effective is not None and effective.offset < log_start:
        result.problems.append(
            f"{name}: records {effective.offset} to {log_start - 1} were removed before their "
            "outputs were published"
        )


def note_unfolded_partition(
    result: AuditResult,
    name: str,
    owner: OutputOwner,
    published: PublishedPredictions,
    log_start: int,
    log_end: int,
) -> None:
    """Report that the app has not folded a partition, unless the partition is empty."""
    if log_start >= log_end:
        result.notes.append(f"{name}: the partition is empty")
        return
    result.problems.append(
        f"{name}: app {owner.app} has folded none of offsets {log_start} to {log_end - 1}: its "
        f"group has no offset, and {published.name} contains none of its outputs; check --app, "
        "--source, --predictions and --bootstrap-servers, or start a worker"
        f"{_format_foreign_outputs(published)}"
    )


def note_missing_range(
    result: AuditResult,
    name: str,
    requested: tuple[str | None, str | None],
    end: int,
    log_ends: tuple[int, int],
    bounds: Bounds,
) -> None:
    """Report which part of the requested range does not exist.

    A range that was removed as a whole is a problem, anything else is a note.

    Args:
        result: The result to add to.
        name: Name of the source partition.
        requested: Values of --from and --to.
        end: Offset that --to means; the log end without --to.
        log_ends: Log start and log end.
        bounds: Offsets that are audited.
    """
    range_from, range_to = requested
    log_start, log_end = log_ends
    if removed := _describe_removed(range_from, range_to, end, log_start):
        sentences = result.problems if end <= log_start else result.notes
        sentences.append(f"{name}: {removed} removed: the log starts at {log_start}")
    elif log_start >= log_end:
        result.notes.append(f"{name}: the partition is empty")
    elif range_from is not None and bounds.start >= log_end:
        result.notes.append(f"{name}: --from {range_from} is not below the log end {log_end}")
    elif bounds.end <= bounds.start and bounds.group_offset <= bounds.start:
        result.notes.append(
            f"{name}: nothing is published from offset {bounds.start} on: the group offset is "
            f"{bounds.group_offset}, and the log ends at {log_end}"
        )
    elif bounds.end <= bounds.start:
        result.notes.append(f"{name}: the range is empty; check --from and --to")


def _describe_removed(
    range_from: str | None, range_to: str | None, end: int, log_start: int
) -> str:
    """Return which records of the range are removed; an empty text if none is, or if unknown."""
    begin = int(range_from) if range_from is not None and range_from.isdecimal() else None
    if begin is not None and begin < log_start:
        until = min(log_start, int(range_to)) if range_to and range_to.isdecimal() else log_start
        return f"records of offsets {begin} to {until - 1} are" if begin < until else ""
    if begin is None and range_to is not None and 0 < log_start >= end:
        return f"all records before --to {range_to}, if there were any, are"
    return ""


def note_uncompared_predictions(
    result: AuditResult,
    name: str,
    owner: OutputOwner,
    published: PublishedPredictions,
    *,
    is_from_start: bool,
) -> None:
    """Report the predictions that were not compared."""
    if published.below and is_from_start:
        result.notes.append(
            f"{name}: {published.below} predictions of offsets below {published.start} were not "
            "compared: retention removed their records from the source"
        )
    if published.log_start and published.start < published.end:
        first = published.first_available
        available = "no prediction" if first is None else f"predictions from offset {first} on"
        result.notes.append(
            f"{published.name} lost its beginning: of app {owner.app} it still contains {available}"
        )
    if published.copies_skipped:
        result.problems.append(
            f"{published.name}: {published.copies_skipped} copies that were computed with other "
            f"numerics were not compared: there are more than {COPIES_MAX}, or more than "
            f"{COPIES_OF_ONE_MAX} of one event"
        )
    if published.misplaced:
        partition, offset, _ = published.misplaced[0]
        result.notes.append(
            f"{published.name}: {len(published.misplaced)} predictions belong to other "
            f"partitions, the first to {owner.topic}[{partition}] offset {offset}"
        )
    if published.foreign_outputs and published.start < published.end:
        foreign = _format_foreign_outputs(published)
        result.notes.append(f"{published.name} also contains other outputs{foreign}")


def note_uncompared_dead_letters(result: AuditResult, dead: DeadLetters) -> None:
    """Report the dead letters that were not compared."""
    if dead.copies_skipped:
        result.problems.append(
            f"{dead.name}: {dead.copies_skipped} copies that contain another share of their record "
            f"were not compared: there are more than {COPIES_MAX}, or more than "
            f"{COPIES_OF_ONE_MAX} of one record"
        )


def _format_foreign_outputs(published: PublishedPredictions) -> str:
    counts = (f"{name} {count}" for name, count in published.foreign_outputs.most_common(3))
    return f" (there are: {', '.join(counts)})" if published.foreign_outputs else ""
