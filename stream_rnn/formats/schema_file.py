"""Schemas as lines of JSON, in a file or in Redis.

    {"id": "7", "kind": "AVRO", "schema": "...", "references": [["name", "text"]]}
    {"id": "9", "error": "unknown_schema", "reason": "..."}

The second form is an id that stands for no schema: each record that names it becomes a dead letter.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stream_rnn.errors import ConfigError, DecodeError, reason
from stream_rnn.formats.schemas import SCHEMA_CHARACTERS_MAX, SCHEMAS_MAX, Schema, Verdict

LINE_BYTES_MAX = 8 * SCHEMA_CHARACTERS_MAX
EXPORT_MAGIC = b"stream_rnn states 1\n"
"""First line of a file of ``stream-rnn state export``."""
Text = Annotated[str, Field(max_length=SCHEMA_CHARACTERS_MAX)]


class SchemaLine(BaseModel):
    """A line: a schema, or an id without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^([0-9]{1,10}|[0-9a-f]{32})$")
    kind: str | None = Field(None, max_length=100)
    schema_text: Text | None = Field(None, alias="schema")
    references: tuple[tuple[Text, Text], ...] = ()
    error: Literal["unknown_schema", "unsupported_schema"] | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _has_one_form(self) -> "SchemaLine":
        if (self.error is None) is (self.kind is None or self.schema_text is None):
            raise ValueError("a line has either `kind` and `schema`, or `error`")
        return self

    @property
    def verdict(self) -> Verdict:
        """What the id stands for."""
        if self.error is not None:
            return DecodeError(self.error, self.reason)
        return Schema(self.kind or "", self.schema_text or "", self.references)


def encode_line(schema_id: str, verdict: Verdict) -> bytes:
    """Return a line without its end."""
    if isinstance(verdict, DecodeError):
        return orjson.dumps({"id": schema_id, "error": verdict.code, "reason": str(verdict)})
    content = {"id": schema_id, "kind": verdict.kind, "schema": verdict.text}
    return orjson.dumps(content | {"references": verdict.references})


def decode_line(line: bytes, where: str) -> tuple[str, Verdict]:
    """Return the id of a line, and what it stands for.

    Args:
        line: One line of JSON.
        where: Its place, for messages.

    Raises:
        ConfigError: The line is none of a schema.
    """
    try:
        parsed = SchemaLine.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where} is no schema: {name or 'line'}: {first['msg']}") from None
    return parsed.id, parsed.verdict


def read_schemas(path: str) -> dict[str, Verdict]:
    """Return the schemas of a file of lines, or of an export of states.

    Raises:
        ConfigError: The file cannot be read, or has a line that is no schema.
    """
    found: dict[str, Verdict] = {}
    try:
        with Path(path).open("rb") as file:
            for number, line in _lines(file.readline, path):
                schema_id, verdict = decode_line(line, f"{path}: line {number}")
                if found.setdefault(schema_id, verdict) is not verdict:
                    raise ConfigError(f"{path}: line {number}: schema id {schema_id} comes twice")
                if len(found) > SCHEMAS_MAX:
                    raise ConfigError(f"{path} has more than {SCHEMAS_MAX:,} schemas")
    except OSError as error:
        raise ConfigError(f"cannot read schemas {path}: {reason(error)}") from None
    return found


def _lines(read_line, path: str) -> Iterator[tuple[int, bytes]]:  # type: ignore[no-untyped-def]
    """Yield the lines of schemas with their numbers."""
    number, left = 1, None
    line = read_line(LINE_BYTES_MAX)
    if line == EXPORT_MAGIC:
        left = _count(read_line(LINE_BYTES_MAX), path)
        number, line = 3, b"" if left == 0 else read_line(LINE_BYTES_MAX)
    while line:
        if len(line) >= LINE_BYTES_MAX:
            raise ConfigError(f"{path}: line {number} has more than {LINE_BYTES_MAX} bytes")
        if line.strip():
            yield number, line
        if left is not None:
            left -= 1
        number, line = number + 1, b"" if left == 0 else read_line(LINE_BYTES_MAX)


def _count(line: bytes, path: str) -> int:
    """Return the number of schemas of an export."""
    try:
        return int(orjson.loads(line).get("schemas", 0))
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"{path} is no export of states: its second line is no JSON") from None
