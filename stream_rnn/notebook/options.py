"""Keywords of the functions: the options of the verbs, from the classes that define them.

A function names classes of options as parameters; callers give the fields of these classes, as they
would give options to the verb.  So there is one list of names, defaults and bounds.
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
        topic: a topic to read in place of a file or a frame.
        from_: offset or ISO 8601 time of a topic; ``None`` is the log start.
        to: the same, not included; ``None`` is the log end.
        partitions: a file or a frame is split into so many, by the key.
    """

    topic: str | None = None
    from_: str | None = None
    to: str | None = None
    partitions: int = 1


def keywords(**kinds: type) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a function the fields of classes as keywords.

    The function takes one object of each class; its callers give that, or fields.  Every function
    has ``settings`` too: callers give the settings in ``SETTINGS`` one by one, or an object.

    Args:
        kinds: parameters of the function, and their classes.

    Raises:
        TypeError: a caller gives a keyword that there is not; the message names the nearest.

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
        def call(*positional: Any, **given: Any) -> T:
            if unknown := next((name for name in given if name not in known), None):
                raise TypeError(_unknown(function.__name__, unknown, known))
            for name, fields in groups.items():
                if not isinstance(given.get(name), kinds[name]):
                    values = {f.name: given.pop(f.name) for f in fields if f.name in given}
                    given[name] = getattr(kinds[name], "build", kinds[name])(**values)
            values = {name: given.pop(name) for name in SETTINGS if name in given}
            base = given.pop("settings", None)
            given["settings"] = Settings.build(**values) if base is None else base.replace(**values)
            return function(*positional, **given)

        call.__signature__ = signature  # type: ignore[attr-defined]  # what help() shows
        return call

    return decorate


def _signature(function: Callable[..., Any], groups: dict[str, list[Parameter]]) -> Signature:
    """Return the signature that callers see."""
    own = inspect.signature(function)
    kept = [p for name, p in own.parameters.items() if name not in {*groups, "settings"}]
    fields = [field for some in groups.values() for field in some]
    fields += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=Settings.model_fields[name].default)
        for name in SETTINGS
    ]
    fields.append(Parameter("settings", Parameter.KEYWORD_ONLY, default=None))
    shown = [field.replace(kind=Parameter.KEYWORD_ONLY) for field in fields]
    return own.replace(parameters=[*kept, *shown])


def _unknown(function: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"its keywords are {', '.join(known)}"
    return f"{function}() has no keyword {name!r}; {hint}"
