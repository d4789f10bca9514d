"""The servers that faults can hit: brokers and Redis, with a proxy in front of each."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

from redis import Redis as BlockingRedis
from redis import RedisCluster as BlockingCluster
from redis.exceptions import RedisError

from stream_rnn.local.kafka import LocalKafka
from stream_rnn.local.processes import free_port
from stream_rnn.local.redis import LocalRedis
from tests.chaos.proxy import Proxy
from tests.chaos.writers import Writers
from tests.integration.redis_kinds import PRIMARIES, Cluster
from tests.registry_server import RegistryServer

BACKUP_EVERY_S = 2.5
BACKUPS = 8


class Broker(LocalKafka):
    """A broker that is also a controller; workers reach it through a proxy.

    Args:
        node: Number of the broker, from 1.
        proxied: Port that the broker advertises to clients of the proxied listener.
        controllers: Ports of all controllers.
        cluster_id: Id of the cluster, the same for all brokers.
    """

    def __init__(self, node: int, proxied: int, controllers: list[int], cluster_id: str) -> None:
        super().__init__(heap_mb=384)
        self._node = node
        self.behind = free_port()  # the proxy connects to this port
        self._proxied = proxied
        self._controllers = controllers
        self.cluster_id = cluster_id

    def _properties_of(self) -> dict[str, str]:
        nodes = len(self._controllers)
        here = "127.0.0.1"
        voters = [f"{i}@{here}:{port}" for i, port in enumerate(self._controllers, 1)]
        control = f"CONTROLLER://{here}:{self._controllers[self._node - 1]}"
        own = f"PLAINTEXT://{here}:{self.port}"
        properties = {
            "node.id": str(self._node),
            "listeners": f"{own},PROXIED://{here}:{self.behind},{control}",
            "advertised.listeners": f"{own},PROXIED://{here}:{self._proxied}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "group.min.session.timeout.ms": "1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        }
        if nodes > 1:
            properties |= {
                "controller.quorum.voters": ",".join(voters),
                "controller.quorum.bootstrap.servers": "",
                "offsets.topic.replication.factor": "3",
                "transaction.state.log.replication.factor": "3",
                "transaction.state.log.min.isr": "2",
                "min.insync.replicas": "2",
                "default.replication.factor": "3",
                # A killed broker restarts with its old data; the other brokers have more.
                "unclean.leader.election.enable": "false",
            }
        return properties

    def _config(self) -> str:
        self._properties = self._properties_of()
        lines = super()._config().splitlines()
        return "\n".join(line for line in lines if not line.endswith("=")) + "\n"

    def _format_options(self) -> list[str]:
        alone = ["--standalone"] if len(self._controllers) == 1 else []
        return [*alone, f"--cluster-id={self.cluster_id}"]

    def pause(self, number: int) -> None:
        """Send SIGSTOP or SIGCONT to the broker."""
        os.kill(self._process.pid, number)


class Servers:
    """All servers of an episode, as an async context manager.

    Args:
        brokers: Number of brokers, 1 or 3.
        own_kafka: Address of a Kafka of the user, which no fault touches; empty to start one.
        own_redis: URL of a Redis of the user, of which faults touch only the fold's keys; empty to
            start one.
        replication: Replication of topics on a Kafka of the user.
        on_cluster: Whether Redis is a cluster of three primaries, each with a replica, without a
            proxy.
    """

    def __init__(
        self,
        brokers: int = 1,
        own_kafka: str = "",
        own_redis: str = "",
        replication: int = 1,
        *,
        on_cluster: bool = False,
    ) -> None:
        self.cluster = Cluster(replicas=PRIMARIES) if on_cluster else None
        self.count = brokers
        self.replication = replication if own_kafka else brokers
        self.own_kafka = own_kafka
        self.own_redis = own_redis
        self.brokers: list[Broker] = []
        self.kafka_proxies: list[Proxy] = []
        self.redis: LocalRedis | None = None
        self.redis_proxy: Proxy | None = None
        self.registry = RegistryServer()
        self.writers = Writers(self.registry)
        self._backups: list[tuple[float, Path]] = []
        self._backup_task: asyncio.Task | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="stream-rnn-chaos-"))
        self._redis_directory = self._directory / "redis"
        self._old: list[LocalRedis] = []
        self.is_backing_up = True

    async def __aenter__(self) -> Self:
        self.registry.start()
        if not self.own_kafka:
            await self._start_brokers()
        if self.cluster is not None:
            await self.cluster.__aenter__()
            for number in range(PRIMARIES):
                await self.cluster.replicate(number, by=PRIMARIES + number)
        elif not self.own_redis:
            self.redis = LocalRedis(data=self._redis_directory)
            await asyncio.to_thread(self.redis.start)
            self.redis_proxy = await Proxy(("127.0.0.1", self.redis.port), free_port()).start()
            self._backup_task = asyncio.create_task(self._back_up())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._backup_task is not None:
            self._backup_task.cancel()
        await asyncio.to_thread(self.registry.stop)
        if self.cluster is not None:
            await self.cluster.__aexit__()
        for proxy in (*self.kafka_proxies, *([self.redis_proxy] if self.redis_proxy else [])):
            await proxy.stop()
        for server in (*self.brokers, *self._old, *([self.redis] if self.redis else [])):
            await asyncio.to_thread(server.stop)
            server.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _start_brokers(self) -> None:
        controllers = [free_port() for _ in range(self.count)]
        cluster_id = "c" + os.urandom(16).hex()[:21]
        for node in range(1, self.count + 1):
            proxied = free_port()
            broker = Broker(node, proxied, controllers, cluster_id)
            self.brokers.append(broker)
            self.kafka_proxies.append(await Proxy(("127.0.0.1", broker.behind), proxied).start())
        await asyncio.gather(*(asyncio.to_thread(broker.start) for broker in self.brokers))

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of Kafka for the driver, without the proxies."""
        return self.own_kafka or ",".join(broker.bootstrap_servers for broker in self.brokers)

    @property
    def proxied_kafka(self) -> str:
        """Addresses of Kafka for the workers."""
        return self.own_kafka or ",".join(f"127.0.0.1:{p.port}" for p in self.kafka_proxies)

    @property
    def redis_url(self) -> str:
        """URL of Redis for the driver, without the proxy."""
        if self.cluster is not None:
            return self.cluster.url
        return self.own_redis or f"redis://127.0.0.1:{self.redis_proxy.upstream[1]}/0"

    @property
    def proxied_redis(self) -> str:
        """URL of Redis for the workers."""
        if self.cluster is not None:
            return self.cluster.url
        return self.own_redis or f"redis://127.0.0.1:{self.redis_proxy.port}/0"

    def connect(self) -> BlockingRedis | BlockingCluster:
        """Return a client of Redis that bypasses the proxy."""
        if self.cluster is not None:
            return BlockingCluster(host="127.0.0.1", port=self.cluster.nodes[0].port)
        return BlockingRedis.from_url(self.redis_url, socket_timeout=30)

    def ask_redis(self, *command: str | bytes | int) -> object:
        """Send one command to Redis, without the proxy."""
        with BlockingRedis.from_url(self.redis_url, socket_timeout=5) as client:
            return client.execute_command(*command)

    # --- Redis ---------------------------------------------------------------------------------

    @property
    def _dump(self) -> Path:
        return self._redis_directory / "dump.rdb"

    async def _back_up(self) -> None:
        """Keep copies of the RDB file from the last seconds."""
        while True:
            await asyncio.sleep(BACKUP_EVERY_S)
            if self.is_backing_up:
                await asyncio.to_thread(self._back_up_once)

    def _back_up_once(self) -> None:
        try:
            self.ask_redis("SAVE")
        except RedisError:  # a fault has stopped Redis
            return
        copy = self._directory / f"{time.monotonic():.3f}.rdb"
        shutil.copyfile(self._dump, copy)
        self._backups.append((time.monotonic(), copy))
        while len(self._backups) > BACKUPS:
            self._backups.pop(0)[1].unlink(missing_ok=True)

    def forget_backups(self) -> None:
        """Delete the copies, which are too old to restore."""
        while self._backups:
            self._backups.pop()[1].unlink(missing_ok=True)

    async def stop_redis(self, data: str) -> str:
        """Kill Redis; leave its data ``kept``, ``tail-lost``, ``old`` or ``nothing``."""
        self.is_backing_up = False
        if data == "kept":
            await asyncio.to_thread(self.ask_redis, "SAVE")
        await asyncio.to_thread(self.redis.kill)
        if data == "nothing":
            self._dump.unlink(missing_ok=True)
        if data == "old" and self._backups:
            taken, copy = min(
                self._backups, key=lambda backup: abs(time.monotonic() - 10 - backup[0])
            )
            shutil.copyfile(copy, self._dump)
            return f"old by {time.monotonic() - taken:.1f} s"
        return data

    async def start_redis(self) -> None:
        """Start Redis again."""
        await asyncio.to_thread(self.redis.start)
        self.is_backing_up = True

    async def promote(self, lag_s: float, *, by_name=False) -> None:
        """Attach a replica, let it lag, and connect the proxy to it.

        Args:
            lag_s: Seconds of writes that the replica misses.
            by_name: Whether the old primary continues as a replica and keeps its connections, as in
                a failover behind a DNS name. Otherwise it is killed.
        """
        directory = self._directory / f"redis-{time.monotonic():.0f}"
        arguments = ["--replicaof", "127.0.0.1", str(self.redis.port)]
        replica = LocalRedis(data=directory, arguments=arguments)
        await asyncio.to_thread(replica.start)
        replica._arguments.clear()  # so that it starts as a primary next time
        with BlockingRedis.from_url(replica.redis_url, socket_timeout=5) as client:
            async with asyncio.timeout(30):
                while client.info("replication")["master_link_status"] != "up":
                    await asyncio.sleep(0.1)
            # From here on the replica receives nothing more from the primary.
            client.execute_command("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(lag_s)
        if by_name:
            await asyncio.to_thread(self.ask_redis, "REPLICAOF", "127.0.0.1", replica.port)
            self.redis_proxy.upstream = ("127.0.0.1", replica.port)
            self._old.append(self.redis)
        else:
            await asyncio.to_thread(self.redis.kill)
            self.redis_proxy.upstream = ("127.0.0.1", replica.port)
            self.redis_proxy.cut()
        self.redis, self._redis_directory = replica, directory
