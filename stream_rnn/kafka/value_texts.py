"""Quotation marks and comments in values of a Kafka config, which a properties file does not know.

They come from YAML, shells and other formats.  Java's clients take them for a part of the value, so
that a password would be sent with its quotation marks.  No message of this module contains a value.
"""

import re
from collections.abc import Collection
from pathlib import Path

import javaproperties

from stream_rnn.errors import ConfigError

_SECRET = re.compile("(?:password|secret|auth.token|user.info|jaas.config)$", re.IGNORECASE)
_VALUE = re.compile(r"\s*(?:\\.|[^\s=:\\])+[ \t\f]*[=:]?\s*(.*?)\s*", re.DOTALL)
_CONTINUED = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:\r\n|\r|\n)[ \t\f]*")
_QUOTED = re.compile(r"([\"']).*\1", re.DOTALL)
_COMMENT = re.compile(r"\s#")
_COMMENT_BEHIND_SECRET = re.compile(r"[;\s]\s*#\s[^\"']*$")  # a secret may contain a sign alone


def check_value_texts(path: str, used: Collection[str]) -> None:
    """Refuse values in quotation marks, and comments behind values.

    Only the text of the file counts, so that an escape makes either a part of the value.

    Args:
        path: Path of the file, which was read before.
        used: Names that have an effect, as the file writes them.

    Raises:
        ConfigError: A value has quotation marks around it, or a comment behind it.
    """
    try:
        parts = list(javaproperties.parse(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, ValueError):  # it has been replaced meanwhile, and is read again later
        return
    number = 1
    for part in parts:
        if isinstance(part, javaproperties.KeyValue) and part.key in used:
            fault = _fault(part.key, part.source)
            if fault:
                raise ConfigError(f"{path}: line {number}: {part.key} has {fault}")
        number += len(re.findall("\r\n|\r|\n", part.source))


def _fault(name: str, source: str) -> str:
    """Return what is wrong with a value, and the remedy; empty if nothing is."""
    match = _VALUE.fullmatch(_CONTINUED.sub(r"\1", source))
    value = match[1] if match else ""
    if _QUOTED.fullmatch(value):
        return (
            "quotation marks around its value, which would be a part of it: leave them out, or write "
            "the first one as \\u0022 or \\u0027 if it is a part of the value"
        )
    pattern = _COMMENT_BEHIND_SECRET if _SECRET.search(name) else _COMMENT
    if pattern.search(value):
        return (
            "a comment behind its value, which would be a part of it: write the comment on a line of "
            "its own, or \\u0023 for a # that is a part of the value"
        )
    return ""
