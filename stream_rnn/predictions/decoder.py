"""The decoder of predictions of every format: the content that a value has in JSON.

The first byte of a value, or the first bytes of a framed body, name the format.  The schema of Avro
and Protobuf comes from the bundle, if the bundle made the prediction, and otherwise from a schema
registry.  A float32 becomes the shortest decimal that gives the same float32, as in JSON, so that a
prediction is the same object in every format.
"""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from stream_rnn.errors import DecodeError, reason
from stream_rnn.extras import explain
from stream_rnn.formats.frames import FRAME_BYTES, Frame, frame_of
from stream_rnn.formats.open_schemas import open_registry_at
from stream_rnn.formats.schemas import Schema, Schemas
from stream_rnn.predictions.head_names import HeadNames, avro_head_names, protobuf_head_names
from stream_rnn.predictions.schema import VALUE_BYTES_MAX, Prediction, describe_problem
from stream_rnn.predictions.wire_schema import (
    BundleHeads,
    read_bundle_heads,
    schema_text,
)

SCHEMAS_MAX = 1000
_AVRO, _PROTOBUF, _JSON = b"\x02", b"\0", b"{"
"""First byte of a body: format 1 in Avro, the index of the message in Protobuf, an object."""
_FLOAT = struct.Struct("<f")
FLOAT_DIGITS = range(1, 9)  # 9 digits always suffice
LEAST_NORMAL = 1.1754944e-38
Content = dict[str, Any]
Read = Callable[[bytes, Frame], Content]


class PredictionDecoder:
    """Decodes values of predictions topics.

    Args:
        heads: Heads of the bundle whose predictions need no registry; ``None`` if there is none.
        schemas: Schemas of a registry; ``None`` if there is none.
    """

    def __init__(self, heads: BundleHeads | None = None, schemas: Schemas | None = None) -> None:
        self._heads, self._schemas = heads, schemas
        self._own: dict[bytes, Read] = {}
        self._own_ids: set[str] = set()  # ids of the bundle's schema
        self._by_id: dict[str, Read] = {}

    def missing(self, value: bytes | None) -> str | None:
        """Return the id of a schema that must be fetched before a value is decoded."""
        if not value or value[:1] != b"\0" or self._schemas is None:
            return None
        frame = frame_of(value, ())
        if frame is None or value[frame.skip : frame.skip + 1] == _JSON:
            return None
        if frame.schema_id in self._own_ids or self._decode_own(value, frame):
            return None
        return next(iter(self._schemas.missing([frame.schema_id])), None)

    async def prepare(self, value: bytes | None) -> None:
        """Fetch the schema of a value in a thread, if it must be fetched.

        Raises:
            UnavailableError: The registry does not answer.
        """
        if (schema_id := self.missing(value)) is not None and self._schemas is not None:
            with suppress(DecodeError):  # it is raised for each value with this id
                await asyncio.to_thread(self._schemas.fetch, schema_id)

    def parse(self, value: bytes) -> Prediction:
        """Return the prediction of a value.

        Raises:
            DecodeError: The value is not a prediction, or its schema is not known.
        """
        if value[:1] != b"\0":
            return Prediction.parse(value)
        try:
            return Prediction.model_validate(self.content(value))
        except ValidationError as error:
            raise describe_problem(error) from None

    def content(self, value: bytes) -> Content:
        """Return the object that a value is in JSON.

        Raises:
            DecodeError: The value is none, or its schema is not known.
        """
        if len(value) > VALUE_BYTES_MAX:
            raise DecodeError("too_large", f"{len(value)} bytes are more than {VALUE_BYTES_MAX}")
        frame = frame_of(value, ())
        if frame is None:
            return _object(value)
        if value[frame.skip : frame.skip + 1] == _JSON:
            return _object(value[frame.skip :])
        own = self._decode_own(value, frame)
        if own is not None:
            return self._in_order(own)
        if self._schemas is None:
            remedy = "its schema is not that of the bundle" if self._heads else "give a bundle"
            raise DecodeError(
                "framed",
                f"framed by a schema registry, schema id {frame.schema_id}: {remedy}, or set "
                "schema_registry_url",
            )
        return self._in_order(_read(self._reader(frame.schema_id), value, frame))

    def _in_order(self, content: Content) -> Content:
        """Put the heads into the order of the bundle; a schema has them in the order of names."""
        names = () if self._heads is None else self._heads.names
        for part in ("outputs", "surprise"):
            of_heads = content.get(part)
            if isinstance(of_heads, dict):  # else it is no prediction, as :meth:`parse` says then
                first = {name: of_heads[name] for name in names if name in of_heads}
                content = {**content, part: {**first, **of_heads}}
        return content

    def _decode_own(self, value: bytes, frame: Frame) -> Content | None:
        """Return the content of a prediction of the bundle; ``None`` if another one made it."""
        kind = value[frame.skip : frame.skip + 1]
        if self._heads is None or kind not in (_AVRO, _PROTOBUF):
            return None
        if kind not in self._own:
            wire_format = "avro" if kind == _AVRO else "protobuf"
            text = schema_text(wire_format, self._heads.fields)
            self._own[kind] = _compile(Schema("AVRO" if kind == _AVRO else "PROTOBUF", text))
        try:
            content = _read(self._own[kind], value, frame)
        except DecodeError:
            return None
        if (
            content.get("fingerprint") == self._heads.fingerprint
            and len(self._own_ids) < SCHEMAS_MAX
        ):
            self._own_ids.add(frame.schema_id)
        return content if frame.schema_id in self._own_ids else None

    def _reader(self, schema_id: str) -> Read:
        if schema_id not in self._by_id:
            assert self._schemas is not None, "the caller has checked it"
            if self._schemas.missing([schema_id]):
                self._schemas.fetch(schema_id)
            if len(self._by_id) >= SCHEMAS_MAX:
                self._by_id.clear()
            self._by_id[schema_id] = _compile(self._schemas.get(schema_id))
        return self._by_id[schema_id]


def open_decoder(
    schema_registry_url: str | None,
    schema_registry_config: str | None,
    bundle: str | Path | None,
    timeout_s: float,
) -> PredictionDecoder:
    """Return a decoder of predictions.

    Args:
        schema_registry_url: URL of a schema registry; ``None`` for that of the config, if any.
        schema_registry_config: Path of the file with its login; ``None`` for none.
        bundle: Directory of the bundle whose predictions need no registry; ``None`` for none.
        timeout_s: Deadline for one answer of the registry, in seconds.

    Raises:
        BundleError: There is no bundle.
        ConfigError: The URL is not valid, or the extra ``registry`` is not installed.
    """
    heads = None if bundle is None else read_bundle_heads(bundle)
    if schema_registry_url is None and schema_registry_config is None:
        return PredictionDecoder(heads)
    registry = open_registry_at(schema_registry_url, schema_registry_config, timeout_s)
    return PredictionDecoder(heads, Schemas(registry))


def as_json(value: bytes | None, decoder: PredictionDecoder) -> bytes | None:
    """Return a framed value as JSON, for people; any other value as it is."""
    if not value or value[:1] != b"\0":
        return value
    try:
        return orjson.dumps(decoder.content(value))
    except DecodeError:
        return value


def body_of(value: bytes | None) -> bytes:
    """Return a value without its frame, whose schema id may differ between registries."""
    value = value or b""
    return value[FRAME_BYTES:] if value[:1] == b"\0" else value


def shortest(value: float) -> float:
    """Return the shortest decimal that gives the same float32.

    Example:
        >>> shortest(0.3100000023841858)
        0.31
    """
    packed = _FLOAT.pack(value)
    digits = FLOAT_DIGITS if abs(value) < LEAST_NORMAL else FLOAT_DIGITS[5:]
    for count in digits:
        rounded = float(f"{value:.{count}g}")
        if abs(rounded) < _OVERFLOW and _FLOAT.pack(rounded) == packed:
            return rounded
    return float(f"{value:.9g}")


_OVERFLOW = 3.4028235677973366e38  # the smallest number that float32 rounds to infinity


def _object(value: bytes) -> Content:
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not_a_prediction", f"the value is not JSON: {reason(error)}") from None
    if not isinstance(content, dict):
        raise DecodeError("not_a_prediction", "the value is no JSON object")
    return content


def _read(read: Read, value: bytes, frame: Frame) -> Content:
    try:
        return read(value, frame)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        message = f"the body does not fit schema {frame.schema_id}: {reason(error)}"
        raise DecodeError("not_a_prediction", message) from None


def _compile(schema: Schema) -> Read:
    """Return the reader of a schema.

    Raises:
        DecodeError: The schema is not one of predictions.
    """
    if schema.kind == "JSON":
        return lambda value, frame: _object(value[frame.skip :])
    try:
        if schema.kind == "PROTOBUF":
            return _compile_protobuf(schema)
        return _compile_avro(schema)
    except ModuleNotFoundError as error:
        explain(error, f"reading predictions in {schema.kind.capitalize()}")
        raise
    except (ValueError, KeyError, TypeError) as error:
        why = f"it is no schema of predictions ({reason(error)})"
        raise DecodeError("unsupported_schema", f"the schema cannot be used: {why}") from None


def _compile_avro(schema: Schema) -> Read:
    from stream_rnn.formats.avro_content import content_reader  # noqa: PLC0415  # of an extra
    from stream_rnn.formats.avro_schema import parse_avro  # noqa: PLC0415  # of an extra
    from stream_rnn.formats.logical import Moment  # noqa: PLC0415  # it needs numpy

    read = content_reader(parse_avro(schema.text), Moment())
    names = avro_head_names(schema.text)
    return lambda value, frame: _as_json(read(value, frame.skip), names)


def _compile_protobuf(schema: Schema) -> Read:
    from stream_rnn.formats.logical import Moment  # noqa: PLC0415  # it needs numpy
    from stream_rnn.formats.protobuf import Protobuf  # noqa: PLC0415  # of an extra

    messages = Protobuf(schema.text, schema.references, Moment())
    names = protobuf_head_names(schema.text)
    return lambda value, frame: _as_json(messages.content(value, frame.skip, frame.rest), names)


def _as_json(content: Content, heads: HeadNames) -> Content:
    """Return what JSON has: names of heads, pairs of classes, shortest decimals.

    Only the surprise of a head may be null.
    """
    content = {name: value for name, value in content.items() if value is not None}
    content["outputs"] = {
        heads.outputs.get(field, field): _output(output)
        for field, output in content["outputs"].items()
        if output is not None
    }
    if (surprise := content.get("surprise")) is not None:
        values = {name: surprise.get(field) for field, name in heads.surprise.items()}
        content["surprise"] = {n: None if v is None else shortest(v) for n, v in values.items()}
    return content


def _output(output: Content) -> Content:
    if "top" not in output:
        return {name: shortest(value) for name, value in output.items() if value is not None}
    return {
        "class": output.get("class", output.get("label")),
        "probability": shortest(output["probability"]),
        "top": [
            [one.get("class", one.get("label")), shortest(one["probability"])]
            for one in output["top"]
        ],
    }
