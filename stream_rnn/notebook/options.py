"""The keywords of the functions, generated from the classes that define the command line options.

A function has objects of these classes as parameters; its callers give the fields of the classes as
keywords.  So each name, default and bound has one definition.
"""

import difflib
import functools
import inspect
import json
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, JsonValue
from pydantic.dataclasses import dataclass

from stream_rnn.notebook.signatures import (
    describe_fields,
    field_parameters,
    make_docstring,
    make_signature,
)
from stream_rnn.options import HiddenSize, Layers, NumberOrText, build_options
from stream_rnn.replay.event_loop import ctrl_c_raises_in_loop
from stream_rnn.settings import CLUSTER, FOLD, Settings

T = TypeVar("T")


def _read_assignments(value: Any) -> Any:
    """Return texts NAME=VALUE as a mapping; a value is JSON, or else a text."""
    if not isinstance(value, (list, tuple)):
        return value
    pairs = [str(text).partition("=") for text in value]
    if wrong := next((name for name, is_pair, _ in pairs if not (name and is_pair)), None):
        raise ValueError(f"{wrong!r} is not NAME=VALUE")
    return {name.strip(): _json_or_text(text) for name, _, text in pairs}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _split_names(value: Any) -> Any:
    """Return names that are separated by commas as a tuple."""
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


Names = Annotated[tuple[str, ...], BeforeValidator(_split_names)]
NameOrNames = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
CellOptions = Annotated[dict[str, JsonValue] | None, BeforeValidator(_read_assignments)]
SETTINGS = ("app", *CLUSTER, *FOLD, "kafka_timeout_s")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Choice of the records of a log that are read.

    Attributes:
        topic: Topic to read instead of a file or frame.
        from_: First offset or ISO 8601 time of the topic to read; ``None`` is the log start.
        to: Offset or ISO 8601 time of the topic before which reading ends; ``None`` is the log end.
        partitions: Number of partitions into which a file or frame is split by its keys.
        sort_by_time: Whether to read the rows of a file or frame in the order of their event times;
            ``None`` refuses rows whose times go back by much, ``False`` takes them as they stand.
    """

    topic: str | None = None
    from_: NumberOrText | None = None
    to: NumberOrText | None = None
    partitions: Annotated[int, Field(ge=1, le=4096)] = 1
    sort_by_time: bool | None = None


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """The network to train, the split of the log, and the numbers of seeds, trials and threads.

    Attributes:
        cell: Name of the recurrent cell: ``elman``, ``gru``, ``lstm``, ``mingru``, ``rg_lru``,
            ``decay_gru``, or a cell of an installed package.
        hidden: Hidden size of each layer.
        layers: Number of stacked recurrent layers.
        cell_options: Other options of a cell that is a class, by name.
        split: Boundary between training and test part: ``time:0.8``, ``time:2013-09-01``,
            ``key:0.8`` or ``column:NAME``.
        seeds: Number of seeds to train, of which the best becomes the bundle.
        search: Number of settings to try before training; 0 for no search.
        threads: Number of torch threads.
    """

    cell: str = "gru"
    hidden: HiddenSize = 64
    layers: Layers = 1
    cell_options: CellOptions = None
    split: str = "time:0.8"
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    search: Annotated[int, Field(ge=0, le=10_000)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = 1


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How a log is folded.

    Attributes:
        processes: Number of processes, each of which folds one partition at a time.
    """

    processes: Annotated[int, Field(ge=1, le=1024)] = 1


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """Choice of the steps of a trace.

    Attributes:
        partition: Partition of the key; ``None`` finds it.
        until: Offset of the last record to fold; ``None`` folds to the end of the log.
        last: Maximum number of steps to return, the last ones of the key.
    """

    partition: Annotated[int | None, Field(ge=0)] = None
    until: Annotated[int | None, Field(ge=0)] = None
    last: Annotated[int, Field(ge=1, le=10_000)] = 200


@dataclass(frozen=True, slots=True)
class SpecOptions:
    """The rows and fields from which a spec is proposed.

    Attributes:
        key: Fields that form the key, as a list or separated by commas; ``None`` guesses them.
        time: Field of the event time; ``"none"`` is the record's timestamp; ``None`` guesses it.
        target: Field or fields to predict; if empty, they are guessed.
        rows: Maximum number of rows to read, from the first row on.
        of: Place of the value to predict: ``now`` for the predicting event, ``next`` for the next
            event of the key, or ``label`` for a labels file.
        classes: Maximum number of classes of a field.
        time_format: Format of strptime of the event time; ``None`` guesses it.
        zone: IANA name of the zone of times without a zone; ``None`` is UTC.
        delimiter: Delimiter of a text file: one character or ``whitespace``; ``None`` guesses it.
        decimal: Decimal mark of a text file; ``None`` guesses it.
        thousands: Mark between groups of digits in a text file; ``None`` guesses it.
        encoding: Encoding of a text file; ``None`` guesses it.
        columns: Names of the columns of a text file without a header line, as a list or separated
            by commas; for ``None``, the first line is the header, unless it contains values.
    """

    key: Names | None = None
    time: str | None = None
    target: NameOrNames = ()
    rows: Annotated[int, Field(ge=2, le=10_000_000)] = 100_000
    of: Literal["now", "next", "label"] = "next"
    classes: Annotated[int, Field(ge=2, le=100_000)] = 1000
    time_format: str | None = None
    zone: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    columns: Names | None = None


def keywords(**kinds: type) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator that gives a function the fields of classes as keywords.

    The function has a parameter for an object of each class; its callers give the object or its
    fields.  Every function also has a parameter ``settings``, for which callers give a ``Settings``
    or the settings in ``SETTINGS`` one by one.

    Args:
        kinds: Class of each parameter.

    Raises:
        TypeError: A caller gives an unknown keyword; the message names the nearest one.  Or an
            object has another class.
        ConfigError: A value has the wrong type or is out of its bounds.

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
    groups = {name: field_parameters(kind) for name, kind in kinds.items()}
    settings = Parameter(
        "settings", Parameter.KEYWORD_ONLY, default=None, annotation=Settings | None
    )
    shown = groups | {"settings": [*field_parameters(Settings, SETTINGS), settings]}
    described = {
        name: describe_fields(kind) for name, kind in (kinds | {"settings": Settings}).items()
    }
    described["settings"] = {name: described["settings"][name] for name in SETTINGS} | {
        "settings": "A ``Settings``, of which the keywords replace values; ``None`` reads the environment."
    }

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        has_settings = "settings" in inspect.signature(function).parameters
        signature = make_signature(function, shown if has_settings else groups)
        known = [*signature.parameters, *groups]

        @functools.wraps(function)
        def call(*positional: Any, **named: Any) -> T:
            if unknown := next((name for name in named if name not in known), None):
                raise TypeError(_unknown_keyword(function.__name__, unknown, known))
            for name, kind in kinds.items():
                fields = [field.name for field in groups[name]]
                named[name] = _build_group(function.__name__, name, kind, fields, named)
            if has_settings:
                named["settings"] = _build_settings(function.__name__, named)
            with ctrl_c_raises_in_loop():
                return function(*positional, **named)

        call.__signature__ = signature  # type: ignore[attr-defined]  # for help()
        call.__doc__ = make_docstring(function.__doc__ or "", described)
        return call

    return decorate


def _build_group(
    function: str, name: str, kind: type, fields: list[str], named: dict[str, Any]
) -> Any:
    """Take an object of a class, and the fields of the class, out of keywords."""
    base = None
    if name not in fields or isinstance(named.get(name), kind):  # a field may have its name
        base = _check_group(function, name, named.pop(name, None), kind)
    values = {} if base is None else {field: getattr(base, field) for field in fields}
    values |= {field: named.pop(field) for field in fields if field in named}
    return build_options(kind, **values)


def _build_settings(function: str, named: dict[str, Any]) -> Settings:
    """Take the settings, and the settings of their own, out of keywords."""
    values = {name: named.pop(name) for name in SETTINGS if name in named}
    base = _check_group(function, "settings", named.get("settings"), Settings)
    return Settings.build(**values) if base is None else base.replace(**values)


def _check_group(function: str, name: str, group: Any, kind: type) -> Any:
    if group is not None and not isinstance(group, kind):
        raise TypeError(
            f"{function}(): {name} must be a {kind.__name__}, not {type(group).__name__}"
        )
    return group


def _unknown_keyword(function: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"its keywords are {', '.join(known)}"
    return f"{function}() has no keyword {name!r}; {hint}"
