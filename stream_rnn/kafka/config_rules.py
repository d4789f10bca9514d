"""The rules for the names of a Kafka config.

No message of this module contains a value, nor a line that may be a part of one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import (
    ALIASES,
    IGNORED,
    IGNORED_PREFIXES,
    INSTEAD,
    KNOWN,
    REFUSED,
    REFUSED_PREFIXES,
    WITHOUT_EFFECT,
)
from stream_rnn.kafka.properties import Line, name_lines

OTHERS = (*ALIASES, *INSTEAD, *IGNORED)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SECRET_NAME = re.compile("jaas|passw|secret|passphrase|user.info|token|pem|key|certificates")
_DEFAULTS = {"sasl.mechanism", "ssl.endpoint.identification.algorithm"}
"""Names that Java programs write down with their default, whatever the security protocol."""


def check_names(properties: Mapping[str, str], path: str) -> dict[str, str]:
    """Return the settings that have an effect here, by Java's names.

    Raises:
        ConfigError: A name is unknown, or demands something that is not supported.
    """
    known: dict[str, str] = {}
    unknown: list[str] = []
    for written, value in properties.items():
        name = ALIASES.get(written, written)
        if _is_refused(name, value, path):
            continue
        if name in KNOWN:
            if known.setdefault(name, value) != value:
                raise ConfigError(f"{path}: {written} and {name} differ; remove one of them")
        elif not is_ignored(name):
            unknown.append(name)
    if unknown:
        raise unknown_names({*unknown}, path)
    return known


def _is_refused(name: str, value: str, path: str) -> bool:
    """Return whether a name is one of those that are refused, with a value that asks for nothing.

    Raises:
        ConfigError: The value asks for something that is not supported.
    """
    prefixed = (REFUSED_PREFIXES[p] for p in REFUSED_PREFIXES if name.startswith(p))
    refused = name if name in REFUSED else next(prefixed, None)
    if refused is not None and value.lower() not in ("", WITHOUT_EFFECT.get(name)):
        raise ConfigError(f"{path}: {name} is refused: {REFUSED[refused]}")
    if name == "group.protocol" and value.lower() != "classic":
        raise ConfigError(
            f"{path}: group.protocol = {value} is not supported: workers use the classic "
            "protocol of groups; remove it"
        )
    return refused is not None


def unknown_names(
    names: set[str], path: str, supported: Sequence[str] = KNOWN, others: Sequence[str] = OTHERS
) -> ConfigError:
    """Return an error that lists all unknown names, and those that are none by their lines.

    Args:
        names: Unknown names of the file.
        path: Path of the file.
        supported: Names that have an effect, which the message lists.
        others: More names for which an unknown one may be a typing error.
    """
    candidates = [*supported, *others]
    plain, strange = [], []
    may_continue = False  # whether the line may be a part of a secret, whose end is missing
    for line in name_lines(path):
        is_near = bool(_near(line.name, candidates))
        if line.name not in names:
            may_continue = _SECRET_NAME.search(line.name) is not None
        elif _NAME.fullmatch(line.name) and (is_near or (line.has_value and not may_continue)):
            plain.append(line.name)
            may_continue = is_near and _SECRET_NAME.search(line.name) is not None
        else:
            strange.append(line)
    suggestions = {name: _near(name, candidates) for name in plain}
    reports = [
        f"{name} is not supported" + (f"; is it {' or '.join(near)}?" if near else "")
        for name, near in suggestions.items()
    ]
    if not plain and not strange:
        return ConfigError(f"{path} has changed while it was read; start again")
    if strange:
        reports.append(_describe_lines(strange))
    elif not any(suggestions.values()):
        reports.append(f"the supported names are {', '.join(supported)}")
    return ConfigError(f"{path}: {'; '.join(reports)}")


def _describe_lines(lines: Iterable[Line]) -> str:
    numbers = ", ".join(str(line.number) for line in lines)
    return (
        f"line {numbers} does not begin with a name of Kafka's clients; the line before may lack a "
        "backslash at its end, which continues it"
    )


def unused_names(config: Mapping[str, str], protocol: str) -> Iterator[str]:
    """Yield the names of SASL or TLS that have no effect with a security protocol."""
    used = {"sasl": protocol.startswith("SASL"), "ssl": protocol.endswith("SSL")}
    yield from (name for name in config if not used.get(name.partition(".")[0], True))


def drop_unused(config: Mapping[str, str], protocol: str, path: str) -> dict[str, str]:
    """Return the settings that have an effect with a security protocol.

    Java's clients ignore the others, and so does a file that names its protocol.  A file without
    ``security.protocol`` has a login or certificates by mistake, or lacks that line.

    Raises:
        ConfigError: The file lacks ``security.protocol``, and a setting needs it.
    """
    unused = {*unused_names(config, protocol)}
    if "security.protocol" not in config:
        for name in unused - _DEFAULTS:
            raise ConfigError(
                f"{path}: {name} has no effect with security.protocol {protocol}; "
                "set security.protocol, or remove it"
            )
    return {name: value for name, value in config.items() if name not in unused}


def is_ignored(name: str) -> bool:
    """Return whether a name is one of Kafka's that has no effect here."""
    return (
        name in INSTEAD
        or name in IGNORED
        or name == "group.protocol"
        or name.startswith(IGNORED_PREFIXES)
    )


def ignored_note(properties: Mapping[str, str], path: str) -> str | None:
    """Return one line that lists the names without an effect; ``None`` if there are none."""
    ignored = {name: INSTEAD.get(name, "") for name in properties if is_ignored(name)}
    if protocol := properties.get("security.protocol", "").upper():
        why = f"no effect with security.protocol {protocol}"
        names = (name for name in unused_names(properties, protocol) if name not in _DEFAULTS)
        ignored |= {name: why for name in names if name not in ignored}
    if not ignored:
        return None
    shown = [f"{name} ({ignored[name]})" if ignored[name] else name for name in sorted(ignored)]
    return f"{path}: ignored: {', '.join(shown)}"


def _near(name: str, candidates: Sequence[str]) -> list[str]:
    return get_close_matches(name, candidates, n=3, cutoff=0.75)
