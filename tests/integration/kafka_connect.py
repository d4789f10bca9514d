"""A real Kafka Connect with Debezium's JDBC sink and Apicurio's converters, from Maven Central."""

import json
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import javaproperties

from stream_rnn.local.kafka import _jars as kafka_jars
from stream_rnn.local.kafka import find_java
from stream_rnn.local.maven import fetching
from stream_rnn.local.processes import ServerProcess, free_port

RUNTIME = "org.apache.kafka:connect-runtime:4.3.1+org.slf4j:slf4j-simple:1.7.36"
CONVERTERS = "io.apicurio:apicurio-registry-utils-converter:2.6.13.Final"
SINK = "3.6.0.Final"
READY_WITHIN_S = 90.0


class KafkaConnect:
    """One standalone worker of Kafka Connect; also a context manager.

    Args:
        bootstrap_servers: Brokers.
        properties: Properties of the worker; paths, listeners and brokers are added.
        environment: Variables of its process.
    """

    def __init__(self, bootstrap_servers, properties, environment) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="stream-rnn-connect-"))
        self._port = free_port()
        self._properties = {
            **properties,
            "bootstrap.servers": bootstrap_servers,
            "listeners": f"http://127.0.0.1:{self._port}",
            "plugin.path": str(self._directory / "plugins"),
            "offset.storage.file.filename": str(self._directory / "offsets"),
        }
        self._environment = environment
        self._process = None
        self._jars: list[str] = []

    def fetch(self) -> None:
        """Fetch what the worker runs.

        Raises:
            ConfigError: Maven Central does not have it, or does not answer.
        """
        self._jars = _resolve(self._directory / "plugins")

    def start(self) -> None:
        """Start the fetched worker, which has no connector then."""
        config = self._directory / "worker.properties"
        config.write_text(javaproperties.dumps(self._properties, timestamp=None))
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        command = [
            *("/usr/bin/env", *variables, find_java(), "-Xmx384m", "-XX:TieredStopAtLevel=1"),
            *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", os.pathsep.join(self._jars)),
            *("org.apache.kafka.connect.cli.ConnectStandalone", str(config)),
        ]
        log = self._directory / "connect.log"
        self._process = ServerProcess("Kafka Connect", command, log, 20, self._directory)
        self._process.start(self._is_ready, READY_WITHIN_S)

    def configure(self, name, config) -> None:
        """Create a connector."""
        self._request(f"/connectors/{name}/config", json.dumps(config).encode())

    def check(self, name) -> None:
        """Fail if a connector or one of its tasks has failed."""
        status = self._request(f"/connectors/{name}/status")
        failed = [one for one in [status["connector"], *status["tasks"]] if "trace" in one]
        assert not failed, "\n".join(one["trace"] for one in failed)

    def kill(self) -> None:
        """Kill the worker by SIGKILL."""
        self._process.kill()

    def close(self) -> None:
        """Stop the worker and remove its files."""
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _is_ready(self) -> bool:
        try:
            return self._request("/connectors") == []
        except OSError:
            return False

    def _request(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=body,
            method="GET" if body is None else "PUT",
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode())
            raise


def _resolve(plugins) -> list[str]:
    """Put the plugins into a directory, and return the class path of a worker.

    The first call fetches 120 MB.

    Raises:
        ConfigError: Maven Central does not have them, or does not answer.
    """
    kafka_jars(lambda _line: None)  # it sets JAVA_HOME, which jgo needs
    import jgo
    from jgo.maven import MavenContext

    with fetching("Kafka Connect", "check the connection to Maven Central"):
        worker = [str(jar) for jar in jgo.build(RUNTIME).all_jars]
        converters = [Path(jar) for jar in jgo.build(CONVERTERS).all_jars]
        project = MavenContext().project("io.debezium", "debezium-connector-jdbc")
        sink = project.at_version(SINK).artifact(classifier="plugin", packaging="tar.gz")
        archive = Path(sink.resolve())
    if not plugins.exists():
        (plugins / "converters").mkdir(parents=True)
        for jar in converters:
            (plugins / "converters" / jar.name).symlink_to(jar)
        with tarfile.open(archive) as packed:
            packed.extractall(plugins, filter="data")
    return worker
