"""Keys that wrap one value: an object of JSON, as Debezium and Kafka Connect write, or a prefix."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

WRAPPED_BYTES_MAX = 4096  # a schema makes a key long
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_STRUCT = re.compile(r"(Struct\{\w+=)(.*)(\})", re.DOTALL)
_PREFIX = re.compile(r"[A-Za-z][\w.-]*[:/|#=](?=.)", re.DOTALL)
PREFIXES_MAX = 4
_PYTHON_BYTES = re.compile(r"b(['\"])(.*)\1", re.DOTALL)
_PROBE = "\x01"  # no value of a key


@dataclass(frozen=True, slots=True)
class Wrapper:
    """What stands around the value of a key.

    Attributes:
        before: Text before the value.
        after: Text after the value.
        how: Difference between a key with and one without the wrapper.
        is_json: Whether the value is JSON: a number or a text in quotes.
    """

    before: str
    after: str
    how: str
    is_json: bool = False

    def wrap(self, text: str) -> list[bytes]:
        """Return the keys that wrap a text; a number in JSON may be a number or a text."""
        texts = [text]
        if self.is_json:
            texts = [text] * bool(_JSON_NUMBER.fullmatch(text)) + [json.dumps(text)]
        wrapped: list[bytes] = []
        with suppress(UnicodeEncodeError):  # half of a surrogate pair
            wrapped += [f"{self.before}{each}{self.after}".encode() for each in texts]
        return wrapped


def unwrap(key: bytes) -> list[tuple[str, Wrapper]]:
    """Return the texts of the values that a key wraps, each with its wrapper.

    Only a key with several prefixes wraps several values.

    Example:
        >>> [unwrap(key)[0][0] for key in (b'{"id":9}', b"Struct{id=21}", b"user:11")]
        ['9', '21', '11']
        >>> [text for text, _ in unwrap(b"urn:dev:55")], unwrap(b"9"), unwrap(b'{"a":1,"b":2}')
        (['dev:55', '55'], [], [])
        >>> unwrap(b'{"schema":null,"payload":{"id":"a"}}')[0][0]
        'a'
    """
    if len(key) > WRAPPED_BYTES_MAX:
        return []
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return []
    if text.startswith("{"):
        found = _unwrap_json(text)
        return [] if found is None else [found]
    if match := _STRUCT.fullmatch(text):
        return [(match[2], Wrapper(match[1], match[3], "as the text of a Struct of Kafka Connect"))]
    return [*_unwrap_prefixes(text)]


def _unwrap_prefixes(text: str) -> Iterator[tuple[str, Wrapper]]:
    end = 0
    for _ in range(PREFIXES_MAX):
        if (match := _PREFIX.match(text, end)) is None:
            return
        end = match.end()
        yield text[end:], Wrapper(text[:end], "", f"after {text[:end]}")


def _unwrap_json(text: str) -> tuple[str, Wrapper] | None:
    found = _value(text)
    if found is None:
        return None
    value, how = found
    shown = value if isinstance(value, str) else json.dumps(value)
    for literal in {json.dumps(value), json.dumps(value, ensure_ascii=False)}:
        before, is_there, after = text.rpartition(literal)
        if is_there and _value(f"{before}{json.dumps(_PROBE)}{after}") == (_PROBE, how):
            return shown, Wrapper(before, after, how, is_json=True)
    return None


def _value(text: str) -> tuple[Any, str] | None:
    """Return the only value in an object of JSON, and how it is wrapped; ``None`` if there is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    how = "in an object of JSON"
    if isinstance(content, dict) and content.keys() == {"schema", "payload"}:
        content, how = content["payload"], "in JSON with a schema, as Kafka Connect writes it"
    if isinstance(content, dict):
        if len(content) != 1:
            return None
        (content,) = content.values()
    is_scalar = isinstance(content, str | int | float) and not isinstance(content, bool)
    return (content, how) if is_scalar else None


def unquote_text(text: str) -> Iterator[str]:
    """Yield the text in the quotes of a shell, of JSON, or of Python's bytes."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        yield text[1:-1]
        with suppress(ValueError):
            if isinstance(inner := json.loads(text), str):
                yield inner
    if match := _PYTHON_BYTES.fullmatch(text):
        yield match[2]
