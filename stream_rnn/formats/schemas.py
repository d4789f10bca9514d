"""The schemas that this process knows, by their ids.

A schema never changes under its id, so each is fetched once.  What becomes of an id is decided once,
too: an id that has no schema, or one that exceeds a limit, stays so for a fold.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError

logger = logging.getLogger(__name__)

SCHEMAS_MAX = 10_000
CHARACTERS_MAX = 256_000_000
"""Maximum characters of all schemas."""
SCHEMA_CHARACTERS_MAX = 1_000_000
"""Maximum characters of one schema with its references."""


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

    @property
    def characters(self) -> int:
        """Number of characters, with those of the references."""
        return len(self.text) + sum(len(text) for _, text in self.references)


Verdict = Schema | DecodeError
"""What an id stands for: a schema, or the error of each record that names it."""


class UnknownSchemaError(UnavailableError):
    """The source has no schema with an id yet."""


class SchemaSource(Protocol):
    """A source of schemas, such as a registry."""

    def fetch(self, schema_id: str) -> Schema:
        """Return a schema; this may block.

        Raises:
            DecodeError: There is no such schema, or it exceeds a limit.
            UnavailableError: The source does not answer.
        """


class Schemas:
    """The known schemas; one object serves all partitions of a fold in a process.

    Args:
        source: Source of schemas that are not known yet.
        stops_at_unknown: Whether an id without a schema is an error of the caller, rather than of
            the records that name it.
    """

    def __init__(self, source: SchemaSource, *, stops_at_unknown: bool = False) -> None:
        self._source, self._stops = source, stops_at_unknown
        self._known: dict[str, Verdict] = {}
        self._characters = 0
        self._lock, self._asking = threading.Lock(), threading.Lock()

    def get(self, schema_id: str) -> Schema:
        """Return a schema that is known.

        Raises:
            DecodeError: There is no such schema.
        """
        known = self._known[schema_id]
        if isinstance(known, DecodeError):
            raise DecodeError(known.code, str(known))
        return known

    def kind(self, schema_id: str) -> str:
        """Return the format of a schema; empty if it is not known."""
        known = self._known.get(schema_id)
        return known.kind if isinstance(known, Schema) else ""

    def look_up(self, schema_id: str) -> Verdict:
        """Ask the source what an id stands for, without remembering it; this may block.

        Raises:
            UnavailableError: The source does not answer.
            UnknownSchemaError: It has no such schema, and the caller is to stop then.
        """
        try:
            with self._asking:
                found = self._source.fetch(schema_id)
        except DecodeError as error:
            if self._stops and error.code == "unknown_schema":
                raise UnknownSchemaError(
                    f"{error}; register it there again, or name a file that has it with --schemas; "
                    "if its records are to become dead letters, set --on-unknown-schema dead_letter"
                ) from None
            return error
        logger.info("fetched the schema with id %s, of the format %s", schema_id, found.kind)
        return found

    def fetch(self, schema_id: str) -> None:
        """Ask the source for a schema, and remember the answer; this may block.

        Raises:
            UnavailableError: See :meth:`look_up`.
            ConfigError: See :meth:`add`.
        """
        self.add(schema_id, self.look_up(schema_id))

    def add(self, schema_id: str, verdict: Verdict) -> None:
        """Remember what an id stands for.

        Raises:
            ConfigError: It stands for something else already, or the schemas exceed a limit.
        """
        with self._lock:
            known = self._known.get(schema_id)
            if known is not None:
                if is_same(known, verdict):
                    return
                raise ConfigError(
                    f"schema id {schema_id} stands for two schemas: another process has stored "
                    "another one; ids of a topic belong to one registry: check "
                    "schema_registry_url, and start again"
                )
            if isinstance(verdict, Schema):
                self._characters += verdict.characters
            if len(self._known) >= SCHEMAS_MAX or self._characters > CHARACTERS_MAX:
                raise ConfigError(
                    f"the records name more than {SCHEMAS_MAX:,} schema ids, or schemas with more "
                    f"than {CHARACTERS_MAX:,} characters; the last id is {schema_id}: find the "
                    "producer that frames records with such ids"
                )
            self._known[schema_id] = verdict

    def missing(self, schema_ids: Iterable[str]) -> list[str]:
        """Return those ids that must be fetched."""
        return [one for one in dict.fromkeys(schema_ids) if one not in self._known]

    def known(self) -> dict[str, Verdict]:
        """Return what each id stands for."""
        with self._lock:
            return dict(self._known)


def is_same(one: Verdict, other: Verdict) -> bool:
    """Return whether two verdicts are the same; the reason of an error does not count."""
    if isinstance(one, DecodeError) or isinstance(other, DecodeError):
        return getattr(one, "code", None) == getattr(other, "code", None)
    return one == other
