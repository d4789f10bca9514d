"""The columns of many messages of Protobuf at once.

Each body is parsed by itself.  What is saved is the content: a field is read from all messages at
once, and is not validated one by one.  A message that is bad or unusual is given up;
``protobuf.py`` reads those one by one, says what is wrong, and decides.  For every other message
both give the same values (``tests/property/test_protobuf.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError as BadMessage
from google.protobuf.message import Message
from numpy.typing import NDArray

from stream_rnn.errors import DecodeError
from stream_rnn.formats.avro_columns import Column, NotColumnarError, spread
from stream_rnn.formats.logical import DAY_S, PER_SECOND, ratio
from stream_rnn.formats.protobuf import (
    WRAPPERS,
    Path,
    Protobuf,
    read_indexes,
    text,
    timestamp,
)
from stream_rnn.formats.protobuf_schema import is_known_file

SECONDS_MAX = 2**31 * 2
"""Bound of timestamps here, so that no unit makes them overflow."""
_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)

Values = NDArray[Any] | list[Any]
Convert = Callable[[list[Any]], Values]
"""A function that converts values; ``None`` in its result gives a message up."""


_Step = tuple[Callable[[Any], Any], Callable[[Any], bool] | None]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """How to read a path.

    Attributes:
        steps: For each field on it, a function that returns its value in a message of its parent,
            and one that returns whether a message has it; ``None`` without presence.
        convert: Function that converts the values of the last field.
    """

    steps: Sequence[_Step]
    convert: Convert


@dataclass(frozen=True, slots=True)
class _Kind:
    """A message of a schema, and how to read each path that it has."""

    parse: Callable[[bytes], Message]
    empty: Message
    leaves: dict[Path, _Leaf]


class ProtobufColumns:
    """Reads the values at some paths.

    Args:
        messages: Messages of the schema.
        paths: Paths from the message on.
    """

    def __init__(self, messages: Protobuf, paths: Sequence[Path]) -> None:
        self._messages, self._paths = messages, paths
        self._kinds: dict[tuple[int, ...], _Kind | None] = {}

    def read(
        self, values: Sequence[bytes], skip: int, rest: bytes | None = None
    ) -> tuple[dict[Path, Column], NDArray[np.bool_]]:
        """Read messages.

        Args:
            values: N values of records.
            skip: Bytes of the frame before each body.
            rest: Indexes of the message, from a header; ``None`` if they follow the frame.

        Returns:
            Column of each path that the message has, and (N,) which messages are given up.
        """
        given_up = np.zeros(len(values), bool)
        kind, end = self._first_kind(values[0], skip, rest)
        if kind is None:
            return {}, ~given_up
        if end > skip:
            prefix = values[0][skip:end]
            given_up |= [value[skip:end] != prefix for value in values]
        messages = _parse(kind, [value[end:] for value in values], given_up)
        columns = {path: _column(leaf, messages, given_up) for path, leaf in kind.leaves.items()}
        return columns, given_up

    def _first_kind(self, value: bytes, skip: int, rest: bytes | None) -> tuple[_Kind | None, int]:
        """Return the message of the first value, and where its body begins."""
        try:
            indexes, end = read_indexes(value, skip) if rest is None else read_indexes(rest, 0)
            if indexes not in self._kinds:
                self._kinds[indexes] = self._kind(self._messages.find(indexes))
            return self._kinds[indexes], end if rest is None else skip
        except (ValueError, DecodeError):  # one by one, each record says so
            return None, skip

    def _kind(self, descriptor: Descriptor) -> _Kind | None:
        made = message_factory.GetMessageClass(descriptor)
        try:
            leaves = {path: self._leaf(descriptor, path, path) for path in self._paths}
        except NotColumnarError:
            return None
        found = {path: leaf for path, leaf in leaves.items() if leaf is not None}
        return _Kind(made.FromString, made(), found)

    def _leaf(self, descriptor: Descriptor, path: Path, whole: Path) -> _Leaf | None:
        """Return how to read a path; ``None`` if the message has no such path.

        Args:
            descriptor: Type of the message.
            path: Path from this message on.
            whole: Path from the outermost message on.

        Raises:
            NotColumnarError: The path needs the content.
        """
        name, *rest = path
        field = descriptor.fields_by_name.get(name)
        if field is None:
            return None
        is_hidden = "HasField" in descriptor.fields_by_name  # the method, by a field
        if field.is_repeated or is_hidden or is_known_file(descriptor.file.name):
            raise NotColumnarError
        has = methodcaller("HasField", name) if field.has_presence else None
        step, kind = (attrgetter(name), has), field.message_type
        if kind is None and rest:
            raise NotColumnarError
        inner = self._leaf(kind, tuple(rest), whole) if kind is not None and rest else None
        if rest:
            return None if inner is None else _Leaf([step, *inner.steps], inner.convert)
        return self._last(step, field, whole)

    def _last(self, step: _Step, field: FieldDescriptor, path: Path) -> _Leaf:
        """Return how to read the last field on a path."""
        kind = field.message_type
        if kind is None:
            return _Leaf([step], _converter(field))
        if not is_known_file(kind.file.name):
            raise NotColumnarError
        if kind.full_name in WRAPPERS:
            value = kind.fields_by_name["value"]
            return _Leaf([step, (attrgetter("value"), None)], _converter(value))
        if kind.full_name == "google.protobuf.Timestamp":
            return _Leaf([step], self._times(path))
        raise NotColumnarError

    def _times(self, path: Path) -> Convert:
        """Return the function that converts timestamps."""
        moment = self._messages.moment
        is_event_time = path == moment.path
        unit = moment.unit if is_event_time else "ms"
        if unit not in PER_SECOND:
            raise NotColumnarError
        exact = timestamp(moment, is_event_time=is_event_time)
        per_second, divide = ratio("d", unit)[0] // DAY_S, ratio("ns", unit)[1]

        def times(messages: list[Any]) -> Values:
            seconds = np.array([message.seconds for message in messages], np.int64)
            nanos = np.array([message.nanos for message in messages], np.int64)
            beyond = (seconds > SECONDS_MAX) | (seconds < -SECONDS_MAX)
            if unit == "s" or beyond.any():
                return [exact(message) for message in messages]
            return seconds * per_second + nanos // divide

        return times


def _converter(field: FieldDescriptor) -> Convert:
    """Return the function that converts the values of a scalar field."""
    if field.enum_type is not None:
        numbers = field.enum_type.values_by_number.items()
        names = {number: one.name for number, one in numbers}
        return lambda values: list(map(names.get, values))
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda values: values if set(map(type, values)) <= {str} else list(map(text, values))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda values: [value.decode("latin-1") for value in values]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return partial(np.array, dtype=bool)
    return partial(np.array, dtype=np.float64) if field.type in _FLOATS else _integers


def _integers(values: list[Any]) -> Values:
    """Return integers of up to 64 bits; unsigned ones beyond the range of numpy's as a list."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return values


def _parse(kind: _Kind, bodies: Sequence[bytes], given_up: NDArray[np.bool_]) -> list[Message]:
    """Return the messages, an empty one for a bad body."""
    try:
        return list(map(kind.parse, bodies))
    except BadMessage:
        messages = []
        for row, body in enumerate(bodies):
            try:
                messages.append(kind.parse(body))
            except BadMessage:
                given_up[row] = True
                messages.append(kind.empty)
        return messages


def _column(leaf: _Leaf, messages: list[Message], given_up: NDArray[np.bool_]) -> Column:
    """Read a path in all messages."""
    rows: NDArray[np.intp] | None = None
    level: list[Any] = messages
    for get, has in leaf.steps:
        if has is not None and not all(present := list(map(has, level))):
            some = np.flatnonzero(present)
            rows = some if rows is None else rows[some]
            level = [level[i] for i in some.tolist()]
        level = list(map(get, level))
    values = leaf.convert(level)
    if isinstance(values, list) and None in values:
        unread = [i for i, value in enumerate(values) if value is None]
        given_up[unread if rows is None else rows[unread]] = True
    return spread(values, rows, len(messages))
