"""The subject of a schema at a registry: its id, its registration, and its compatibility."""

from collections.abc import Callable
from typing import TypeVar

from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream_rnn.errors import ConfigError, UnavailableError
from stream_rnn.formats.registry import UNKNOWN_CODES, Registry
from stream_rnn.formats.schemas import Schema

VERSIONS_MAX = 100
"""Number of the latest versions that a check compares one by one."""
T = TypeVar("T")
ID_MAX = 2_147_483_647
_REFUSED, _INCOMPATIBLE, _INVALID = (401, 403), 409, 422


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
        self._registry, self._schema = registry, RegistrySchema(schema.text, schema.kind)

    def find(self) -> int | None:
        """Return the id of the schema; ``None`` if it is not registered under the subject.

        Raises:
            ConfigError: The registry does not let this user read the subject.
            UnavailableError: The registry does not answer.
        """
        found = self._ask(
            "read", lambda client: client.lookup_schema(self.name, self._schema).schema_id
        )
        return None if found is None else self._check_id(found)

    def register(self) -> int:
        """Register the schema, unless it is, and return its id.

        Raises:
            ConfigError: The schema is not compatible, or this user lacks a right.
            UnavailableError: The registry does not answer.
        """
        try:
            schema_id = self._ask(
                "write", lambda client: client.register_schema(self.name, self._schema)
            )
        except SchemaRegistryError as error:
            raise ConfigError(
                f"the schema registry {self.place} refuses the schema of subject {self.name} "
                f"(HTTP status {error.http_status_code}): it is not compatible with the versions "
                "before; stream-rnn schema check names them; publish to another topic, or change "
                "the subject's compatibility"
            ) from None
        if schema_id is None:
            raise ConfigError(
                f"the schema registry {self.place} has no API for subject {self.name}"
            )
        return self._check_id(schema_id)

    def _check_id(self, schema_id: object) -> int:
        """Return the id of a schema in an answer of the registry.

        Raises:
            UnavailableError: It is no id.
        """
        if type(schema_id) is int and 0 < schema_id <= ID_MAX:
            return schema_id
        raise UnavailableError(
            f"the schema registry {self.place} answers with an id of a schema that is not a number "
            f"from 1 to {ID_MAX}; check the path of schema_registry_url"
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
            if self._ask("read", self._test_compatibility(version)) is False
        ]

    def _test_compatibility(self, version: int) -> Callable[[SchemaRegistryClient], bool]:
        def test(client: SchemaRegistryClient) -> bool:
            try:
                return bool(client.test_compatibility(self.name, self._schema, version))
            except SchemaRegistryError as error:
                if error.http_status_code != _INVALID:
                    raise
                return False  # the version is of another format, with which nothing is compatible

        return test

    def _ask(self, right: str, question: Callable[[SchemaRegistryClient], T]) -> T | None:
        """Ask the registry; ``None`` if it does not know what the question names."""
        try:
            return self._registry.ask(question)
        except SchemaRegistryError as error:
            if error.error_code in UNKNOWN_CODES:  # a wrong path answers 404 without one
                return None
            if error.http_status_code in _REFUSED:
                raise ConfigError(
                    f"the schema registry {self.place} does not let this user {right} subject "
                    f"{self.name} (HTTP status {error.http_status_code}); grant it, or give "
                    "another login"
                ) from None
            if error.http_status_code in (_INCOMPATIBLE, _INVALID):
                raise
            raise self._registry.unavailable(error) from None
