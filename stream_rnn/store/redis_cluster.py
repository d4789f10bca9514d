"""The client of a Redis Cluster: redis-py's client with its own transactions and scripts.

A transaction or script goes to the primary of the key's slot, on one connection; the client reads
all replies, or closes the connection.  redis-py's transactions do not follow ``MOVED``, never look
for a new primary after a timeout, look for nodes outside the caller's deadline, and start a thread
for each command.
"""

from collections.abc import Sequence
from typing import Any, Self

import hiredis
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.commands import AsyncRedisClusterCommands
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream_rnn.store.server_connection import adapt

REDIRECTIONS_MAX = 5

Command = Sequence[Any]


class ClusterClient(RedisCluster):
    """A client that looks for the primaries again after each failure, and retries nothing.

    It has redis-py's methods; all keys of a transaction or of a script must share one slot.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        adapted = adapt(self.connection_kwargs["connection_class"])
        self.connection_kwargs["connection_class"] = adapted  # of nodes that are found later
        for node in self.startup_nodes:
            node.connection_class = adapted
        self._scripts: dict[str, str] = {}
        self._failed_node: str | None = None  # until the nodes are read again

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """Return a :class:`Transaction`, or redis-py's pipeline, which is no transaction."""
        return Transaction(self) if transaction else super().pipeline(transaction, shard_hint)

    def register_script(self, script: Any) -> Any:
        """Return a callable that runs a script; see :class:`redis.asyncio.RedisCluster`."""
        registered = super().register_script(script)
        self._scripts[registered.sha] = script
        return registered

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command; see :class:`redis.asyncio.RedisCluster`."""
        if args[0] not in ("EVALSHA", "EVAL"):
            return await super().execute_command(*args, **kwargs)
        reply = (await self.exchange(args[3], [args]))[-1]
        if isinstance(reply, NoScriptError) and args[1] in self._scripts:
            # Load it on this primary only: redis-py loads it on all, and another primary may be down.
            load = ("SCRIPT", "LOAD", self._scripts[args[1]])
            reply = (await self.exchange(args[3], [args], [load]))[-1]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def exchange(
        self, key: str | bytes, commands: Sequence[Command], preceding: Sequence[Command] = ()
    ) -> list[Any]:
        """Send commands to the primary of a key's slot, on one connection.

        Args:
            key: Key whose slot determines the primary.
            commands: One command, or a transaction from ``MULTI`` to ``EXEC``.
            preceding: Commands without a key, which are sent to the same node first.

        Returns:
            Replies to ``commands``, including errors.

        Raises:
            RedisError: The primary, or every node, does not answer; the next call looks for the
                primary again.
        """
        slot, ask_node = self.keyslot(key), None
        replies: list[Any] = []
        for _ in range(REDIRECTIONS_MAX):
            await self._refresh_nodes()
            node = ask_node or self.nodes_manager.get_node_from_slot(slot)
            # After ASKING, a node serves a slot that it is still importing.
            request = [*preceding, *([("ASKING",)] if ask_node else []), *commands]
            responses = await self._exchange_with(node, request)
            replies = responses[-len(commands) :]
            _raise_first_error(responses[: -len(commands)])
            redirection = next((reply for reply in replies if isinstance(reply, AskError)), None)
            if redirection is None:
                break
            ask_node = None
            if isinstance(redirection, MovedError):
                await self.nodes_manager.move_slot(redirection)
            else:
                ask_node = self._node_of(redirection)
        return replies

    async def _refresh_nodes(self) -> None:
        failed_node = self._failed_node
        if self._initialize:
            await self.initialize()
        elif failed_node is not None:
            await self.nodes_manager.initialize(last_failed_node_name=failed_node)
        if self._failed_node == failed_node:  # otherwise another node has failed since
            self._failed_node = None

    def _node_of(self, redirection: AskError) -> ClusterNode:
        """Return the node that imports a slot; add it if the client does not know it yet."""
        manager = self.nodes_manager
        node = manager.get_node(host=redirection.host, port=redirection.port)
        if node is None:
            node = ClusterNode(redirection.host, redirection.port, **self.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _exchange_with(self, node: ClusterNode, commands: Sequence[Command]) -> list[Any]:
        """Send commands to a node and read as many replies.

        Invariant: No unread reply remains on a connection that is used again
        (``tests/integration/test_redis_cluster.py``).
        """
        packed = [hiredis.pack_command(tuple(command)) for command in commands]
        connection = node.acquire_connection()
        is_complete = False
        try:
            await node.disconnect_if_needed(connection)
            await connection.send_packed_command(packed)
            replies = [await _read_reply(connection) for _ in commands]
            is_complete = not any(isinstance(reply, ClusterDownError) for reply in replies)
        except AttributeError as error:
            # redis-py closed the connection for another call, and its stream is gone.
            raise RedisConnectionError(f"the connection to {node.name} was closed") from error
        finally:
            if not is_complete:
                self._failed_node = str(node.name)
                connection.mark_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's
            node.release(connection)
        return replies


class Transaction(AsyncRedisClusterCommands):
    """Commands that a primary executes together when ``execute`` is called."""

    _event_dispatcher: Any = None  # redis-py's methods require the attribute

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._commands: list[tuple[Command, dict[str, Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._commands.clear()

    def execute_command(self, *args: Any, **options: Any) -> Self:
        """Add a command."""
        options.pop("keys", None)  # only redis-py's cache uses it
        self._commands.append((args, options))
        return self

    async def execute(self) -> list[Any]:
        """Send all commands; return their results.

        Raises:
            RedisError: The first error among the replies.  If the primary rejects a command before
                ``EXEC``, it executes none.
        """
        key = self._commands[0][0][1]
        inside = [args for args, _ in self._commands]
        replies = await self._client.exchange(key, [("MULTI",), *inside, ("EXEC",)])
        results = replies[-1]
        _raise_first_error([*replies, *(results if isinstance(results, list) else [])])
        callbacks = self._client.response_callbacks
        return [
            callbacks[args[0]](result, **options) if args[0] in callbacks else result
            for (args, options), result in zip(self._commands, results, strict=True)
        ]


def _raise_first_error(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


async def _read_reply(connection: Any) -> Any:
    """Read one reply; return an error reply instead of raising it."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
