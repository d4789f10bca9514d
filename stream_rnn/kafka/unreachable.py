"""The reason why no broker answers; aiokafka logs it, but leaves it out of its error."""

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from aiokafka.conn import collect_hosts
from aiokafka.errors import IllegalSaslStateError, KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from stream_rnn.errors import reason
from stream_rnn.kafka.broker_connection import LOGIN_ERRORS, ClosedError, Connection
from stream_rnn.kafka.credentials import LOST
from stream_rnn.kafka.tokens import (
    CachedTokens,
    OwnTokens,
    TokenError,
    TokenRejectedError,
    guard_provider,
)

SERVERS_MAX = 3
CONNECT_TIMEOUT_S = 5.0
CLOSED = (ConnectionResetError, BrokenPipeError, KafkaConnectionError, *LOST)
"""Errors of a connection that a server has accepted, and that was closed then."""

_is_connecting = ContextVar("_is_connecting", default=False)


@contextmanager
def mute_client_log() -> Iterator[None]:
    """Drop what aiokafka logs while a client connects, in this task and the tasks that it starts.

    If no broker answers, the client raises an error, and its message contains the reason.
    """
    for name in ("aiokafka", "aiokafka.conn"):
        logging.getLogger(name).addFilter(_is_news)
    token = _is_connecting.set(True)
    try:
        yield
    finally:
        _is_connecting.reset(token)


def _is_news(_record: logging.LogRecord) -> bool:
    return not _is_connecting.get()


async def describe_unreachable(
    connection: Mapping[str, Any], error: BaseException, within_s: float | None = None
) -> str:
    """Return a message that no broker serves the client, with the reason and the remedy.

    The message ends with "; " and the remedy.

    Args:
        connection: Options of the client that cannot connect.
        error: Error of the client.
        within_s: Deadline of the client in seconds.
    """
    servers = connection["bootstrap_servers"]
    names = servers if isinstance(servers, str) else ",".join(servers)
    options = await _options_of_connection(connection)
    failures: list[tuple[str, BaseException]] = []
    for host, port, _ in collect_hosts(names, randomize=False)[:SERVERS_MAX]:
        advertised: list[tuple[str, int]] = []
        failure = await _try_to_connect(host, port, options, advertised)
        if failure is not None:
            failures.append((f"{host}:{port}", failure))
            continue
        dead = [await _try_to_connect(*address, options) for address in advertised[:SERVERS_MAX]]
        if advertised and None not in dead:
            return _describe_advertised(f"{host}:{port}", advertised, dead)
        return (
            f"no Kafka broker answered at {names} ({reason(error, within_s)}), and {host}:{port} "
            "answers now; try again"
        )
    for server, failure in failures:
        if (refused := _describe_refused(server, failure, options)) is not None:
            return refused
    why = failures[0][1] if failures else error
    if failures and isinstance(why, CLOSED):
        return _describe_closed(names, why, options)
    return (
        f"no Kafka broker answers at {names} ({reason(why, within_s)}); start it, or check "
        "--bootstrap-servers and, for TLS or SASL, --kafka-config"
    )


def _describe_refused(server: str, error: BaseException, options: Mapping[str, Any]) -> str | None:
    """Return a message if a broker may well answer; ``None`` if it does not."""
    cause = reason(error)
    if isinstance(error, IllegalSaslStateError):
        protocol = "SSL" if _has_tls(options) else "PLAINTEXT"
        return (
            f"the Kafka broker answers at a listener, {server}, which has no SASL; set "
            f"security.protocol={protocol} in --kafka-config, or use the port of a listener with "
            "SASL in --bootstrap-servers"
        )
    if isinstance(error, (TokenRejectedError, *LOGIN_ERRORS)):
        return (
            f"the Kafka broker at {server} answers and refuses the login ({cause}); correct the "
            "login in --kafka-config"
        )
    if isinstance(error, ClosedError):
        return (
            f"no Kafka broker serves this client: {error.args[0]}; correct security.protocol or the login in "
            "--kafka-config, or start the broker if a proxy answers for it"
        )
    if isinstance(error, TokenError):
        return (
            f"there is no token for the login at the Kafka broker {server} ({cause}); correct the "
            "token endpoint and its login in --kafka-config, or start the endpoint"
        )
    if isinstance(error, ssl.SSLError) and not isinstance(error, LOST):
        return (
            f"TLS with the Kafka broker at {server} fails ({cause}); correct security.protocol, the "
            "trust store or the certificate in --kafka-config"
        )
    return None


def _describe_closed(servers: str, error: BaseException, options: Mapping[str, Any]) -> str:
    """Return a message about a connection that ends, as at a listener of another protocol."""
    protocol = options.get("security_protocol", "PLAINTEXT")
    has = "no TLS" if _has_tls(options) else "TLS" if "SASL" in protocol else "TLS or SASL"
    cause = reason(error) if str(error) else "the connection was closed"
    return (
        f"no Kafka broker answers at {servers} ({cause}): the client uses {protocol}, and the port "
        f"may have {has}; correct security.protocol in --kafka-config, or the port in "
        "--bootstrap-servers, or try again if the broker is starting or stopping"
    )


def _has_tls(options: Mapping[str, Any]) -> bool:
    return options.get("security_protocol") in ("SSL", "SASL_SSL")


def _describe_advertised(
    server: str, advertised: Sequence[tuple[str, int]], dead: Sequence[BaseException | None]
) -> str:
    addresses = ",".join(f"{host}:{port}" for host, port in advertised[:SERVERS_MAX])
    why = next(error for error in dead if error is not None)
    return (
        f"the Kafka broker at {server} answers and advertises {addresses}, where no broker answers "
        f"({reason(why, CONNECT_TIMEOUT_S)}): clients use the advertised address only; correct "
        "advertised.listeners of the broker, or make the address reachable from here"
    )


async def _advertised(connection: Connection) -> list[tuple[str, int]]:
    """Return the addresses of the cluster's brokers, as one of them advertises them."""
    try:
        answer = await connection.send(MetadataRequest([]))
    except KafkaError as error:  # a port that takes a login answers nothing else without one
        if (closed := connection.explain(error)) is not None:
            raise closed from None
        raise
    return [(broker[1], broker[2]) for broker in answer.brokers]


async def _options_of_connection(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a single connection, with the current credentials."""
    others = {"bootstrap_servers", "client_id", "credentials"}
    options = {name: value for name, value in connection.items() if name not in others}
    credentials = connection.get("credentials")
    return options if credentials is None else {**options, **await credentials.read()}


async def _try_to_connect(
    host: str,
    port: int,
    options: Mapping[str, Any],
    advertised: list[tuple[str, int]] | None = None,
) -> BaseException | None:
    """Connect once; return the error, such as a TLS error, or ``None`` if a broker answers.

    Args:
        host: Host of the broker.
        port: Port of the broker.
        options: Options of the connection.
        advertised: List that receives the addresses of the cluster's brokers.
    """
    provider = guard_provider(options.get("sasl_oauth_token_provider"))
    try:
        with mute_client_log():
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = Connection(
                    host, port, **{**options, "sasl_oauth_token_provider": provider}
                )
                await connection.connect()
                try:
                    if advertised is not None:
                        advertised += await _advertised(connection)
                finally:
                    connection.close()
    except TimeoutError as error:
        if isinstance(provider, CachedTokens | OwnTokens):
            return provider.delay(CONNECT_TIMEOUT_S) or error
        return error
    except (KafkaError, OSError, ValueError) as error:  # aiokafka refuses options by a ValueError
        return error
    return None
