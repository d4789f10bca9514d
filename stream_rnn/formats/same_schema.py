"""Whether two schemas mean the same, although a registry may write one with another text."""

import json
from typing import Any

from google.protobuf import descriptor_pb2

from stream_rnn.errors import DecodeError
from stream_rnn.formats.avro_schema import load_avro, parse_avro
from stream_rnn.formats.protobuf_schema import compile_schema
from stream_rnn.formats.schemas import Schema

_AVRO = ("name", "fields", "items", "values", "symbols", "size", "logicalType", "scale", "head")
"""Attributes of Avro that change what bytes mean, beside ``type``; ``head`` names an output."""


def means_the_same(one: Schema, other: Schema) -> bool:
    """Return whether bytes of one schema are the same values by the other; this may block.

    Comments, white space, the order of attributes and defaults do not count.  The order of messages
    does: a frame names a message of Protobuf by its place.

    Args:
        one: Schema that can be used.
        other: Schema that a registry has returned.

    Raises:
        UnavailableError: The compiler of Protobuf cannot run.
    """
    if one.kind != other.kind:
        return False
    if one == other:
        return True
    try:
        if one.kind == "PROTOBUF":
            return bool(_protobuf(one) == _protobuf(other))
        if one.kind == "AVRO":
            return bool(_avro(one) == _avro(other))
        return bool(json.loads(one.text) == json.loads(other.text))
    except (DecodeError, ValueError, RecursionError):
        return False


def _avro(schema: Schema) -> Any:
    from fastavro.schema import parse_schema  # noqa: PLC0415  # of the extra `registry`

    references = [text for _, text in schema.references]
    parse_avro(schema.text, references)  # it has the bounds
    named: dict[str, Any] = {}
    for text in references:
        parse_schema(load_avro(text), named)
    return _plain_avro(parse_schema(load_avro(schema.text), named))


def _plain_avro(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain_avro(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain_avro(schema[name]) for name in _AVRO if name in schema}
    kind = _plain_avro(schema["type"])
    return {"type": kind, **plain} if plain else kind


def _protobuf(schema: Schema) -> Any:
    file, _ = compile_schema(schema.text, schema.references)
    return file.package, file.syntax, _messages(file.message_type), _enums(file.enum_type)


def _messages(messages: Any) -> list[Any]:
    return [
        (
            message.name,
            {field.number: _field(field) for field in message.field},
            _messages(message.nested_type),
            _enums(message.enum_type),
        )
        for message in messages
    ]


def _enums(enums: Any) -> dict[str, dict[str, int]]:
    return {enum.name: {value.name: value.number for value in enum.value} for enum in enums}


def _field(field: descriptor_pb2.FieldDescriptorProto) -> tuple[Any, ...]:
    packed = field.options.packed if field.options.HasField("packed") else None
    return (
        *(field.name, field.label, field.type, field.type_name, field.json_name),
        *(field.proto3_optional, packed),
    )
