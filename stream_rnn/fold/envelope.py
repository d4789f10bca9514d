"""Envelopes: which records are folded, which forget their key, and which object is the event.

The table ``[event]`` of the feature spec decides, in this order: a record that does not meet
``only`` is *filtered*, one that meets ``forget_when`` forgets its key, and of every other record
the object at ``unwrap`` is the event.  A record with a null value forgets its key in any case.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any

from pydantic import TypeAdapter

from stream_rnn.errors import DecodeError
from stream_rnn.fold.fields import value_getter
from stream_rnn.fold.framed import FramedRecords
from stream_rnn.fold.record_limits import check_key, check_size
from stream_rnn.fold.records import Keyed
from stream_rnn.model.event import Event
from stream_rnn.settings import Settings

_MISPLACED = object()


class NoEvent(Enum):
    """What a record is that neither is an event nor becomes a dead letter."""

    FORGET = "forget"
    FILTERED = "filtered"


class Envelope:
    """Opens the envelopes of records.

    Args:
        event: Table ``[event]`` of the feature spec.
        settings: Limits of keys and values.
        framed: Reader of framed records; ``None`` if these are no events.
    """

    def __init__(
        self, event: Event, settings: Settings, framed: FramedRecords | None = None
    ) -> None:
        self._settings, self._framed = settings, framed
        self._only = [
            (value_getter(only.path), frozenset(map(comparable, only.values)))
            for only in event.only
        ]
        self._forget_when = event.forget_when and (
            value_getter(event.forget_when.path),
            comparable(event.forget_when.equals),
        )
        self._parse = TypeAdapter[Any](Any).validator.validate_json
        self._unwrap = event.unwrap
        self._get_event = event.unwrap and value_getter(event.unwrap, misplaced=_MISPLACED)

    def open(
        self,
        key: bytes | None,
        value: bytes | None,
        parse: Callable[[bytes], Any] | None = None,
    ) -> Any:
        """Return the content of a record, in which :meth:`unwrap` finds the event.

        Args:
            key: Key of the record.
            value: Value of the record.
            parse: Function that returns the content of the value; ``None`` if the value is JSON.

        Returns:
            The content as an object of Python, or a :class:`NoEvent`.

        Raises:
            DecodeError: Key or value is missing or too long.  A filtered record needs no key.
            ValueError: The value is not JSON.
        """
        if value is None or not self._only:
            check_key(key, self._settings)
        if value is None:
            return NoEvent.FORGET
        try:
            check_size(value, self._settings)
            content = (parse or self._parse)(value)
        except (DecodeError, ValueError):
            check_key(key, self._settings)
            raise
        if any(comparable(get(content)) not in values for get, values in self._only):
            return NoEvent.FILTERED
        check_key(key, self._settings)
        if self._forget_when:
            get, forgets_at = self._forget_when
            if comparable(get(content)) == forgets_at:
                return NoEvent.FORGET
        return content

    def unwrap(self, content: Any) -> Any:
        """Return the event in the content of a record.

        Raises:
            DecodeError: There is no object at ``unwrap``.
        """
        if not self._get_event:
            return content
        event = self._get_event(content)
        if isinstance(event, dict):
            return event
        found = "null or missing" if event is None else "not an object"
        raise DecodeError(
            "wrong_schema",
            f"{self._unwrap}: the event to unwrap is {found}; event.only filters such records, and "
            "event.forget_when lets them forget their key",
        )

    def forgets(self, record: Keyed) -> bool:
        """Return whether a record forgets its key, if it has one."""
        if record.key is None or record.value is None or not self._forget_when:
            return record.key is not None and record.value is None
        try:
            parse = None if self._framed is None else self._framed.parser(record)
            return self.open(record.key, record.value, parse) is NoEvent.FORGET
        except (DecodeError, ValueError):
            return False


def comparable(value: Any) -> tuple[str, Any] | None:
    """Return a value so that equal values of JSON are equal: 1 and 1.0, but neither 1 and true."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    return ("text", value) if isinstance(value, str) else None
