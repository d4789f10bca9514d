"""The reason why no broker answers; aiokafka logs it, but leaves it out of its error."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError

from stream_rnn.errors import reason

SERVERS_MAX = 3
CONNECT_TIMEOUT_S = 5.0

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
    """Return a message that no broker answers, with the reason and the remedies.

    Args:
        connection: Options of the client that cannot connect.
        error: Error of the client.
        within_s: Deadline of the client in seconds.
    """
    servers = connection["bootstrap_servers"]
    names = servers if isinstance(servers, str) else ",".join(servers)
    why = await _find_reason(connection, names) or error
    return (
        f"no Kafka broker answers at {names} ({reason(why, within_s)}); start it, or check "
        "--bootstrap-servers and, for TLS or SASL, --kafka-config"
    )


async def _find_reason(connection: Mapping[str, Any], servers: str) -> BaseException | None:
    """Connect to some of the servers once more; return the first error, such as a TLS error."""
    options = {k: v for k, v in connection.items() if k not in {"bootstrap_servers", "client_id"}}
    with suppress(TimeoutError, ValueError), mute_client_log():
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            for host, port, _ in collect_hosts(servers, randomize=False)[:SERVERS_MAX]:
                try:
                    opened = await create_conn(host, port, **options)
                except (KafkaError, OSError, TimeoutError) as error:
                    return error
                opened.close()
    return None
