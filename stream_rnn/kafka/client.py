"""The connections of aiokafka's clients, with what aiokafka leaves out.

*Credentials.*  Each new connection has the current credentials; see ``credentials.py``.

*Sessions.*  aiokafka does not authenticate again when a session ends, so a request would fail in
flight.  A connection whose session ends soon is therefore replaced before the next request.  The
old one gets its last answers, and the first new connection of the client after them closes it.

*Idle connections.*  Load balancers drop a connection that carries nothing for some minutes (Azure:
240 s, AWS: 350 s), often without telling its ends: the next request would wait for its deadline.
An idle connection is therefore closed earlier, and opened again for the next request.

*Topics.*  A request for metadata creates no topic; see ``clients.py``.

*Secrets.*  aiokafka logs the bytes of a login at the level ``debug``; they are left out.
"""

import logging
import time
from collections.abc import Mapping
from inspect import signature
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, StaleMetadata
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.util import create_task

from stream_rnn.errors import reason
from stream_rnn.kafka.broker_connection import Connection, NoTopicConnection
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.kafka.tokens import guard_provider
from stream_rnn.kafka.unreachable import mute_client_log

logger = logging.getLogger("aiokafka")  # for messages that are aiokafka's

IDLE_MS_MAX = 110_000  # aiokafka closes an idle connection after up to twice this time
IDLE_MS_DEFAULT = signature(AIOKafkaClient).parameters["connections_max_idle_ms"].default
"""The option of a client whose owner wants no other one; Faust's settings have the same default."""


class Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka is not typed
    """The connections of aiokafka's consumers, producers and admin clients.

    An object of aiokafka becomes one by :func:`upgrade_client`, before it is started.
    """

    connection_class: type[Connection] = Connection
    credentials: Credentials
    _replaced: list[Connection]
    _sync_task: Any

    async def bootstrap(self) -> None:
        """Connect to the first broker that answers, as aiokafka does over its own connections.

        Raises:
            KafkaConnectionError: None answers; the cause is the error of the last one.
        """
        await self._read_credentials()
        failure: BaseException | None = None
        with mute_client_log():
            for host, port, _ in self.hosts:
                try:
                    await self._bootstrap_from(host, port)
                except (OSError, TimeoutError, KafkaError) as error:
                    self.credentials.record(error)
                    failure = error
                    continue
                if self._sync_task is None:
                    self._sync_task = create_task(self._md_synchronizer())
                return
        hosts = ", ".join(f"{host}:{port}" for host, port, _ in self.hosts)
        raise KafkaConnectionError(f"no broker answers at {hosts}") from failure

    async def _bootstrap_from(self, host: str, port: int) -> None:
        """Read the brokers of the cluster from one of them."""
        connection = await self._open(host, port)
        try:
            self.cluster.update_metadata(await connection.send(MetadataRequest([])))
        except BaseException:
            connection.close()
            raise
        self.credentials.record(None)
        if self.cluster.brokers():
            connection.close()
        else:  # aiokafka asks this one again, until the cluster has brokers
            self._conns["bootstrap", ConnectionGroup.DEFAULT] = connection

    async def _open(self, host: str, port: int, **options: Any) -> Connection:
        connection = self.connection_class(
            host,
            port,
            client_id=self._client_id,
            request_timeout_ms=self._request_timeout_ms,
            max_idle_ms=self._connections_max_idle_ms,
            **options,
            **self._security(),
        )
        await connection.connect()
        return connection

    async def close(self) -> None:
        """Close all connections."""
        self._close_replaced(CloseReason.SHUTDOWN)
        await super().close()

    async def _get_conn(
        self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> AIOKafkaConnection | None:
        """Return a connection that can be used now; ``None`` if the broker is not reachable."""
        del no_hint  # aiokafka does not use it either
        if (current := self._usable((node_id, group))) is not None:
            return current
        try:
            async with self._get_conn_lock:
                # Another task may have connected in the meantime.
                return self._usable((node_id, group)) or await self._connect(node_id, group)
        except (OSError, TimeoutError, KafkaError) as error:
            self.credentials.record(error)
            logger.error("Unable connect to node with id %s: %s", node_id, reason(error))  # noqa: TRY400  # the error is expected
            self.force_metadata_update()
            return None

    def _usable(self, conn_id: tuple[Any, Any]) -> AIOKafkaConnection | None:
        """Return a connection that is open and whose session lasts; forget any other one."""
        current = self._conns.get(conn_id)
        if current is None:
            return None
        if not current.connected():
            del self._conns[conn_id]
            return None
        if time.monotonic() < getattr(current, "replace_s", float("inf")):
            return current
        del self._conns[conn_id]
        self._replaced.append(current)
        return None

    async def _connect(self, node_id: Any, group: Any) -> AIOKafkaConnection:
        self._close_replaced()
        broker = self.cluster.broker_metadata(node_id)
        if broker is None:
            raise StaleMetadata(f"Broker id {node_id} not in current metadata")
        await self._read_credentials()
        connection = await self._open(broker.host, broker.port, on_close=self._on_connection_closed)
        self.credentials.record(None)
        self._conns[node_id, group] = connection
        return connection

    def _close_replaced(self, why: CloseReason | None = None) -> None:
        """Close replaced connections that wait for no answer; with a reason, close all."""
        for connection in list(self._replaced):
            if why is not None or not connection.is_waiting:
                self._replaced.remove(connection)
                connection.close(reason=why or CloseReason.IDLE_DROP)

    async def _read_credentials(self) -> None:
        options = await self.credentials.read()
        self._security_protocol = options["security_protocol"]
        self._ssl_context = options.get("ssl_context")
        self._sasl_mechanism = options.get("sasl_mechanism", "PLAIN")
        self._sasl_plain_username = options.get("sasl_plain_username")
        self._sasl_plain_password = options.get("sasl_plain_password")
        self._sasl_oauth_token_provider = guard_provider(options.get("sasl_oauth_token_provider"))

    def _security(self) -> dict[str, Any]:
        return {
            "ssl_context": self._ssl_context,
            "security_protocol": self._security_protocol,
            "sasl_mechanism": self._sasl_mechanism,
            "sasl_plain_username": self._sasl_plain_username,
            "sasl_plain_password": self._sasl_plain_password,
            "sasl_kerberos_service_name": self._sasl_kerberos_service_name,
            "sasl_kerberos_domain_name": self._sasl_kerberos_domain_name,
            "sasl_oauth_token_provider": self._sasl_oauth_token_provider,
        }


class NoTopicClient(Client):
    """Connections on which a request for metadata creates no topic."""

    connection_class = NoTopicConnection


def upgrade_client(
    client: AIOKafkaClient,
    credentials: Credentials | None,
    kind: type[Client] = NoTopicClient,
) -> None:
    """Make one of our clients of aiokafka's, which is not started yet.

    Args:
        client: Client of aiokafka.
        credentials: Its credentials; ``None`` for those that it was made with.
        kind: Class of the client.
    """
    logging.getLogger("aiokafka.conn").addFilter(_has_no_login)
    if credentials is None:
        credentials = Credentials(
            {
                name: getattr(client, f"_{name}")
                for name in (
                    *("security_protocol", "ssl_context", "sasl_mechanism"),
                    *("sasl_plain_username", "sasl_plain_password", "sasl_oauth_token_provider"),
                )
            }
        )
    client.__class__ = kind
    client._connections_max_idle_ms = _idle_ms(client._connections_max_idle_ms)  # noqa: SLF001  # no public way
    client.credentials = credentials
    client._replaced = []  # noqa: SLF001  # its own attribute


def _idle_ms(wanted_ms: int | None) -> int:
    """Return the milliseconds after which a client closes an idle connection.

    Logs it if somebody wants a longer time than this package allows.

    Args:
        wanted_ms: Option of the client; ``None`` for no limit.
    """
    if wanted_ms is not None and wanted_ms <= IDLE_MS_MAX:
        return wanted_ms or IDLE_MS_MAX
    if wanted_ms != IDLE_MS_DEFAULT:
        logging.getLogger(__name__).warning(
            "connections_max_idle_ms is %d instead of %s: load balancers drop a connection that "
            "carries nothing for longer",
            IDLE_MS_MAX,
            wanted_ms,
        )
    return IDLE_MS_MAX


def _has_no_login(record: logging.LogRecord) -> bool:
    """Return whether a message of aiokafka contains no bytes of a login."""
    arguments = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    return not any(type(value).__name__.startswith("SaslAuthenticate") for value in arguments)
