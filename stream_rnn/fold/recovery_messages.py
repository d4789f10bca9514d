"""Messages of the decisions to stop: what is wrong, where, and what a person can do."""

from stream_rnn.fold.facts import Facts
from stream_rnn.kafka.group_offsets import GroupOffset

DELETE_OFFSET = "kafka-consumer-groups --delete-offsets"


def partitions_changed(place: str, now: int, before: int) -> str:
    """Describe a source with another number of partitions than the fold began with."""
    return (
        f"{place}: the source has {now} partitions, and the fold began with {before}: keys have "
        "moved between partitions, so their states are wrong; create a new source topic with the "
        "old records in order and use a new app id"
    )


def partitions_differ(place: str, source: int, predictions: int) -> str:
    """Describe a predictions topic with another number of partitions than the source."""
    return (
        f"{place}: the source has {source} partitions, and the predictions topic has "
        f"{predictions}; create a predictions topic with {source} partitions"
    )


def compacted(place: str) -> str:
    """Describe a compacted source."""
    return (
        f"{place}: the source is compacted, so building the states again would fold fewer records "
        "than before; set cleanup.policy=delete on the source, or accept this with "
        "--allow-compacted"
    )


def log_changed(
    place: str, position: int | None, group_offset: str, log_end: int, *, is_beyond: bool
) -> str:
    """Describe a log that was truncated or recreated.

    Args:
        place: Name of the partition.
        position: Position in Redis.
        group_offset: Group offset, and whether it was compared.
        log_end: Log end of the source.
        is_beyond: Whether position or group offset is beyond the log end.
    """
    return (
        f"{place}: the log was truncated or recreated: position {position}, group offset "
        f"{group_offset}, log end {log_end}"
        f"{'' if is_beyond else '; a record that was folded is gone or has changed'}; "
        "restore the topic, or start over: stop the workers, run `stream-rnn state drop`, "
        f"delete the group's offsets ({DELETE_OFFSET}), and use a new predictions topic"
    )


def offset_behind(place: str, position: int, group_offset: int) -> str:
    """Describe a group offset of a fold that is behind the position."""
    return (
        f"{place}: the group offset {group_offset} is behind the position {position}: it was set "
        "back, or Kafka has lost acknowledged records. Stop the workers and look at the outputs. "
        f"If records {group_offset} to {position - 1} have predictions, delete the group offset "
        f"({DELETE_OFFSET}). If they have none, run `stream-rnn state drop`; the next worker "
        "builds the states again and publishes from the group offset"
    )


def other_fold(facts: Facts, group_offset: GroupOffset) -> str:
    """Describe a group offset by which a roll-out has another fold in charge."""
    requested, number, fold_id = facts.abandoned_for, group_offset.number, group_offset.fold_id
    asks = f" (the request to abandon it is for the fold {requested})" if requested else ""
    why = f"cut-over {number} has put the fold {fold_id} in charge"
    if not number:
        why = f"an open roll-out goes on with the fold {fold_id}, whose bundle this worker cannot load from Redis"
    refused = f", which this worker cannot run: {facts.refusal}" if facts.refusal else ""
    remedy = "do what that reason says, or start" if facts.refusal else "start"
    return (
        f"{facts.place}: {why} (group offset {group_offset.offset}){refused}; the bundle and settings "
        f"of this worker make the fold {facts.fold_id}, which would silently replace it{asks}; {remedy} "
        f"this worker with the bundle and settings of the fold {requested or fold_id}, or, if that "
        "bundle is lost, let this worker's take over: stream-rnn rollout abandon"
    )


def foreign_offset(place: str, position: int, group_offset: int, examined: int) -> str:
    """Describe a group offset that no fold has written, for a fold with a position.

    Args:
        place: Name of the partition.
        position: Position in Redis.
        group_offset: Group offset.
        examined: Number of committed records that the search for the last output examines.
    """
    return (
        f"{place}: the group offset {group_offset} was not written by stream_rnn "
        f"(position {position}): publishing from there would repeat or leave out predictions. To "
        "continue the fold, stop the workers and all other members of the group, and delete the "
        f"group offset ({DELETE_OFFSET}); the next worker continues from the position and the last "
        f"output {_within(examined)}. {_raise_first(examined)}. To publish everything again, use a "
        "new app id"
    )


def foreign_offset_without_states(
    place: str, group_offset: int, last_output: int | None, examined: int, new_start: str
) -> str:
    """Describe a group offset that no fold has written, if Redis has no states.

    Args:
        place: Name of the partition.
        group_offset: Group offset.
        last_output: Source offset of the last output of the app; ``None`` if none was found.
        examined: Number of committed records that the search for the last output examines.
        new_start: Offset at which a new fold would begin, with the setting that determines it.
    """
    if last_output is None:
        found = f"no output of this app is {_within(examined)}"
        begins = f"begins at offset {new_start}"
    else:
        found = f"the last output of this app {_within(examined)} is that of record {last_output}"
        begins = "publishes what follows the last output"
    return (
        f"{place}: the group offset {group_offset} was not written by stream_rnn, and Redis has no "
        f"states of this fold; {found}. Publishing from the group offset could leave out "
        "predictions. Stop the workers and all other members of the group. Then delete the group "
        f"offset ({DELETE_OFFSET}): the next worker {begins}. {_raise_first(examined)}. Or, to "
        f"publish from offset {group_offset} on purpose, use --on-foreign-offset accept"
    )


def _within(examined: int) -> str:
    return f"among the last {examined} committed records of each output topic"


def _raise_first(examined: int) -> str:
    return (
        "If other apps write to these topics, raise --lookback-records-max first (now "
        f"{examined}): a worker that does not find the last output publishes predictions again"
    )


def lost_history(place: str, loss: str, offsets: str, *, is_unpublished: bool) -> str:
    """Describe history that retention has removed.

    Args:
        place: Name of the partition.
        loss: Records that were removed.
        offsets: Offsets that show it.
        is_unpublished: Whether the records have no predictions yet.
    """
    remedy = (
        "their predictions cannot be published any more:"
        if is_unpublished
        else "restore a Redis backup younger than the log's retention, or"
    )
    return (
        f"{place}: {loss} ({offsets}); {remedy} give the history up with --on-lost-history accept, "
        "which drops the states and begins the fold at the log start"
    )


def left_out(first: int, group_offset: int) -> str:
    """Describe the predictions that a foreign group offset leaves out, if it is accepted."""
    return (
        f"no predictions of records {first} to {group_offset - 1} are published from here on, because "
        f"on_foreign_offset=accept has accepted the group offset {group_offset}, which was not "
        "written by stream_rnn"
    )
