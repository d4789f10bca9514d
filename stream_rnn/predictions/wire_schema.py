"""The schemas of predictions in Avro, Protobuf and JSON Schema, made from the heads of a bundle.

The text of a schema depends on the names and kinds of the heads alone, so bundles with the same
heads have the same text, whatever the order of the heads.  A reader of Avro or Protobuf takes a
head for absent that its writer does not have.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol
from zlib import crc32

from stream_rnn.errors import BundleError, ConfigError, reason
from stream_rnn.text import quantile_name

WireFormat = Literal["json", "avro", "protobuf", "json_schema"]
FRAMED_FORMATS = ("avro", "protobuf", "json_schema")
REGISTRY_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF", "json_schema": "JSON"}
"""Names of the formats at a schema registry."""
NAMESPACE = "stream_rnn"
BUNDLE_BYTES_MAX = 16_000_000
FIRST_NUMBER, NUMBERS = 16, 2032
"""Field numbers of heads in Protobuf: 16 to 2047, whose tags have two bytes."""
_KINDS = {
    "binary": "Binary",
    "multiclass": "Class",
    "quantile": "Quantiles",
    "regression": "Number",
    "time_to_next": "Number",
}


class Wire(NamedTuple):
    """The format of the published values.

    Attributes:
        format: Format of a value.
        schema_id: Id of the schema at the registry, which the frame of each value names.
    """

    format: WireFormat
    schema_id: int = 0


class NamedHead(Protocol):
    """A head, as far as its output needs it."""

    @property
    def name(self) -> str:
        """Name of the head."""

    @property
    def kind(self) -> str:
        """Kind of the head."""

    @property
    def surprise(self) -> bool:
        """Whether the head has a surprise."""


class Member(NamedTuple):
    """One quantile of an output.

    Attributes:
        name: Name of the quantile.
        number: Number of its field in Protobuf: the quantile in thousandths, which never moves.
    """

    name: str
    number: int


class OutputField(NamedTuple):
    """The output of one head in a schema.

    Attributes:
        head: Name of the head.
        field: Name of the field; Avro and Protobuf allow no ``-``, which becomes ``_``.
        kind: Type of the output: ``Binary``, ``Number`` or ``Class``; for quantiles, a type of the
            head itself.
        number: Number of the field in Protobuf.
        members: Quantiles of the output.
        has_surprise: Whether the head has a surprise.
    """

    head: str
    field: str
    kind: str
    number: int
    members: tuple[Member, ...] = ()
    has_surprise: bool = False


class BundleHeads(NamedTuple):
    """The heads of a bundle, read without its tensors.

    Attributes:
        fields: Outputs of the heads.
        fingerprint: First 16 hex digits of the fingerprint.
        names: Names of the heads in the order of the bundle.
    """

    fields: tuple[OutputField, ...]
    fingerprint: str
    names: tuple[str, ...] = ()


def output_fields(heads: Iterable[NamedHead]) -> tuple[OutputField, ...]:
    """Return the outputs of heads, sorted by name.

    Raises:
        ConfigError: Two heads have the same name but for ``-``, ``_`` and case.
    """
    return _fields_of(
        {
            head.name: _Kind(head.kind, tuple(getattr(head, "quantiles", ())), head.surprise)
            for head in heads
        }
    )


class _Kind(NamedTuple):
    """What a schema needs of a head."""

    kind: str
    quantiles: Sequence[float]
    has_surprise: bool


def _fields_of(kinds: Mapping[str, _Kind]) -> tuple[OutputField, ...]:
    fields: list[OutputField] = []
    taken: dict[str, str] = {}
    numbers: set[int] = set()
    for head in sorted(kinds):
        field = head.replace("-", "_")
        plain = field.replace("_", "").lower()
        if plain in taken:
            raise ConfigError(
                f"heads {taken[plain]} and {head} have the same name in a schema, which allows no "
                "- and, in Protobuf, does not distinguish _ and case: rename one of them in the "
                "feature spec, or publish JSON"
            )
        taken[plain] = head
        number = FIRST_NUMBER + crc32(head.encode()) % NUMBERS
        while number in numbers:
            number = FIRST_NUMBER + (number + 1 - FIRST_NUMBER) % NUMBERS
        numbers.add(number)
        kind, quantiles, has_surprise = kinds[head]
        name = _KINDS[kind] + (f"_{field}" if quantiles else "")
        members = tuple(Member(quantile_name(one), round(1000 * one)) for one in quantiles)
        fields.append(OutputField(head, field, name, number, members, has_surprise))
    return tuple(fields)


def read_bundle_heads(directory: str | Path) -> BundleHeads:
    """Read the heads of a bundle; this needs neither torch nor numpy.

    Raises:
        BundleError: There is no bundle, or it is not valid.
    """
    path = Path(directory) / "bundle.json"
    try:
        if path.stat().st_size > BUNDLE_BYTES_MAX:
            raise BundleError(f"{path} has more than {BUNDLE_BYTES_MAX} bytes: it is no bundle")
        content = json.loads(path.read_bytes())
        kinds = {
            str(head["name"]): _Kind(
                str(head["kind"]),
                tuple(map(float, head.get("quantiles", ()))),
                bool(head.get("surprise", False)),
            )
            for head in content["spec"]["heads"]
        }
        return BundleHeads(_fields_of(kinds), str(content["fingerprint"])[:16], tuple(kinds))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"no bundle at {directory}: {reason(error)}; check --bundle") from error


def schema_text(wire_format: str, fields: Sequence[OutputField]) -> str:
    """Return the text of the schema of a format."""
    texts = {"avro": _avro, "protobuf": _protobuf, "json_schema": _json_schema}
    return texts[wire_format](fields)


def _dump(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, separators=(",", ":"))


def _avro(fields: Sequence[OutputField]) -> str:
    made: set[str] = set()

    def record(name: str, *members: tuple[str, Any]) -> dict[str, Any]:
        return {"type": "record", "name": name, "fields": [_member(*one) for one in members]}

    def output(kind: str, members: Sequence[Member]) -> Any:
        """Return the type of an output; a name from its second use on."""
        if members:
            return record(kind, *((member.name, ["null", "float"]) for member in members))
        if kind in made:
            return kind
        made.add(kind)
        if kind == "Class":
            candidate = record("Candidate", ("class", "string"), ("probability", "float"))
            top = {"type": "array", "items": candidate}
            return record(kind, ("class", "string"), ("probability", "float"), ("top", top))
        return record(kind, ("probability" if kind == "Binary" else "value", "float"))

    def of_head(field: OutputField, kind: Any) -> dict[str, Any]:
        member = _member(field.field, ["null", kind])
        return member if field.field == field.head else {**member, "head": field.head}

    outputs = [of_head(field, output(field.kind, field.members)) for field in fields]
    surprises = [of_head(field, "float") for field in fields if field.has_surprise]
    surprise = {"type": "record", "name": "Surprise", "fields": surprises}
    source = record("Source", ("topic", "string"), ("partition", "int"), ("offset", "long"))
    optional = ["null", "string"]
    prediction = record(
        "Prediction",
        ("format", "int"),
        ("key", optional),
        ("key_base64", optional),
        ("outputs", {"type": "record", "name": "Outputs", "fields": outputs}),
        *((name, "string") for name in ("model", "fingerprint", "numerics")),
        ("source", source),
        ("event_time_ms", "long"),
        ("steps", "long"),
        ("cold", "boolean"),
        *([("surprise", ["null", surprise])] if surprises else []),
    )
    return _dump({"type": "record", "name": "Prediction", "namespace": NAMESPACE, **prediction})


def _member(name: str, kind: Any) -> dict[str, Any]:
    member = {"name": name, "type": kind}
    return {**member, "default": None} if isinstance(kind, list) else member


_PROTOBUF = """\
syntax = "proto3";
package stream_rnn;

message Prediction {
  int32 format = 1;
  optional string key = 2;
  optional string key_base64 = 3 [json_name = "key_base64"];
  Outputs outputs = 4;
  string model = 5;
  string fingerprint = 6;
  string numerics = 7;
  Source source = 8;
  int64 event_time_ms = 9 [json_name = "event_time_ms"];
  int64 steps = 10;
  bool cold = 11;
%s}

message Outputs {
%s}

message Source {
  string topic = 1;
  int32 partition = 2;
  int64 offset = 3;
}

message Binary {
  float probability = 1;
}

message Number {
  float value = 1;
}

message Class {
  string label = 1 [json_name = "class"];
  float probability = 2;
  repeated Candidate top = 3;
}

message Candidate {
  string label = 1 [json_name = "class"];
  float probability = 2;
}
"""  # all kinds of outputs, because a message that goes is not compatible


def _protobuf(fields: Sequence[OutputField]) -> str:
    lines = [f'  {f.kind} {f.field} = {f.number} [json_name = "{f.head}"];\n' for f in fields]
    messages = [_quantiles_message(field) for field in fields if field.members]
    rated = [
        f'  optional float {f.field} = {f.number} [json_name = "{f.head}"];\n'
        for f in fields
        if f.has_surprise
    ]
    if rated:
        messages.append(f"\nmessage Surprise {{\n{''.join(rated)}}}\n")
    surprise = "  Surprise surprise = 12;\n" if rated else ""
    return _PROTOBUF % (surprise, "".join(lines)) + "".join(messages)


def _quantiles_message(field: OutputField) -> str:
    members = "".join(
        f'  float {one.name} = {one.number} [json_name = "{one.name}"];\n' for one in field.members
    )
    return f"\nmessage {field.kind} {{\n{members}}}\n"


_TEXT, _INTEGER, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_PAIR = {"type": "array", "items": [_TEXT, _NUMBER], "additionalItems": False}
_OPTIONAL = ("key", "key_base64")


def _json_schema(fields: Sequence[OutputField]) -> str:
    top = {"type": "array", "items": _PAIR}
    outputs = {
        "Binary": _object({"probability": _NUMBER}),
        "Number": _object({"value": _NUMBER}),
        "Class": _object({"class": _TEXT, "probability": _NUMBER, "top": top}),
    }
    heads = {
        field.head: _object({member.name: _NUMBER for member in field.members})
        if field.members
        else outputs[field.kind]
        for field in fields
    }
    prediction = {
        "format": _INTEGER,
        **dict.fromkeys(_OPTIONAL, _TEXT),
        "outputs": _object(heads, optional=heads),
        **dict.fromkeys(("model", "fingerprint", "numerics"), _TEXT),
        "source": _object({"topic": _TEXT, "partition": _INTEGER, "offset": _INTEGER}),
        "event_time_ms": _INTEGER,
        "steps": _INTEGER,
        "cold": {"type": "boolean"},
    }
    rated = {field.head: {"type": ["number", "null"]} for field in fields if field.has_surprise}
    if rated:
        prediction["surprise"] = _object(rated)
    about = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Prediction"}
    return _dump({**about, **_object(prediction, optional=(*_OPTIONAL, "surprise"))})


def _object(properties: Mapping[str, Any], optional: Collection[str] = ()) -> dict[str, Any]:
    """Return the type of an object with these properties and no others."""
    required = [name for name in properties if name not in optional]
    names = {"required": required} if required else {}
    content = {"type": "object", "properties": properties, **names}
    return {**content, "additionalProperties": False}
