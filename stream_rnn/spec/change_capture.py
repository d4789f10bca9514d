"""Changes of rows as other tools than Debezium write them, and fields that mark deletions."""

from collections.abc import Mapping
from typing import Any

from stream_rnn.model.paths import join_path
from stream_rnn.spec.columns import Column
from stream_rnn.spec.names import split_words, words

Parts = tuple[str, ...]

DELETE_VALUES = words("d delete deleted remove removed destroy destroyed tombstone erase erased")
CHANGE_VALUES = DELETE_VALUES | words(
    "c i u r s create created insert inserted update updated read load loaded upsert upserted replace "
    "snapshot update_preimage update_postimage pk"
)
OPERATION_NAMES = words(
    "op optype op_type operation operation_type operationtype oper change_type _change_type "
    "changetype cdc_operation header__change_oper dml_type"
)
GOLDEN_GATE, DMS = ("op_type",), ("metadata", "operation")


def find_changes(by_parts: Mapping[Parts, Column]) -> dict[str, Any] | None:
    """Return the attributes of the envelope of changes of rows; ``None`` for other records."""
    if GOLDEN_GATE in by_parts and _has_inner(by_parts, "after"):
        found = _changes(by_parts[GOLDEN_GATE], "GoldenGate", "D", ("I", "U", "D"), "after")
        return found | {"before": ("before",), "time": _first(by_parts, "op_ts", "current_ts")}
    if DMS in by_parts and _has_inner(by_parts, "data"):
        kinds = ("load", "insert", "update", "delete")
        found = _changes(by_parts[DMS], "AWS DMS", "delete", kinds, "data")
        return found | {"time": _first(by_parts, "metadata.timestamp")}
    return None


def find_operation(by_parts: Mapping[Parts, Column]) -> dict[str, Any] | None:
    """Return the attributes of the envelope of rows with a field that names the operation."""
    for column in by_parts.values():
        plain = (
            {word.strip().casefold() for word, _ in column.counts}
            if _is_operation(column)
            else set()
        )
        if not plain & DELETE_VALUES or not plain <= CHANGE_VALUES:
            continue
        mark = next(word for word, _ in column.counts if is_deletion(word))
        count = dict(column.counts)[mark]
        reason = (
            f"{column.path} names the operation, so a record with {mark!r} ({count} here) is a "
            "deletion, which forgets its key."
        )
        return {
            "table": {"forget_when": {"path": column.path, "equals": mark}},
            "reasons": (reason,),
            "is_event": (column.words != mark).fill_null(value=True),
        }
    return None


def is_deletion(kind: str) -> bool:
    """Return whether the kind of a record is that of a deletion, such as ``user.deleted``.

    Example:
        >>> is_deletion("DELETE"), is_deletion("user.deleted"), is_deletion("diameter")
        (True, True, False)
    """
    plain = kind.strip().casefold()
    return plain in DELETE_VALUES or bool(split_words(kind) & (DELETE_VALUES - {"d"}))


def _changes(
    op: Column, tool: str, delete: str, kinds: tuple[str, ...], unwrap: str
) -> dict[str, Any]:
    counts = dict(op.counts)
    table: dict[str, Any] = {"unwrap": unwrap}
    table["forget_when"] = {"path": op.path, "equals": delete}
    change = (
        f"The records are changes of rows, as {tool} writes them: the event is the object {unwrap}, "
        f"and a deletion ({counts.get(delete, 0)} here) forgets its key."
    )
    reasons = [change]
    if others := len(op.values) - sum(counts.get(kind, 0) for kind in kinds):
        table["only"] = [{"path": op.path, "in": list(kinds)}]
        reasons.append(f"{others} records are no changes of rows; they are filtered.")
    is_event = op.words.is_in([kind for kind in kinds if kind != delete]).fill_null(value=False)
    return {
        "unwrap": (unwrap,),
        "table": table,
        "reasons": tuple(reasons),
        "is_event": is_event,
    }


def _is_operation(column: Column) -> bool:
    return (
        column.kind == "text" and not column.refusal and column.parts[-1].lower() in OPERATION_NAMES
    )


def _has_inner(by_parts: Mapping[Parts, Column], name: str) -> bool:
    return any(parts[0] == name and len(parts) > 1 for parts in by_parts)


def _first(by_parts: Mapping[Parts, Column], *paths: str) -> str:
    known = {join_path(parts) for parts in by_parts}
    return next((path for path in paths if path in known), "")
