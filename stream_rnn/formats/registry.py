"""A schema registry as the source of schemas, through the client of Confluent."""

import logging
from collections.abc import Mapping
from typing import Any

import httpx2
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError, reason
from stream_rnn.formats.schemas import Schema

logger = logging.getLogger(__name__)

REFERENCES_MAX = 256
NUMBER_DIGITS_MAX = 10
_REFUSED = (401, 403)
_NOT_FOUND = 404


class Registry:
    """A schema registry.

    Args:
        config: Properties of the client of Confluent, with at least ``url``.
        timeout_s: Deadline for one answer, in seconds.

    Raises:
        ConfigError: The client refuses a property.
    """

    def __init__(self, config: Mapping[str, Any], timeout_s: float) -> None:
        url = str(config["url"])
        self.place = shown_url(url)
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"schema_registry_url {self.place} begins with neither http nor https"
            )
        properties = {**config, "timeout": timeout_s, "max.retries": 0}
        try:
            self._client = SchemaRegistryClient.new_client(properties)
        except (ValueError, TypeError, OSError) as error:
            why = reason(error).replace(url, self.place)
            raise ConfigError(f"schema_registry_url {self.place}: {why}") from None

    def fetch(self, schema_id: str) -> Schema:
        """Return the schema with an id: a decimal number, or the 32 digits of a GUID.

        Raises:
            DecodeError: The registry does not know the id.
            UnavailableError: The registry does not answer, or refuses the login.
        """
        is_guid = len(schema_id) > NUMBER_DIGITS_MAX
        try:
            found = (
                self._client.get_schema_by_guid(_guid(schema_id))
                if is_guid
                else self._client.get_schema(int(schema_id))
            )
        except SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                message = f"the schema registry {self.place} has no schema with id {schema_id}"
                raise DecodeError("unknown_schema", message) from None
            raise self._unavailable(error) from None
        except (httpx2.HTTPError, OSError, ValueError, TypeError) as error:
            raise self._unavailable(error) from None
        references: list[tuple[str, str]] = []
        self._collect(found.references or [], references, set())
        return Schema(found.schema_type or "AVRO", found.schema_str or "", tuple(references))

    def _collect(
        self, references: Any, into: list[tuple[str, str]], seen: set[tuple[str, int]]
    ) -> None:
        """Fetch references, each after its own."""
        for reference in references:
            place = (str(reference.subject), int(reference.version))
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > REFERENCES_MAX:
                message = f"a schema has more than {REFERENCES_MAX} references"
                raise DecodeError("unsupported_schema", message)
            try:
                schema = self._client.get_version(*place).schema
            except SchemaRegistryError as error:
                if error.http_status_code == _NOT_FOUND:
                    message = (
                        f"the schema registry {self.place} has no {place[0]} version {place[1]}"
                    )
                    raise DecodeError("unknown_schema", message) from None
                raise self._unavailable(error) from None
            except (httpx2.HTTPError, OSError, ValueError, TypeError) as error:
                raise self._unavailable(error) from None
            self._collect(schema.references or [], into, seen)
            into.append((str(reference.name), schema.schema_str or ""))

    def _unavailable(self, error: Exception) -> UnavailableError:
        """Return the error of a registry that cannot serve requests now."""
        if isinstance(error, SchemaRegistryError):
            if error.http_status_code in _REFUSED:
                why = f"refuses the login (HTTP status {error.http_status_code})"
            else:
                why = f"answers with HTTP status {error.http_status_code}"
        else:
            why = f"does not answer: {reason(error)}"
        return UnavailableError(f"the schema registry {self.place} {why}")


def shown_url(url: str) -> str:
    """Return a URL without its user and password.

    Example:
        >>> shown_url("https://user:secret@registry:8081/api")
        'https://registry:8081/api'
    """
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def _guid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
