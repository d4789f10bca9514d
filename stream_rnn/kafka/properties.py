"""A java.properties file, and the login options that it may have in ``sasl.jaas.config``.

No message of this module contains a value that may be secret.
"""

import re
from pathlib import Path
from typing import NamedTuple

import javaproperties

from stream_rnn.errors import ConfigError, reason

CONFIG_BYTES_MAX = 1_000_000

_SPACE = "".join(map(chr, range(0x21)))  # what Java trims
# An option as Java's StreamTokenizer reads it
_JAAS = re.compile(
    r"""([^\x00-\x20=;"']+)[\x00-\x20]*=[\x00-\x20]*"""
    r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\x00-\x20;"']+))""",
    re.DOTALL,
)
_SEPARATED = re.compile(r"\s*[^\s=:]+[ \t]*[=:][ \t]*[^\s=]")
_JAAS_ESCAPE = re.compile(r"\\([0-3][0-7]{0,2}|[4-7][0-7]?|.)", re.DOTALL)
_JAAS_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class Jaas(NamedTuple):
    """A login of Java.

    Attributes:
        module: Name of the class without its package; empty if there is no login.
        options: Options of the module.
    """

    module: str
    options: dict[str, str]

    def __repr__(self) -> str:
        """Return a text without the values of options."""
        return f"Jaas(module={self.module!r}, options={[*self.options]})"


def read_properties(path: str, kind: str = "Kafka config") -> dict[str, str]:
    """Read a java.properties file.

    Args:
        path: Path of the file.
        kind: What the file is, for messages.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        if Path(path).stat().st_size > CONFIG_BYTES_MAX:
            raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes: no {kind}")
        data = Path(path).read_bytes()
        if b"\0" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ConfigError(f"the {kind} {path} is UTF-16 or binary; write it as UTF-8")
        text = data.decode("utf-8-sig")  # editors may write a BOM
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the {kind} {path}: {reason(error)}") from error
    _check_format(path, text, kind)
    try:
        # Kafka's Java clients trim values, too.
        return {name: value.strip(_SPACE) for name, value in javaproperties.loads(text).items()}
    except javaproperties.InvalidUEscapeError:  # the escape may be part of a password
        raise ConfigError(f"{path}: four hexadecimal digits must follow \\u") from None


def _check_format(path: str, text: str, kind: str) -> None:
    """Refuse a file of another format, which is named instead of each of its lines."""
    first = next((line for line in map(str.strip, text.splitlines()) if line[:1] not in "#!"), "")
    remedy = ""
    if first.startswith("{"):
        remedy = "is JSON; write lines of name=value, as for Kafka's Java clients"
    elif re.fullmatch(r"\[[\w .-]*\]", first):
        remedy = "has a section of an INI file; leave out the lines in square brackets"
    elif re.match(r"(?:(?:export|set)\s+)?[A-Z][A-Z0-9_]*\s*=", first):
        remedy = (
            "has environment variables; write the names of Kafka's Java clients, such as "
            "sasl.mechanism=... instead of export KAFKA_SASL_MECHANISM=..."
        )
    elif re.match(r"spring\.kafka\.", first):
        remedy = (
            "has names of Spring Boot; write those of Kafka's Java clients: NAME instead of "
            "spring.kafka.properties.NAME, and bootstrap.servers instead of "
            "spring.kafka.bootstrap-servers"
        )
    if remedy:
        raise ConfigError(f"the {kind} {path} {remedy}")


class Line(NamedTuple):
    """The place of a name.

    Attributes:
        name: Name as it is written.
        number: Number of the line where it begins.
        has_value: Whether ``=`` or ``:`` and a value follow, which does not begin with another.
    """

    name: str
    number: int
    has_value: bool


def name_lines(path: str) -> list[Line]:
    """Return the places of the names of a java.properties file, which was read before.

    There are none if the file has been replaced meanwhile, and cannot be read now.
    """
    lines: list[Line] = []
    number = 1
    try:
        parts = list(javaproperties.parse(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, ValueError):
        return lines
    for part in parts:
        if isinstance(part, javaproperties.KeyValue):
            has_value = _SEPARATED.match(part.source) is not None
            lines.append(Line(part.key, number, has_value))
        number += len(re.findall("\r\n|\r|\n", part.source))
    return lines


def parse_jaas(text: str) -> Jaas:
    """Return the module and the options of ``sasl.jaas.config``."""
    module = text.split(maxsplit=1)[0] if text.split() else ""
    options = {
        name: _JAAS_ESCAPE.sub(_unescape, double or single) or bare
        for name, double, single, bare in _JAAS.findall(text)
    }
    return Jaas(module.rpartition(".")[2], options)


def _unescape(escape: re.Match[str]) -> str:
    """Return what an escape in a quoted value stands for: a backslash, and a letter or an octal."""
    text = escape[1]
    return chr(int(text, 8)) if text[0] in "01234567" else _JAAS_LETTERS.get(text, text)
