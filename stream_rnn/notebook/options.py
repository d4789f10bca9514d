"""The keywords of the functions, generated from the classes that define the command line options.

A function has objects of these classes as parameters; its callers give the fields of the classes as
keywords.  So each name, default and bound has one definition.
"""

import difflib
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any, TypeVar

from stream_rnn.settings import CLUSTER, FOLD, Settings

T = TypeVar("T")

SETTINGS = ("app", *CLUSTER, *FOLD, "kafka_timeout_s")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which records of a log are read.

    Attributes:
        topic: Topic to read instead of a file or frame.
        from_: First offset or ISO 8601 time of the topic to read; ``None`` is the log start.
        to: Offset or ISO 8601 time of the topic before which reading ends; ``None`` is the log end.
        partitions: Number of partitions into which a file or frame is split by its keys.
    """

    topic: str | None = None
    from_: str | None = None
    to: str | None = None
    partitions: int = 1


def keywords(**kinds: type) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator that gives a function the fields of classes as keywords.

    The function has a parameter for an object of each class; its callers give the object or its
    fields.  Every function also has a parameter ``settings``, for which callers give a ``Settings``
    or the settings in ``SETTINGS`` one by one.

    Args:
        kinds: Class of each parameter.

    Raises:
        TypeError: A caller gives an unknown keyword; the message names the nearest one.

    Example:
        >>> @keywords(options=LogOptions)
        ... def read(log, *, options, settings):
        ...     return options.partitions
        >>> read("events.csv", partitions=4)
        4
        >>> read("events.csv", partition=4)
        Traceback (most recent call last):
            ...
        TypeError: read() has no keyword 'partition'; did you mean 'partitions'?
    """
    groups = {
        name: list(inspect.signature(kind).parameters.values()) for name, kind in kinds.items()
    }

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        signature = _signature(function, groups)
        known = [*signature.parameters, *groups]

        @functools.wraps(function)
        def call(*positional: Any, **named: Any) -> T:
            if unknown := next((name for name in named if name not in known), None):
                raise TypeError(_unknown_keyword(function.__name__, unknown, known))
            for name, fields in groups.items():
                if not isinstance(named.get(name), kinds[name]):
                    values = {f.name: named.pop(f.name) for f in fields if f.name in named}
                    named[name] = getattr(kinds[name], "build", kinds[name])(**values)
            values = {name: named.pop(name) for name in SETTINGS if name in named}
            base = named.pop("settings", None)
            named["settings"] = Settings.build(**values) if base is None else base.replace(**values)
            return function(*positional, **named)

        call.__signature__ = signature  # type: ignore[attr-defined]  # for help()
        return call

    return decorate


def _signature(function: Callable[..., Any], groups: dict[str, list[Parameter]]) -> Signature:
    """Return the signature that callers see."""
    original = inspect.signature(function)
    hidden = {*groups, "settings"}
    parameters = [p for name, p in original.parameters.items() if name not in hidden]
    fields = [field for group in groups.values() for field in group]
    fields += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=Settings.model_fields[name].default)
        for name in SETTINGS
    ]
    fields.append(Parameter("settings", Parameter.KEYWORD_ONLY, default=None))
    keyword_fields = [field.replace(kind=Parameter.KEYWORD_ONLY) for field in fields]
    return original.replace(parameters=[*parameters, *keyword_fields])


def _unknown_keyword(function: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"its keywords are {', '.join(known)}"
    return f"{function}() has no keyword {name!r}; {hint}"
