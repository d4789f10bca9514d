"""Redis as it is run in production: behind TLS, as a cluster of three, and with a Sentinel."""

import asyncio
import socket
import ssl
from contextlib import suppress

from redis.asyncio import Redis

from stream_rnn.errors import ConfigError
from stream_rnn.local.processes import ServerProcess, free_port
from stream_rnn.local.redis import LocalRedis, _program

NODE_TIMEOUT_MS = 1000
STARTS_MAX = 5
PRIMARIES = 3
SLOTS = 16384
WITHIN_S = 60


async def until(is_so, what) -> None:
    """Wait until a coroutine function says true; name what did not come."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await is_so():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TimeoutError(f"no {what} within {WITHIN_S} s") from None


class TlsProxy:
    """Python's own TLS before a server that has none; client certificates are required.

    Args:
        directory: of the certificates.
        port: of the server behind it.
    """

    def __init__(self, directory, port) -> None:
        self._behind = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as Redis verifies
        self._context.load_cert_chain(directory / "server.pem")
        self._context.load_verify_locations(directory / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self.port = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        behind = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(self._copy(reader, behind[1]), self._copy(behind[0], writer))

    async def _copy(self, reader, writer) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


class Node:
    """One server of a cluster, or one that a Sentinel watches."""

    def __init__(self, *arguments) -> None:
        self.server = LocalRedis(arguments=arguments)
        self.port = self.server.port
        self.redis = Redis(host="127.0.0.1", port=self.port, decode_responses=True)

    async def do(self, *command):
        """Send a command to this server alone."""
        return await self.redis.execute_command(*command)

    async def end(self) -> None:
        """Stop it and remove its data."""
        await self.redis.aclose()
        await asyncio.to_thread(self.server.stop)
        self.server.remove()


async def started(arguments=()) -> Node:
    """Start a node of a cluster; on other ports if another process was faster to take these."""
    for _ in range(STARTS_MAX):
        bus = free_port()  # by default 10,000 above the port: too high
        node = Node(
            *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            *("--cluster-allow-replica-migration", "no"),
            *arguments,
        )
        try:
            await asyncio.to_thread(node.server.start)
        except ConfigError as error:
            failed = error
            await node.end()
        else:
            node.bus = bus
            return node
    raise failed


class Cluster:
    """Three primaries that share all slots, and replicas that belong to none yet.

    Args:
        replicas: how many.
        arguments: more of each server's command line.
    """

    def __init__(self, replicas=1, arguments=()) -> None:
        self._count = PRIMARIES + replicas
        self._arguments = arguments
        self.nodes: list[Node] = []

    async def __aenter__(self):
        starts = [started(self._arguments) for _ in range(self._count)]
        self.nodes = list(await asyncio.gather(*starts))
        bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            await node.do("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        first = self.nodes[0]
        for node in self.nodes[1:]:
            await first.do("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        for node in self.nodes:
            await until(lambda node=node: self._knows_all(node), "a cluster that knows all nodes")
        self.ids = [await node.do("CLUSTER", "MYID") for node in self.nodes]
        return self

    async def __aexit__(self, *_exception: object) -> None:
        for node in self.nodes:
            await node.end()

    async def _knows_all(self, node) -> bool:
        about = str(await node.do("CLUSTER", "INFO"))
        return "cluster_state:ok" in about and f"cluster_known_nodes:{self._count}" in about

    @property
    def url(self) -> str:
        """Of two of its nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[1:3])

    async def owner(self, slot, asked=0) -> int:
        """Return the number of the primary that has a slot, as one of the nodes knows it."""
        for first, last, (_, port, *_), *_ in await self.nodes[asked].do("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return [node.port for node in self.nodes].index(port)
        raise AssertionError(slot)

    async def replica(self, number) -> int:
        """Return the number of the replica of a primary."""
        for at, node in enumerate(self.nodes):
            about = await node.redis.info("replication")
            if about["role"] == "slave" and about["master_port"] == self.nodes[number].port:
                return at
        raise AssertionError(f"node {number} has no replica")

    async def until_whole(self) -> None:
        """Wait until all nodes live, agree that all is well, and each primary has its replica."""

        async def is_whole() -> bool:
            primaries, followed = set(), []
            for node in self.nodes:
                if "cluster_state:ok" not in str(await node.do("CLUSTER", "INFO")):
                    return False
                about = await node.redis.info("replication")
                if about["role"] == "master":
                    primaries.add(node.port)
                elif about["master_link_status"] == "up":
                    followed.append(about["master_port"])
            return len(primaries) == PRIMARIES and set(followed) == primaries

        await until(is_whole, "cluster that is whole")

    async def replicate(self, number, by=3) -> None:
        """Make the fourth node, or another one without slots, the replica of a primary."""
        replica = self.nodes[by]
        await replica.do("CLUSTER", "REPLICATE", self.ids[number])

        async def is_in_step() -> bool:
            return (await replica.redis.info("replication"))["master_link_status"] == "up"

        await until(is_in_step, "a replica in step")

    async def migrate(self, slot, source, target, pause_s, asked=None) -> int:
        """Move a slot while it is used, key by key; return how many keys."""
        ids, old, new = self.ids, self.nodes[source], self.nodes[target]
        await new.do("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        await old.do("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        moved = 0
        while keys := await old.do("CLUSTER", "GETKEYSINSLOT", slot, 1):
            await old.do("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *keys)
            moved += 1
            await asyncio.sleep(pause_s)  # the slot's keys are in two places meanwhile
        if asked is not None:
            await asked()  # all its keys are moved, and nobody knows it but the two
        for node in (new, old, *self.nodes):
            with suppress(Exception):  # a replica refuses
                await node.do("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        return moved


class Watched:
    """A primary with a replica, and a Sentinel that decides alone."""

    async def __aenter__(self):
        self.nodes = [Node(), Node()]
        await asyncio.gather(*(asyncio.to_thread(node.server.start) for node in self.nodes))
        await self.nodes[1].do("REPLICAOF", "127.0.0.1", self.nodes[0].port)
        directory = self.nodes[0].server._directory
        self.port = free_port()
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor main 127.0.0.1 {self.nodes[0].port} 1\n"
            "sentinel down-after-milliseconds main 1000\n"
            "sentinel failover-timeout main 5000\n"
        )
        command = [_program(), str(config), "--sentinel"]
        self._sentinel = ServerProcess("Sentinel", command, directory / "sentinel.log", 5)
        self._asked = Redis(host="127.0.0.1", port=self.port, decode_responses=True)
        await asyncio.to_thread(self._sentinel.start, self._answers, 20)
        await until(self._sees_the_replica, "a replica that the Sentinel knows")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._asked.aclose()
        await asyncio.to_thread(self._sentinel.stop)
        for node in self.nodes:
            await node.end()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    async def _sees_the_replica(self) -> bool:
        found = await self._asked.execute_command("SENTINEL", "REPLICAS", "main")
        up = (await self.nodes[1].redis.info("replication"))["master_link_status"] == "up"
        return len(found) == 1 and up

    @property
    def url(self) -> str:
        """Of the Sentinel, and the primary's name."""
        return f"redis+sentinel://127.0.0.1:{self.port}/main/0"
