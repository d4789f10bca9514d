"""Why no broker answers: Kafka's client only logs it, and raises that it found none."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError

from stream_rnn.errors import reason

ASKED_MAX = 3
ASKED_WITHIN_S = 5.0


async def describe_unreachable(
    connection: Mapping[str, Any], error: BaseException, within_s: float | None = None
) -> str:
    """Say that no broker answers, why, and what to look at.

    Args:
        connection: options of the client that could not connect.
        error: what it raised.
        within_s: how long it was given.
    """
    servers = connection["bootstrap_servers"]
    names = servers if isinstance(servers, str) else ",".join(servers)
    why = await _why(connection, names) or error
    return (
        f"no Kafka broker answers at {names} ({reason(why, within_s)}); start it, or check "
        "--bootstrap-servers and, for TLS or SASL, --kafka-config"
    )


async def _why(connection: Mapping[str, Any], servers: str) -> BaseException | None:
    """Connect to a few of them once more; return what one said about TLS or the password."""
    options = {k: v for k, v in connection.items() if k not in {"bootstrap_servers", "client_id"}}
    with suppress(TimeoutError, ValueError):
        async with asyncio.timeout(ASKED_WITHIN_S):
            for host, port, _ in collect_hosts(servers, randomize=False)[:ASKED_MAX]:
                try:
                    opened = await create_conn(host, port, **options)
                except (KafkaError, OSError, TimeoutError) as error:
                    return error
                opened.close()
    return None
