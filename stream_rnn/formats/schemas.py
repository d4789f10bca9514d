"""The schemas that this process knows, by their ids.

A schema never changes under its id, so each is fetched once.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from stream_rnn.errors import DecodeError

logger = logging.getLogger(__name__)

SCHEMAS_MAX = 10_000
UNKNOWN_S = 60.0
"""Seconds for which an id that the registry does not know is not asked for again."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of the registry.

    Attributes:
        kind: Format: ``AVRO``, ``PROTOBUF`` or ``JSON``.
        text: Text of the schema.
        references: Name and text of each schema that it refers to, each after its own references.
    """

    kind: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


class SchemaSource(Protocol):
    """A source of schemas, such as a registry."""

    def fetch(self, schema_id: str) -> Schema:
        """Return a schema; this may block.

        Raises:
            DecodeError: There is no such schema.
            UnavailableError: The source does not answer.
        """


class Schemas:
    """The known schemas; one object serves all partitions of a process.

    Args:
        source: Source of schemas that are not known yet.
        clock: Function that returns monotonic seconds.
    """

    def __init__(self, source: SchemaSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._clock = source, clock
        self._known: dict[str, Schema] = {}
        self._unknown: dict[str, tuple[DecodeError, float]] = {}
        self._lock = threading.Lock()

    def get(self, schema_id: str) -> Schema:
        """Return a schema that was fetched.

        Raises:
            DecodeError: There is no such schema.
        """
        known = self._known.get(schema_id)
        if known is None:
            raise self._unknown[schema_id][0]
        return known

    def fetch(self, schema_id: str) -> Schema:
        """Ask the source for a schema; this may block.

        Raises:
            DecodeError: There is no such schema.
            UnavailableError: The source does not answer.
        """
        with self._lock:
            try:
                found = self._source.fetch(schema_id)
            except DecodeError as error:
                _make_room(self._unknown)
                self._unknown[schema_id] = error, self._clock() + UNKNOWN_S
                raise
            _make_room(self._known)
            self._known[schema_id] = found
            self._unknown.pop(schema_id, None)
            logger.info("fetched the schema with id %s, of the format %s", schema_id, found.kind)
            return found

    def missing(self, schema_ids: Iterable[str]) -> list[str]:
        """Return those ids that must be fetched: new ones, and unknown ones after a while."""
        now = self._clock()
        return [
            schema_id
            for schema_id in dict.fromkeys(schema_ids)
            if schema_id not in self._known and self._unknown.get(schema_id, _NEVER)[1] <= now
        ]


_NEVER = (None, float("-inf"))


def _make_room(entries: dict[str, Any]) -> None:
    while len(entries) >= SCHEMAS_MAX:
        del entries[next(iter(entries))]
