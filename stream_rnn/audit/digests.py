"""Digests of the contents of outputs, for comparison."""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from stream_rnn.errors import DecodeError
from stream_rnn.fold.output_batches import Message
from stream_rnn.predictions.cut_over import CUT_OVER_HEADER
from stream_rnn.predictions.decoder import PredictionDecoder

CUT_OVER_NUMBER = re.compile(rb"[1-9][0-9]{0,17}")


def digest_of(value: bytes | None) -> int:
    """Return a 64-bit hash of a value."""
    return int.from_bytes(blake2b(value or b"", digest_size=8).digest(), "little")


def content_of(value: bytes | None, decoder: PredictionDecoder) -> dict[str, Any]:
    """Return the content of a prediction as in JSON; an empty one if the value has none."""
    try:
        return decoder.content(value or b"null")
    except DecodeError:
        return {}


def memoryless_digest(
    content: Mapping[str, Any],
    key: bytes | None,
    timestamp: int | None,
    headers: Iterable[tuple[str, bytes]],
) -> int:
    """Return a digest of everything that does not depend on the key's hidden state.

    The digest covers the key, the timestamp, all headers except the origin and the number of the
    last cut-over, all content except steps, cold and numerics, and the names of the outputs instead
    of their values.
    """
    outputs = content.get("outputs")
    names = None
    if isinstance(outputs, dict):
        names = {k: sorted(v) if isinstance(v, dict) else None for k, v in outputs.items()}
    ignored = {"outputs", "steps", "cold", "numerics"}
    compared_content = {name: value for name, value in content.items() if name not in ignored}
    try:
        serialized = orjson.dumps([compared_content, names], option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested too deeply
        serialized = b""
    compared_headers = [
        (name, text)
        for name, text in headers
        if name != "sr-origin" and not is_cut_over(name, text)
    ]
    return digest_of(b"%b %b" % (serialized, repr((key, timestamp, compared_headers)).encode()))


def source_offset_of(message: Message) -> int:
    """Return the source offset that an output names."""
    return int(dict(message.headers)["sr-offset"])


def is_cut_over(name: str, text: bytes | None) -> bool:
    """Return whether a header is a valid number of a cut-over, which no replay knows."""
    return name == CUT_OVER_HEADER and CUT_OVER_NUMBER.fullmatch(text or b"") is not None


def is_origin(text: bytes | None, offset: int) -> bool:
    """Return whether a header contains an origin that is possible for a source offset."""
    try:
        origin = int(text or b"")
    except ValueError:
        return False
    return text == b"%d" % origin and 0 <= origin <= offset
