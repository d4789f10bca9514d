"""The client of a Redis Cluster: redis-py's, but for transactions and scripts.

Those go to the primary that has the key's slot, each on one connection whose replies are all read,
or which is closed.  redis-py's own transactions follow no ``MOVED``, never look for a new primary
after a timeout, look for nodes outside of the caller's deadline, and run a thread for each command.
"""

from collections.abc import Sequence
from typing import Any, Self

import hiredis
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.commands import AsyncRedisClusterCommands
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

REDIRECTIONS_MAX = 5

Command = Sequence[Any]


class ClusterClient(RedisCluster):
    """A client that finds primaries anew after every failure, and retries nothing.

    It has redis-py's methods; the keys of a transaction, and of a script, share one slot.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scripts: dict[str, str] = {}
        self._suspect: str | None = None  # the node that failed last, until nodes are known anew

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """Return a transaction of ours, or a pipeline of redis-py's, which is none."""
        return Transaction(self) if transaction else super().pipeline(transaction, shard_hint)

    def register_script(self, script: Any) -> Any:
        """Return what runs a script; see :class:`redis.asyncio.RedisCluster`."""
        registered = super().register_script(script)
        self._scripts[registered.sha] = script
        return registered

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run one command; see :class:`redis.asyncio.RedisCluster`."""
        if args[0] != "EVALSHA":
            return await super().execute_command(*args, **kwargs)
        reply = (await self.exchange(args[3], [args]))[-1]
        if isinstance(reply, NoScriptError) and args[1] in self._scripts:
            # Not on all primaries, as redis-py does: another one may be away.
            load = ("SCRIPT", "LOAD", self._scripts[args[1]])
            reply = (await self.exchange(args[3], [args], [load]))[-1]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def exchange(
        self, key: str | bytes, commands: Sequence[Command], before: Sequence[Command] = ()
    ) -> list[Any]:
        """Send commands to the primary that has a key, on one connection.

        Args:
            key: decides the slot.
            commands: either the only one, or a transaction from ``MULTI`` to ``EXEC``.
            before: commands without a key, for the same node.

        Returns:
            The replies to ``commands``; those that are errors are among them.

        Raises:
            RedisError: the primary, or every node, does not answer; the next call looks for it anew.
        """
        slot, asked = self.keyslot(key), None
        replies: list[Any] = []
        for _ in range(REDIRECTIONS_MAX):
            await self._know_nodes()
            node = asked or self.nodes_manager.get_node_from_slot(slot)
            # A node that is asked serves a slot which it is still importing.
            sent = [*before, *([("ASKING",)] if asked else []), *commands]
            answers = await self._exchange_with(node, sent)
            replies = answers[-len(commands) :]
            _raise_first_of(answers[: -len(commands)])
            redirection = next((one for one in replies if isinstance(one, AskError)), None)
            if redirection is None:
                break
            asked = None
            if isinstance(redirection, MovedError):
                await self.nodes_manager.move_slot(redirection)
            else:
                asked = self._node_of(redirection)
        return replies

    async def _know_nodes(self) -> None:
        suspect = self._suspect
        if self._initialize:
            await self.initialize()
        elif suspect is not None:
            await self.nodes_manager.initialize(last_failed_node_name=suspect)
        if self._suspect == suspect:  # else another one failed meanwhile
            self._suspect = None

    def _node_of(self, redirection: AskError) -> ClusterNode:
        """Return the node that imports a slot; one that has no slots yet is not known so far."""
        manager = self.nodes_manager
        node = manager.get_node(host=redirection.host, port=redirection.port)
        if node is None:
            node = ClusterNode(redirection.host, redirection.port, **self.connection_kwargs)
            manager.set_nodes(manager.nodes_cache, {node.name: node})
        return node

    async def _exchange_with(self, node: ClusterNode, commands: Sequence[Command]) -> list[Any]:
        """Send commands to a node and read as many replies.

        Invariant: no reply is left on a connection that is used again
        (``tests/integration/test_redis_cluster.py``).
        """
        packed = [hiredis.pack_command(tuple(command)) for command in commands]
        connection = node.acquire_connection()
        is_whole = False
        try:
            await node.disconnect_if_needed(connection)
            await connection.send_packed_command(packed)
            replies = [await _reply(connection) for _ in commands]
            is_whole = not any(isinstance(reply, ClusterDownError) for reply in replies)
        except AttributeError as error:
            # redis-py has closed the connection for another call, and it has no stream any more.
            raise RedisConnectionError(f"the connection to {node.name} was closed") from error
        finally:
            if not is_whole:
                self._suspect = str(node.name)
                connection.mark_for_reconnect()  # type: ignore[no-untyped-call]  # redis-py's
            node.release(connection)
        return replies


class Transaction(AsyncRedisClusterCommands):
    """Commands that a primary executes together, at ``execute``."""

    _event_dispatcher: Any = None  # redis-py's methods ask for one, and these do not use it

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._commands: list[tuple[Command, dict[str, Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._commands.clear()

    def execute_command(self, *args: Any, **options: Any) -> Self:
        """Add a command."""
        options.pop("keys", None)  # for a cache of redis-py
        self._commands.append((args, options))
        return self

    async def execute(self) -> list[Any]:
        """Send all commands; return their results.

        Raises:
            RedisError: of the first command that was refused; where a primary refuses one before
                ``EXEC``, it executes none.
        """
        key = self._commands[0][0][1]
        inside = [args for args, _ in self._commands]
        replies = await self._client.exchange(key, [("MULTI",), *inside, ("EXEC",)])
        results = replies[-1]
        _raise_first_of([*replies, *(results if isinstance(results, list) else [])])
        callbacks = self._client.response_callbacks
        return [
            callbacks[args[0]](result, **options) if args[0] in callbacks else result
            for (args, options), result in zip(self._commands, results, strict=True)
        ]


def _raise_first_of(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


async def _reply(connection: Any) -> Any:
    """Read one reply; an error that a node answers is one."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error
