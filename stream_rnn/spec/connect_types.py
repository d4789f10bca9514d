"""Types that a record's own schema of Kafka Connect names, and JSON within texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from stream_rnn.spec.columns import Column

DEPTH_MAX = 32
TEXTS_TRIED = 100
DECIMAL_REASON = (
    "its texts are decimal numbers in base64 (org.apache.kafka.connect.data.Decimal); set "
    "decimal.handling.mode=string in the connector, and parse = true in the spec"
)
DAYS_REASON = (
    "its numbers are days since 1970 ({name}), which no unit of a spec reads; write ISO 8601"
)
JSON_REASON = (
    "its texts are JSON within a text, of which no path reads a field; write the object itself, as "
    "a converter or ExpandJSON of Kafka Connect does"
)
REASONS = {
    "org.apache.kafka.connect.data.Decimal": DECIMAL_REASON,
    "io.debezium.time.Date": DAYS_REASON.format(name="io.debezium.time.Date"),
    "org.apache.kafka.connect.data.Date": DAYS_REASON.format(name="Kafka Connect's Date"),
}


def refuse_connect_types(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]
) -> list[Column]:
    """Return the columns, of which those that a spec would misread have a refusal."""
    schema = rows[0].get("schema") if rows else None
    types = dict(_types(schema, ("payload",), 0))
    return [_with_refusal(column, types.get(column.parts, "")) for column in columns]


def is_json_text(column: Column) -> bool:
    """Return whether all texts of a column are objects of JSON."""
    if column.kind != "text" or not column.present:
        return False
    return all(map(_is_object, column.values.drop_nulls().head(TEXTS_TRIED)))


def _with_refusal(column: Column, name: str) -> Column:
    reason = REASONS.get(name, "") or JSON_REASON * is_json_text(column)
    return replace(column, refusal=reason) if reason and not column.refusal else column


def _types(
    schema: Any, parts: tuple[str, ...], depth: int
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the semantic type of each field of a schema."""
    fields = schema.get("fields") if isinstance(schema, dict) else None
    if depth > DEPTH_MAX or not isinstance(fields, list):
        return
    for member in fields:
        if isinstance(member, dict) and isinstance(member.get("field"), str):
            path = (*parts, member["field"])
            if isinstance(name := member.get("name"), str):
                yield path, name
            yield from _types(member, path, depth + 1)


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
