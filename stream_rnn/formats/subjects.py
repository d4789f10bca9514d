"""The subject of a schema at a registry: its id, its registration, and its compatibility."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream_rnn.errors import ConfigError, DecodeError, StreamRNNError, UnavailableError
from stream_rnn.formats.registry import UNKNOWN_CODES, Registry
from stream_rnn.formats.registry_errors import (
    BAD_REQUEST,
    INCOMPATIBLE,
    INVALID,
    NOT_FOUND,
    READ_ONLY_CODE,
    REFUSED,
)
from stream_rnn.formats.same_schema import means_the_same
from stream_rnn.formats.schemas import Schema

VERSIONS_MAX = 100
"""Number of the latest versions that a check compares one by one."""
T = TypeVar("T")
ID_MAX = 2_147_483_647
BROKEN_SCHEMA = RegistrySchema("{", "AVRO")
"""A text that no registry takes for a schema: it asks for the right to register.

Its format must be a known one: Karapace refuses an unknown format before it looks at rights.  It
must not be empty: Apicurio registers an empty Protobuf schema.
"""
READ_ONLY_MODES = ("READONLY", "READONLY_OVERRIDE", "IMPORT", "FORWARD")
"""Modes in which a registry gives no new schema an id."""


class Subject:
    """A subject of a registry, and the schema to publish under it.

    All methods block, each for at most the deadline of the registry for each request.

    Args:
        registry: Registry.
        name: Name of the subject.
        schema: Schema to publish.
    """

    def __init__(self, registry: Registry, name: str, schema: Schema) -> None:
        self.name, self.place = name, registry.place
        self._registry, self._schema = registry, schema
        self._given = RegistrySchema(schema.text, schema.kind)

    def find(self) -> int | None:
        """Return the id of the schema; ``None`` if it is not registered under the subject.

        Raises:
            ConfigError: The registry does not let this user read the subject, or serves another
                schema under the id.
            UnavailableError: The registry does not answer.
        """
        found = self._ask("read", self._look_up)
        return None if found is None else self._verify(found)

    def _look_up(self, client: SchemaRegistryClient) -> int | None:
        try:
            return client.lookup_schema(self.name, self._given).schema_id
        except SchemaRegistryError as error:
            if not _may_be_of_kinds(error) or self._kind(client, "latest") == self._schema.kind:
                raise
            return None  # the subject is of another format, with which it cannot be compared

    def register(self) -> int:
        """Register the schema, unless it is, and return its id once the registry serves it.

        Raises:
            ConfigError: The schema is not compatible, this user lacks a right, or the registry
                serves another schema under the id.
            UnavailableError: The registry does not answer.
        """
        try:
            schema_id = self._ask(
                "write", lambda client: client.register_schema(self.name, self._given)
            )
        except ConfigError:
            # A registry that takes no new schema, or not from this user, may have this one.
            with suppress(StreamRNNError):
                if (found := self.find()) is not None:
                    return found
            raise
        return self._verify(schema_id)

    def may_register(self) -> bool:
        """Return whether this user may register, without registering anything.

        A registry checks the right before it parses the schema.  So this asks it to register a text
        that is no schema: who lacks the right is refused the login, everybody else the text.  False
        if the answer is neither.  The mode is asked for before: Confluent's registry parses a schema
        first, and so refuses the text in any mode.

        Raises:
            ConfigError: This user may not register, or the registry is read-only.
            UnavailableError: The registry does not answer.
        """
        self._check_mode()
        try:
            self._registry.ask(lambda client: client.register_schema(self.name, BROKEN_SCHEMA))
        except SchemaRegistryError as error:
            status, code = error.http_status_code, error.error_code
            if status in REFUSED or code == READ_ONLY_CODE:
                raise self._refusal("write", error) from None
            if status not in (BAD_REQUEST, INVALID, NOT_FOUND):
                raise self._registry.unavailable(error, f"to write subject {self.name}") from None
            return status != NOT_FOUND
        return False

    def _check_mode(self) -> None:
        """Check that the mode of the subject, or else the registry's, allows new schemas.

        A registry that does not tell the mode is not at fault: not each has one, and reading it may
        need a right of its own.

        Raises:
            ConfigError: It allows none.
            UnavailableError: The registry does not answer.
        """
        questions: tuple[Callable[[SchemaRegistryClient], str], ...] = (
            lambda client: client.get_mode(self.name),
            lambda client: client.get_global_mode(),
        )
        for question in questions:
            try:
                mode = self._registry.ask(question)
            except SchemaRegistryError:  # the subject has no mode of its own
                continue
            if mode in READ_ONLY_MODES:
                raise ConfigError(
                    f"the schema registry {self.place} has mode {mode} for subject {self.name}, "
                    "which allows no new schema; set its mode, or the registry's, to READWRITE"
                )
            return

    def _verify(self, schema_id: object) -> int:
        """Return the id in an answer, if the registry serves the schema under it.

        Some registries store every version of a subject in the format of the first one.

        Raises:
            ConfigError: It serves another schema.
            UnavailableError: It is no id, or the registry does not serve it yet.
        """
        if type(schema_id) is not int or not 0 < schema_id <= ID_MAX:
            raise UnavailableError(
                f"the schema registry {self.place} answers with an id of a schema that is not a "
                f"number from 1 to {ID_MAX}; check the path of schema_registry_url"
            )
        try:
            served = self._registry.fetch(str(schema_id))
        except DecodeError as error:
            raise UnavailableError(
                f"subject {self.name} has the schema with id {schema_id}, which cannot be read "
                f"back: {error}; try again once all nodes of the registry know it"
            ) from None
        if means_the_same(self._schema, served):
            return schema_id
        how = f"as {served.kind}" if served.kind != self._schema.kind else "with another meaning"
        raise ConfigError(
            f"the schema registry {self.place} has the {self._schema.kind} schema of subject "
            f"{self.name} with id {schema_id}, but serves this id {how}, so nobody could read the "
            "predictions; publish to another topic, or delete the subject, or its newest version, "
            "at the registry and register again"
        )

    def versions(self) -> list[int]:
        """Return the versions of the subject, in ascending order.

        Raises:
            ConfigError: The registry does not let this user read the subject.
            UnavailableError: The registry does not answer.
        """
        return sorted(self._ask("read", lambda client: client.get_versions(self.name)) or [])

    def incompatible_versions(self) -> list[int]:
        """Return those of the latest versions with which the schema is not compatible.

        Raises:
            ConfigError: The registry does not let this user read the subject.
            UnavailableError: The registry does not answer.
        """
        return [
            version
            for version in self.versions()[-VERSIONS_MAX:]
            if self._ask("compare", self._test_compatibility(version)) is False
        ]

    def _test_compatibility(self, version: int) -> Callable[[SchemaRegistryClient], bool]:
        def test(client: SchemaRegistryClient) -> bool:
            try:
                return bool(client.test_compatibility(self.name, self._given, version))
            except SchemaRegistryError as error:
                if not _may_be_of_kinds(error) or self._kind(client, version) == self._schema.kind:
                    raise
                return False  # the version is of another format, with which nothing is compatible

        return test

    def _kind(self, client: SchemaRegistryClient, version: int | str) -> str:
        schema = client.get_version(self.name, version).schema  # type: ignore[arg-type]
        return schema.schema_type or "AVRO"

    def _ask(self, action: str, question: Callable[[SchemaRegistryClient], T]) -> T | None:
        """Ask the registry; ``None`` if it does not know what the question names.

        Args:
            action: What is done with the subject: ``read``, ``compare`` or ``write``.
            question: Function of the client.

        Raises:
            ConfigError: A person must change something.
            UnavailableError: The registry does not answer.
        """
        try:
            return self._registry.ask(question)
        except SchemaRegistryError as error:
            if error.error_code in UNKNOWN_CODES and action != "write":  # a wrong path has none
                return None
            raise self._refusal(action, error) from None

    def _refusal(self, action: str, error: SchemaRegistryError) -> StreamRNNError:
        """Return what an answer with a status of failure means, and its remedy."""
        status = error.http_status_code
        if status in REFUSED:
            right = "write" if action == "write" else "read"
            return ConfigError(
                f"the schema registry {self.place} does not let this user {right} subject "
                f"{self.name} (HTTP status {status}); grant it, or give another login"
            )
        remedy = self._remedy(action, error)
        if not remedy:
            return self._registry.unavailable(error, f"to {action} subject {self.name}")
        return ConfigError(
            f"the schema registry {self.place} refuses to {action} the schema of subject "
            f"{self.name} (HTTP status {status}){self._registry.shown_message(error)}: {remedy}"
        )

    def _remedy(self, action: str, error: SchemaRegistryError) -> str:
        """Return the cause of a refusal and what to do; empty if the registry is unavailable."""
        status, code, kind = error.http_status_code, error.error_code, self._schema.kind
        if action == "write" and _may_be_of_kinds(error) and (other := self._other_kind()):
            return (
                f"its newest version is {other}, and the schema {kind}; publish to another topic, "
                f"or give the --predictions-format of {other}"
            )
        if code == READ_ONLY_CODE:
            return "its mode allows no new schema; set its mode, or the registry's, to READWRITE"
        if status == NOT_FOUND and code in UNKNOWN_CODES:
            return (
                "it takes no new schema at this path; check the path of schema_registry_url, and "
                "whether this is a replica for reading only"
            )
        return {
            INCOMPATIBLE: "it is not compatible with the versions before; stream-rnn schema check "
            "names them; publish to another topic, or change the subject's compatibility",
            INVALID: "it takes the schema for invalid; check whether the registry supports "
            f"{kind}, or give another --predictions-format",
        }.get(status, "")

    def _other_kind(self) -> str:
        """Return the format of the newest version, if it is another one; otherwise empty."""
        try:
            kind = self._registry.ask(lambda client: self._kind(client, "latest"))
        except (SchemaRegistryError, StreamRNNError):  # the error that is asked about is reported
            return ""
        return kind if kind != self._schema.kind else ""


def _may_be_of_kinds(error: SchemaRegistryError) -> bool:
    """Return whether a registry may answer so because it cannot compare two formats."""
    return error.http_status_code in (INCOMPATIBLE, INVALID) or error.http_status_code >= 500
