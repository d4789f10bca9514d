"""Values of a Kafka config that a template or an example has not filled in.

Clouds hand out files with placeholders, each in a notation of its own.  No message of this module
contains a value.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import ALIASES
from stream_rnn.kafka.properties import name_lines, parse_jaas

USER_INFO = "basic.auth.user.info"
"""Name of the login at a schema registry, the user and the password with a colon between them."""
_WORDS = r"[A-Za-z][\w .:-]*"
_PLACEHOLDERS = {
    "${...}": re.compile(r"\$\{[A-Za-z][^{}$]*\}"),
    "#{...}": re.compile(r"#\{[A-Za-z][^{}]*\}#?"),
    "$(...)": re.compile(rf"\$\({_WORDS}\)"),
    "{{ ... }}": re.compile(r"\{\{[^{}]+\}\}"),
    "{...}": re.compile(rf"(?<![$#{{])\{{{_WORDS}\}}(?!\}})"),
    "<...>": re.compile(r"<\s?[A-Za-z][\w .:/\u2010\u2011-]*>"),
    "[...]": re.compile(r"\[[A-Za-z][\w .-]*\]"),
    "%...%": re.compile(r"%[A-Za-z]\w{2,}%"),
    "@...@": re.compile(r"(?<!\w)@[A-Za-z][\w.-]*@(?!\w)"),
    "$NAME": re.compile(r"\$[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?![\w{(])"),
    "YOUR_...": re.compile(r"(?<![A-Za-z0-9])YOUR[_.-][A-Z][A-Z0-9_.-]*"),
    "xxx": re.compile(r"(?<!\w)(?:[xX]{6,}|\*{3,}|\.{3})(?!\w)"),
}
"""The notations.  They are looked for in all of a value, and a secret must be one as a whole."""
_SURE = {"${...}", "{{ ... }}", "<...>", "YOUR_...", "xxx"}
"""Notations that no generator of passwords writes as a whole; the others need words of a name."""
_NAME_OF_SECRET = re.compile(
    r"[A-Za-z]+\d*(?:[ ._:-]+[A-Za-z]+\d*)+|password|passwd|secret|token|key|username|user",
    re.IGNORECASE,
)
_IS_SECRET = re.compile("(?:password|secret|auth.token)$", re.IGNORECASE)
_BARE_TEMPLATE = re.compile(r"=\s*(\{\{\s[^{}]+\}\})\s*(?:;|$)")  # of an option without quotes
_CONNECTION_STRING = "Endpoint=sb://"  # of Azure Event Hubs


def check_placeholders(properties: Mapping[str, str], used: Iterable[str], path: str) -> None:
    """Refuse values that a template or an example has not filled in.

    Args:
        properties: All names and values of the file.
        used: Names that have an effect, by Java's names.
        path: Path of the file.

    Raises:
        ConfigError: A value has a placeholder.
    """
    names = {*used}
    for written, value in properties.items():
        name = ALIASES.get(written, written)
        kind = _placeholder(name, value) if name in names else None
        if kind is not None:
            numbers = [line.number for line in name_lines(path) if line.name == written]
            where = f"line {numbers[-1]}: " if numbers else ""  # the last one has the value
            raise ConfigError(
                f"{path}: {where}{written} has a placeholder, {kind}, which nothing replaces; "
                "write the value itself, or mount a file that has it"
            )


def _placeholder(name: str, value: str) -> str | None:
    """Return the kind of a placeholder in a value; ``None`` if there is none.

    A secret may contain any signs, so only one that is a placeholder as a whole counts.
    """
    for kind, pattern in _PLACEHOLDERS.items():
        for text, is_secret in _texts(name, value):
            find = pattern.fullmatch if is_secret else pattern.search
            if find(text) and (not is_secret or kind in _SURE or _is_name(text)):
                return kind
    return None


def _texts(name: str, value: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a value that are looked at alone, and whether each is a secret."""
    if name == "sasl.jaas.config":
        yield value.strip(), True
        for template in _BARE_TEMPLATE.findall(value):
            yield template, True
        for option, text in parse_jaas(value).options.items():
            yield from _texts_of_option(option, text.strip())
    elif name.endswith(USER_INFO):
        for part in value.split(":", 1):
            yield part.strip(), True
    else:
        yield from _texts_of_option(name, value.strip())


def _texts_of_option(name: str, text: str) -> Iterator[tuple[str, bool]]:
    is_secret = _IS_SECRET.search(name) is not None
    if not (is_secret and text.startswith(_CONNECTION_STRING)):
        yield text, is_secret
        return
    for part in text.split(";"):  # the host and the name of a policy are no secrets
        field, _, content = part.partition("=")
        yield content, field == "SharedAccessKey"


def _is_name(text: str) -> bool:
    return _NAME_OF_SECRET.fullmatch(text.strip("${}#()[]%@")) is not None
