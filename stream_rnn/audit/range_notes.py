"""What an audit did not see of a partition, and what must not be so: sentences."""

from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.published import (
    COPIES_MAX,
    COPIES_OF_ONE_MAX,
    Bounds,
    OutputOwner,
    Published,
)
from stream_rnn.audit.result import Audit
from stream_rnn.kafka.group_offsets import GroupOffset


def say_group_offset(
    found: Audit,
    name: str,
    who: OutputOwner,
    c: GroupOffset | None,
    said: GroupOffset | None,
    log_start: int,
    log_end: int,
) -> None:
    """Say what is odd about the group offset.

    Args:
        found: where it is said.
        name: of the source partition.
        who: whose outputs.
        c: what Kafka says.
        said: the same, or what the last output says where Kafka has none.
        log_start: of the source.
        log_end: of the source.
    """
    if c is None and said is not None:
        found.notes.append(
            f"{name}: group {who.app} has no offset; its last output says that all below "
            f"{said.offset} is published"
        )
    elif c is not None and c.fold_id is None:
        found.notes.append(
            f"{name}: the group offset {c.offset} was not written by a worker: somebody set it"
        )
    if said is not None and said.offset > log_end:
        found.problems.append(
            f"{name}: all below {said.offset} is published, but the log ends at {log_end}: it was "
            "truncated or recreated; `stream-rnn state show` says what a worker would do"
        )
    if said is not None and said.offset < log_start:
        found.problems.append(
            f"{name}: records {said.offset} to {log_start - 1} were removed before anything was "
            "published of them"
        )


def say_nobody(
    found: Audit, name: str, who: OutputOwner, published: Published, log_start: int, log_end: int
) -> None:
    """Say that nobody folded a partition, unless it is empty."""
    if log_start >= log_end:
        found.notes.append(f"{name}: the partition is empty")
        return
    found.problems.append(
        f"{name}: nothing of offsets {log_start} to {log_end - 1} was folded by app {who.app}: "
        f"its group has no offset and {published.name} no output of it; check --app, --source, "
        f"--predictions and --bootstrap-servers, or start a worker{_strangers(published)}"
    )


def say_range(
    found: Audit,
    name: str,
    asked: tuple[str | None, str | None],
    end: int,
    log: tuple[int, int],
    bounds: Bounds,
) -> None:
    """Say what of the range that was asked for is not there: all of it is a problem.

    Args:
        found: where it is said.
        name: of the source partition.
        asked: --from and --to.
        end: the offset that --to means; without it the log end.
        log: log start and log end.
        bounds: what is audited.
    """
    first, last = asked
    log_start, log_end = log
    if gone := _removed(first, last, end, log_start):
        said = found.problems if end <= log_start else found.notes
        said.append(f"{name}: {gone} removed: the log starts at {log_start}")
    elif log_start >= log_end:
        found.notes.append(f"{name}: the partition is empty")
    elif first is not None and bounds.start >= log_end:
        found.notes.append(f"{name}: --from {first} lies behind the log end {log_end}")
    elif bounds.end <= bounds.start and bounds.published <= bounds.start:
        found.notes.append(
            f"{name}: nothing is published from offset {bounds.start} on: the group offset is "
            f"{bounds.published}, the log ends at {log_end}"
        )
    elif bounds.end <= bounds.start:
        found.notes.append(f"{name}: the range is empty; check --from and --to")


def _removed(first: str | None, last: str | None, end: int, log_start: int) -> str:
    """Say which records of a range are removed; nothing where none is, or nobody can tell."""
    begin = int(first) if first is not None and first.isdecimal() else None
    if begin is not None and begin < log_start:
        until = min(log_start, int(last)) if last and last.isdecimal() else log_start
        return f"records of offsets {begin} to {until - 1} are" if begin < until else ""
    if begin is None and last is not None and 0 < log_start >= end:
        return f"all records before --to {last}, if there were any, are"
    return ""


def say_outputs(
    found: Audit, name: str, who: OutputOwner, published: Published, *, is_from_start: bool
) -> None:
    """Say what of the outputs was not looked at."""
    if published.below and is_from_start:
        found.notes.append(
            f"{name}: {published.below} predictions of offsets below {published.start} were not "
            "compared: retention removed their records from the source"
        )
    if published.log_start and published.start < published.end:
        kept = "none" if published.first_kept is None else f"those from {published.first_kept} on"
        found.notes.append(
            f"{published.name} lost its beginning: of app {who.app} it still holds {kept}"
        )
    if published.copies_left_out:
        found.problems.append(
            f"{published.name}: {published.copies_left_out} copies that another kind of machine "
            f"may have computed were not compared: they are more than {COPIES_MAX}, or more than "
            f"{COPIES_OF_ONE_MAX} of one event"
        )
    if published.misplaced:
        partition, offset, _ = published.misplaced[0]
        found.notes.append(
            f"{published.name}: {len(published.misplaced)} predictions of other partitions stand "
            f"here, the first of {who.topic}[{partition}] offset {offset}"
        )
    if published.strangers and published.start < published.end:
        found.notes.append(f"{published.name} holds other outputs, too{_strangers(published)}")


def say_dead_letters(found: Audit, dead: DeadLetters) -> None:
    """Say what of the dead letters was not looked at."""
    if dead.copies_left_out:
        found.problems.append(
            f"{dead.name}: {dead.copies_left_out} copies that keep another share of their record "
            f"were not compared: they are more than {COPIES_MAX}, or more than "
            f"{COPIES_OF_ONE_MAX} of one record"
        )


def _strangers(published: Published) -> str:
    named = (f"{name} {count}" for name, count in published.strangers.most_common(3))
    return f" (there are: {', '.join(named)})" if published.strangers else ""
