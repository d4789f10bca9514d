"""Envelopes of events: change data capture (Debezium), CloudEvents, OpenTelemetry; and their metadata.

An envelope decides which object of a record is the event, which records forget their key, which
records are no events at all, and which fields only describe the transport.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from stream_rnn.model.paths import join_path
from stream_rnn.spec.change_capture import find_changes, find_operation, is_deletion
from stream_rnn.spec.columns import Column
from stream_rnn.spec.names import entity_word, is_id_name, split_words, words

Parts = tuple[str, ...]

DELETE, CHANGES = "d", ("c", "u", "r", "d")  # operations of Debezium: create, update, read, delete
DEBEZIUM_TIMES = ("ts_ms", "ts_us", "ts_ns")
FLAT_TIMES = ("__source_ts_ms", "__source_ts_us", "__source_ts_ns", "__ts_ms", "__ts_us", "__ts_ns")
CLOUD_EVENT = frozenset({"specversion", "id", "source", "type"})
MAXWELL = frozenset({"database", "table", "type", "data"})
OTEL_TIMES = ("timeUnixNano", "startTimeUnixNano", "observedTimeUnixNano")
OTEL_BATCHES = ("resourceSpans", "resourceLogs", "resourceMetrics")
METADATA = words(
    "specversion datacontenttype dataschema traceparent tracestate traceid trace_id spanid span_id "
    "parentspanid parent_span_id correlation_id correlationid message_id messageid event_id eventid "
    "_rescued_data kafka_offset kafka_partition kafka_topic kafka_timestamp schema_id schemaid "
    "schema_version schemaversion __op __deleted __lsn __table __db __schema __connector __name "
    "__snapshot __txid __source_lsn __source_table __source_db __source_snapshot"
)
TRANSPORT = words("offset partition topic headers timestamptype timestamp_type")
KIND_WORDS = words("type kind event")
KINDS_MAX = 20


@dataclass(frozen=True, eq=False)
class Envelope:
    """What surrounds the events of a log.

    Attributes:
        unwrap: Path of the object that is the event; empty if the record is the event.
        before: Path of the event before a change; empty for none.
        table: Options of ``[event]`` that the envelope sets.
        time: Path of the event time that the envelope defines; empty for none.
        reasons: Reasons, a sentence each.
        is_event: For each row whether it is an event; ``None`` if all are.
    """

    unwrap: Parts = ()
    before: Parts = ()
    table: Mapping[str, Any] = field(default_factory=dict)
    time: str = ""
    reasons: tuple[str, ...] = ()
    is_event: pl.Series | None = None

    def contains(self, column: Column) -> bool:
        """Return whether a column is a field of the event, rather than of the envelope."""
        return column.parts[: len(self.unwrap)] == self.unwrap != column.parts

    def event_path(self, column: Column) -> str:
        """Return the path of a column from the event on."""
        return join_path(column.parts[len(self.unwrap) :])

    def key_element(self, column: Column) -> str | list[str]:
        """Return a field of the key, with the field before the change as its alternative."""
        if not self.before or not self.contains(column):
            return column.path
        parts = (*self.before, *column.parts[len(self.unwrap) :])
        return [column.path, join_path(parts)]  # also if the sample has no deletion


def find_envelope(columns: Sequence[Column]) -> Envelope:
    """Return the envelope of the records; an empty one if they have none."""
    by_parts = {column.parts: column for column in columns}
    for prefix in ((), ("payload",)):
        if _is_debezium(by_parts, prefix):
            return _debezium(by_parts, prefix)
    if changes := find_changes(by_parts):
        return Envelope(**changes)
    if ("__deleted",) in by_parts or ("__op",) in by_parts:
        return _flat_debezium(by_parts)
    if {parts[0] for parts in by_parts} >= MAXWELL and _has_inner(by_parts, ("data",)):
        return _maxwell(by_parts)
    return _find_wrapping(by_parts)


def _find_wrapping(by_parts: Mapping[Parts, Column]) -> Envelope:
    """Return the envelope of records that are no changes of a tool for them."""
    tops = {parts[0] for parts in by_parts}
    if tops >= CLOUD_EVENT and _has_inner(by_parts, ("data",)):
        reason = "The records are CloudEvents: the event is the object data."
        time = "time" if ("time",) in by_parts else ""
        return Envelope(("data",), table={"unwrap": "data"}, time=time, reasons=(reason,))
    if tops == {"schema", "payload"} and _has_inner(by_parts, ("payload",)):
        reason = "The records have a schema of Kafka Connect: the event is the object payload."
        return Envelope(("payload",), table={"unwrap": "payload"}, reasons=(reason,))
    if changes := find_operation(by_parts):
        return Envelope(**changes)
    time = next((name for name in OTEL_TIMES if (name,) in by_parts), "")
    batches = [name for name in OTEL_BATCHES if (name,) in by_parts]
    reasons = tuple(
        f"{name} is an array: a record contains many events, of which none can be read. Write one "
        "record for each of them."
        for name in batches
    )
    return Envelope(time=time, reasons=reasons)


def keep_kinds(columns: Sequence[Column], envelope: Envelope, key: Sequence[Column]) -> Envelope:
    """Return the envelope with a filter of records, or with a remark on the kinds of records.

    A filter is proposed if some kinds of records lack the key, so that they would be no events.
    """
    named = [column for column in columns if _is_kind(column) and column not in key]
    for kinds in named:
        kept = _kinds_with(key, kinds)
        if not 0 < len(kept) < kinds.distinct:
            continue
        deletions = [word for word, _ in kinds.counts if word not in kept and is_deletion(word)]
        table = _with_deletions(envelope.table, kinds, kept, deletions)
        is_event = kinds.words.is_in(kept).fill_null(value=False)
        fields = " and ".join(column.path for column in key)
        reason = (
            f"{kinds.path} has {kinds.distinct} kinds of records: {_list_kinds(kinds)}. Only those "
            f"that have {fields} are events; the other {int((~is_event).sum())} rows are filtered"
            f"{_deletion_note(table, kinds, deletions)}."
        )
        return replace(
            envelope,
            table=table,
            reasons=(*envelope.reasons, reason),
            is_event=is_event,
        )
    if not named:
        return envelope
    kinds = named[0]
    differ = any(_differs(column, kinds) for column in columns if column is not kinds)
    fields = "different fields" if differ else "the same fields"
    example = f'only = [{{path = "{kinds.path}", in = ["{kinds.counts[0][0]}"]}}]'
    reason = (
        f"{kinds.path} has {kinds.distinct} kinds of records with {fields}: {_list_kinds(kinds)}. "
        f"All of them are events; to fold some kinds only, write {example}."
    )
    deletion = next((word for word, _ in kinds.counts if is_deletion(word)), "")
    if deletion and "forget_when" not in envelope.table:
        reason += (
            f" If {deletion} ends its key, so that its memory is deleted, write "
            f'forget_when = {{path = "{kinds.path}", equals = "{deletion}"}}.'
        )
    return replace(envelope, reasons=(*envelope.reasons, reason))


def _with_deletions(
    table: Mapping[str, Any], kinds: Column, kept: Sequence[str], deletions: Sequence[str]
) -> dict[str, Any]:
    """Return the options with a filter of kinds, which lets the first deletion forget its key."""
    forgets = table.get("forget_when")
    if deletions and forgets is None:
        forgets = {"path": kinds.path, "equals": deletions[0]}
    passed = [word for word in deletions if forgets == {"path": kinds.path, "equals": word}]
    only = [*table.get("only", []), {"path": kinds.path, "in": [*kept, *passed]}]
    return {**table, **({"forget_when": forgets} if forgets else {}), "only": only}


def _deletion_note(table: Mapping[str, Any], kinds: Column, deletions: Sequence[str]) -> str:
    if not deletions:
        return ""
    mark = table["forget_when"]["equals"]
    rows = dict(kinds.counts).get(mark, 0)
    return (
        f", but for {mark} ({rows} rows), which forgets its key; in a file, name the key of such "
        "rows as an alternative, too"
    )


def kinds_with_entity(columns: Sequence[Column]) -> pl.Series | None:
    """Return for each row whether its kind has the field that names its entity.

    Returns:
        ``None`` if no field is that of some kinds only, or if several name different kinds.
    """
    for kinds in columns:
        if not _is_kind(kinds):
            continue
        kept = [
            set(_kinds_with([column], kinds))
            for column in columns
            if column is not kinds
            and not column.refusal
            and (entity_word(column.parts) or is_id_name(column.parts))
            and _differs(column, kinds)
        ]
        most = max(kept, key=len, default=set())
        if most and all(other <= most for other in kept):
            return kinds.words.is_in(sorted(most)).fill_null(value=False)
    return None


def metadata_reason(column: Column, columns: Sequence[Column], envelope: Envelope) -> str:
    """Return why a column describes the transport of an event; empty if it does not."""
    name = column.parts[-1].lower()
    if envelope.unwrap and not envelope.contains(column):
        return "it belongs to the envelope, and paths of features begin at the event"
    tops = {other.parts[0].lower() for other in columns}
    is_transport = name in TRANSPORT and len(tops & TRANSPORT) > 1
    if name in METADATA or is_transport or column.parts[0].lower() in METADATA:
        return "it describes the transport of the event"
    if column.parts[0].lower() in ("headers", "schema") and len(column.parts) > 1:
        return "it describes the transport of the event"
    return ""


def filter_rows(columns: Iterable[Column], is_event: pl.Series | None) -> list[Column]:
    """Return columns with the rows that are events."""
    if is_event is None or bool(is_event.all()):
        return list(columns)
    return [
        replace(
            column,
            values=column.values.filter(is_event),
            texts=None if column.texts is None else column.texts.filter(is_event),
            raw=None if column.raw is None else column.raw.filter(is_event),
        )
        for column in columns
    ]


def _has_inner(by_parts: Mapping[Parts, Column], prefix: Parts) -> bool:
    return any(parts[: len(prefix)] == prefix != parts for parts in by_parts)


def _is_debezium(by_parts: Mapping[Parts, Column], prefix: Parts) -> bool:
    has_op = (*prefix, "op") in by_parts
    sides = [(*prefix, "before"), (*prefix, "source")]
    known = any(side in by_parts or _has_inner(by_parts, side) for side in sides)
    return has_op and known and _has_inner(by_parts, (*prefix, "after"))


def _debezium(by_parts: Mapping[Parts, Column], prefix: Parts) -> Envelope:
    after, op = (*prefix, "after"), by_parts[(*prefix, "op")]
    table: dict[str, Any] = {"unwrap": join_path(after)}
    table["forget_when"] = {"path": op.path, "equals": DELETE}
    counts = dict(op.counts)
    change = (
        "The records are changes of rows, as Debezium writes them: the event is the row after the "
        f"change, and a deletion ({counts.get(DELETE, 0)} here) forgets its key."
    )
    reasons = [change]
    others = [name for name in counts if name not in CHANGES]
    if others or op.present < len(op.values):
        table["only"] = [{"path": op.path, "in": list(CHANGES)}]
        reasons.append(
            f"{len(op.values) - sum(counts.get(name, 0) for name in CHANGES)} records are no "
            "changes of rows; they are filtered."
        )
    if counts.get("r"):
        reasons.append(f"{counts['r']} records are of a snapshot; their time is that of reading.")
    times = [(*prefix, "source", name) for name in DEBEZIUM_TIMES]
    times += [(*prefix, name) for name in DEBEZIUM_TIMES]
    time = next((p for p in times if p in by_parts and by_parts[p].distinct > 1), ())
    is_event = op.words.is_in([name for name in CHANGES if name != DELETE]).fill_null(value=False)
    return Envelope(
        unwrap=after,
        before=(*prefix, "before"),
        table=table,
        time=join_path(time) if time else "",
        reasons=tuple(reasons),
        is_event=is_event,
    )


def _flat_debezium(by_parts: Mapping[Parts, Column]) -> Envelope:
    """Return the envelope of changes whose rows Debezium's transformation has unwrapped."""
    deleted, op = by_parts.get(("__deleted",)), by_parts.get(("__op",))
    flag = deleted or op
    assert flag is not None
    marks: Any = True if flag.kind == "boolean" and flag.texts is None else DELETE
    is_deleted = flag.values if flag.kind == "boolean" else flag.words == DELETE
    if flag.kind == "boolean" and flag.texts is not None:
        texts = flag.texts.filter(flag.values.fill_null(value=False)).drop_nulls()
        marks = texts[0] if len(texts) else "true"
    if deleted is not None and flag.kind != "boolean":
        marks, is_deleted = "true", flag.words == "true"
    is_deleted = is_deleted.fill_null(value=False)
    reason = (
        "The records are rows that Debezium has unwrapped; a deletion "
        f"({int(is_deleted.sum())} here) forgets its key."
    )
    time = next((name for name in FLAT_TIMES if (name,) in by_parts), "")
    return Envelope(
        table={"forget_when": {"path": flag.path, "equals": marks}},
        time=time,
        reasons=(reason,),
        is_event=~is_deleted,
    )


def _maxwell(by_parts: Mapping[Parts, Column]) -> Envelope:
    """Return the envelope of changes of rows as Maxwell writes them."""
    kind = by_parts[("type",)]
    table = {"unwrap": "data", "forget_when": {"path": "type", "equals": "delete"}}
    reason = (
        "The records are changes of rows, as Maxwell writes them: the event is the object data, and "
        f"a deletion ({dict(kind.counts).get('delete', 0)} here) forgets its key."
    )
    is_event = (kind.words != "delete").fill_null(value=False)
    time = "ts" if ("ts",) in by_parts else ""
    return Envelope(("data",), table=table, time=time, reasons=(reason,), is_event=is_event)


def _is_kind(column: Column) -> bool:
    """Return whether a column names the kind of a record."""
    names = split_words(column.parts[-1])
    return (
        column.kind == "text"
        and not column.refusal
        and bool(names & KIND_WORDS)
        and 1 < column.distinct <= KINDS_MAX
        and column.present == len(column.values)
    )


def _list_kinds(kinds: Column) -> str:
    return ", ".join(f"{kind} ({rows} rows)" for kind, rows in kinds.counts)


def _kinds_with(fields: Sequence[Column], kinds: Column) -> list[str]:
    """Return the kinds of records of which at least one has all fields."""
    has = pl.DataFrame([c.key_words.is_not_null().alias(str(i)) for i, c in enumerate(fields)])
    found = kinds.words.filter(has.select(pl.all_horizontal(pl.all())).to_series())
    return sorted(found.drop_nulls().unique())


def _differs(column: Column, kinds: Column) -> bool:
    return 0 < len(_kinds_with([column], kinds)) < kinds.distinct
