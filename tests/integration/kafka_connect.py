"""A real Kafka Connect with Debezium's JDBC sink and Apicurio's converters, from Maven Central."""

import json
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import javaproperties

from stream_rnn.local.kafka import _jars as kafka_jars
from stream_rnn.local.kafka import find_java
from stream_rnn.local.maven import fetching
from stream_rnn.local.server import LocalServer

RUNTIME = "org.apache.kafka:connect-runtime:4.3.1+org.slf4j:slf4j-simple:1.7.36"
CONVERTERS = "io.apicurio:apicurio-registry-utils-converter:2.6.13.Final"
SINK = "3.6.0.Final"


class KafkaConnect(LocalServer):
    """One standalone worker of Kafka Connect; ``fetch`` comes before ``start``.

    Args:
        bootstrap_servers: Brokers.
        properties: Properties of the worker; paths, listeners and brokers are added.
        environment: Variables of its process.
    """

    name = "Kafka Connect"
    word = "connect"
    ready_within_s = 90.0
    grace_s = 20

    def __init__(self, bootstrap_servers, properties, environment) -> None:
        super().__init__()
        self._properties = {
            **properties,
            "bootstrap.servers": bootstrap_servers,
            "listeners": f"http://127.0.0.1:{self.port}",
            "plugin.path": str(self._directory / "plugins"),
            "offset.storage.file.filename": str(self._directory / "offsets"),
        }
        self._environment = environment
        self._jars: list[str] = []

    def fetch(self) -> None:
        """Fetch what the worker runs.

        Raises:
            ConfigError: Maven Central does not have it, or does not answer.
        """
        self._jars = _resolve(self._directory / "plugins")

    def _command(self) -> list[str]:
        config = self._directory / "worker.properties"
        config.write_text(javaproperties.dumps(self._properties, timestamp=None))
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        return [
            *("/usr/bin/env", *variables, find_java(), "-Xmx384m", "-XX:TieredStopAtLevel=1"),
            *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", os.pathsep.join(self._jars)),
            *("org.apache.kafka.connect.cli.ConnectStandalone", str(config)),
        ]

    def configure(self, name, config) -> None:
        """Create a connector."""
        self._request(f"/connectors/{name}/config", json.dumps(config).encode())

    def check(self, name) -> None:
        """Fail if a connector or one of its tasks has failed."""
        status = self._request(f"/connectors/{name}/status")
        failed = [one for one in [status["connector"], *status["tasks"]] if "trace" in one]
        assert not failed, "\n".join(one["trace"] for one in failed)

    def _is_ready(self) -> bool:
        try:
            return self._request("/connectors") == []
        except OSError:
            return False

    def _request(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
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
