"""A schema registry as the source of schemas, through the client of Confluent."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import httpx2
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from stream_rnn.errors import ConfigError, DecodeError, UnavailableError, reason
from stream_rnn.formats.bounded_http import BoundedTransport, CertificateError
from stream_rnn.formats.registry_config import BEARER_SOURCE, RegistryConfig
from stream_rnn.formats.registry_errors import NOT_FOUND, REFUSED, shown_message, status_remedy
from stream_rnn.formats.registry_tokens import BearerTokens
from stream_rnn.formats.schemas import SCHEMA_CHARACTERS_MAX, Schema

T = TypeVar("T")

logging.getLogger("httpx2").setLevel(logging.WARNING)  # it has a line for each request

REFERENCES_MAX = 256
NUMBER_DIGITS_MAX = 10
UNKNOWN_CODES = (40401, 40402, 40403)
"""Codes of a registry for an unknown subject, version and schema; a wrong path has none of them."""
_ERRORS = (
    httpx2.HTTPError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,  # of nested JSON
)
"""What the client raises if a registry does not answer, or answers with anything."""


def make_client(
    config: RegistryConfig, timeout_s: float, tokens: BearerTokens | None = None
) -> SchemaRegistryClient:
    """Return a client whose answers have a deadline and a bound; it repeats no request.

    Args:
        config: Address and login of the registry.
        timeout_s: Deadline of one answer, in seconds.
        tokens: Tokens of the login, if it is one by tokens; ``None`` for those of the config.

    Raises:
        ConfigError: A certificate or key cannot be read.
    """
    properties: dict[str, Any] = {"url": config.place, "timeout": timeout_s, "max.retries": 0}
    if config.login is not None:
        properties["basic.auth.user.info"] = ":".join(config.login)
    if config.bearer:
        properties[BEARER_SOURCE] = "CUSTOM"
        tokens = tokens or BearerTokens(config, timeout_s)
        properties["bearer.auth.custom.provider.function"] = tokens.fields
        properties["bearer.auth.custom.provider.config"] = {}
    client = SchemaRegistryClient(properties)
    session = client._rest_client.session  # noqa: SLF001  # it has no option for a transport
    session.close()
    client._rest_client.session = httpx2.Client(  # noqa: SLF001
        transport=BoundedTransport(timeout_s, config.ssl_context()), auth=config.login
    )
    return client


class Registry:
    """A schema registry; one thread at a time may use it.

    Args:
        read_config: Function that returns the address and the login.  It is called here, and
            before the request that follows a refused login or certificate.
        timeout_s: Deadline for one answer, in seconds.

    Raises:
        ConfigError: The config is not valid.
    """

    def __init__(self, read_config: Callable[[], RegistryConfig], timeout_s: float) -> None:
        self._read_config, self._timeout_s = read_config, timeout_s
        self._client: SchemaRegistryClient | None = self._connect()

    def _connect(self) -> SchemaRegistryClient:
        self._config = config = self._read_config()
        self._tokens = BearerTokens(config, self._timeout_s) if config.bearer else None
        return make_client(config, self._timeout_s, self._tokens)

    @property
    def place(self) -> str:
        """The URLs without a login, for messages."""
        return self._config.place

    def fetch(self, schema_id: str) -> Schema:
        """Return the schema with an id: a decimal number, or the 32 digits of a GUID.

        Raises:
            DecodeError: The registry does not know the id, or the schema exceeds a limit.
            UnavailableError: The registry does not answer, or refuses the login.
        """
        is_guid = len(schema_id) > NUMBER_DIGITS_MAX
        call = (
            ("get_schema_by_guid", _guid(schema_id)) if is_guid else ("get_schema", int(schema_id))
        )
        found = self._ask(f"schema with id {schema_id}", *call)
        references: list[tuple[str, str]] = []
        self._collect(_references(found), references, set(), len(_text(found)))
        return Schema(_kind(found), _text(found), tuple(references))

    def ping(self) -> None:
        """Ask for the subjects, to see whether the registry answers.

        Raises:
            UnavailableError: The registry does not answer, or refuses the login.
        """
        self._ask("subjects", "get_subjects")

    def _collect(
        self,
        references: Sequence[tuple[str, str, int]],
        into: list[tuple[str, str]],
        seen: set[tuple[str, int]],
        characters: int,
    ) -> int:
        """Fetch references, each after its own, and return the characters of all schemas."""
        if characters > SCHEMA_CHARACTERS_MAX:
            message = (
                f"a schema has, with its references, more than {SCHEMA_CHARACTERS_MAX} characters"
            )
            raise DecodeError("unsupported_schema", message)
        for name, subject, version in references:
            if (subject, version) in seen:
                continue
            seen.add((subject, version))
            if len(seen) > REFERENCES_MAX:
                message = f"a schema has more than {REFERENCES_MAX} references"
                raise DecodeError("unsupported_schema", message)
            what = f"subject {subject} version {version}"
            schema = self._ask(what, "get_version", subject, version)
            text = _text(schema)
            characters = self._collect(_references(schema), into, seen, characters + len(text))
            into.append((name, text))
        return characters

    def ask(self, question: Callable[[SchemaRegistryClient], T]) -> T:
        """Return the client's answer to a question.

        Raises:
            SchemaRegistryError: The registry answers with a status of failure.
            UnavailableError: The registry does not answer, or answers with something else.
        """
        try:
            if self._client is None:
                self._client = self._connect()
            return question(self._client)
        except ConfigError as error:
            raise UnavailableError(f"cannot read the login of the registry: {error}") from None
        except SchemaRegistryError as error:
            if error.http_status_code in REFUSED:
                self._client = None  # the next request has the login that the file has then
            raise
        except UnavailableError:
            self._client = None  # a new client asks for a new token
            raise
        except _ERRORS as error:
            if isinstance(error, CertificateError):
                self._client = None
            raise self.unavailable(error) from None

    def _ask(self, what: str, method: str, *arguments: Any) -> Any:
        """Call a method of the client, and translate its errors.

        Args:
            what: What is asked for, for messages.
            method: Name of the method.
            arguments: Its arguments.

        Raises:
            DecodeError: The registry does not know what was asked for.
            UnavailableError: It does not answer, refuses the login, or answers with something else.
        """

        def question(client: SchemaRegistryClient) -> Any:
            found = getattr(client, method)(*arguments)
            if method == "get_subjects":
                return found
            found = found.schema if method == "get_version" else found
            _check(found)
            return found

        try:
            return self.ask(question)
        except SchemaRegistryError as error:
            has_no_guids = method == "get_schema_by_guid" and self._lacks(error)
            if error.error_code in UNKNOWN_CODES or has_no_guids:
                message = f"the schema registry {self.place} has no {what}"
                raise DecodeError("unknown_schema", message) from None
            raise self.unavailable(error) from None

    def _lacks(self, error: SchemaRegistryError) -> bool:
        """Return whether a registry that answers has no API for what was asked.

        Apicurio has none for GUIDs, and a record with a GUID must not wait for one.
        """
        if error.http_status_code != NOT_FOUND:
            return False
        self.ping()
        return True

    def unavailable(self, error: Exception, task: str = "") -> UnavailableError:
        """Return the error of a registry that cannot serve requests now.

        Args:
            error: What the client has raised.
            task: What was asked of the registry, such as ``to read subject x``; empty if the
                caller names it.
        """
        asked = f" when asked {task}" if task else ""
        if isinstance(error, SchemaRegistryError):
            status = error.http_status_code
            why, remedy = f"answers with HTTP status {status}{asked}", status_remedy(status)
            if status in REFUSED:
                why = f"refuses the login (HTTP status {status})"
                remedy = (
                    f"correct {self._config.path}, which is read again"
                    if self._config.path
                    else "set --schema-registry-config to a file with the login"
                )
        elif isinstance(error, CertificateError):
            why = f"does not answer{asked}: {self._mask(reason(error))}"
            remedy = "name its authority with ssl.ca.location in --schema-registry-config"
        elif isinstance(error, httpx2.HTTPError | OSError):
            why = f"does not answer{asked}: {self._mask(reason(error))}"
            remedy = "check that it runs, and schema_registry_url"
        else:
            why = "answers with something that is no schema"
            remedy = "check the path of schema_registry_url"
        return UnavailableError(f"the schema registry {self.place} {why}; {remedy}")

    def shown_message(self, error: SchemaRegistryError) -> str:
        """Return the message in an answer in brackets, without secrets; empty if there is none."""
        return shown_message(self._mask(str(error.error_message or "")))  # before it is shortened

    def _mask(self, text: str) -> str:
        return self._config.mask(text, self._tokens.token if self._tokens else "")


def _check(schema: Any) -> None:
    """Check the types of what the client has made of an answer.

    Raises:
        ValueError: A value has another type.
    """
    for version in (_reference_version(one) for one in schema.references or ()):
        if version < 0:
            raise ValueError("a version is below 0")
    if not isinstance(_text(schema), str) or not isinstance(_kind(schema), str):
        raise ValueError("a text is none")  # noqa: TRY004  # as for an answer that is no JSON


def _kind(schema: Any) -> str:
    return cast("str", schema.schema_type or "AVRO")


def _text(schema: Any) -> str:
    return cast("str", schema.schema_str or "")


def _references(schema: Any) -> list[tuple[str, str, int]]:
    return [
        (str(one.name), str(one.subject), _reference_version(one))
        for one in schema.references or ()
    ]


def _reference_version(reference: Any) -> int:
    return int(reference.version)


def _guid(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
