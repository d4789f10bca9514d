"""The reason why no broker answers, which aiokafka logs and leaves out of its error."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError

from stream_rnn.errors import reason

SERVERS_MAX = 3
CONNECT_TIMEOUT_S = 5.0


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
    """Connect to some of the servers once more; return the first error, such as one of TLS."""
    options = {k: v for k, v in connection.items() if k not in {"bootstrap_servers", "client_id"}}
    with suppress(TimeoutError, ValueError):
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            for host, port, _ in collect_hosts(servers, randomize=False)[:SERVERS_MAX]:
                try:
                    opened = await create_conn(host, port, **options)
                except (KafkaError, OSError, TimeoutError) as error:
                    return error
                opened.close()
    return None
