"""A real schema registry, Apicurio, from Maven Central; it runs on the Java of a pip package."""

import os
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from stream_rnn.errors import ConfigError, reason
from stream_rnn.local.kafka import find_java
from stream_rnn.local.maven import fetching
from stream_rnn.local.processes import free_port
from stream_rnn.local.server import LocalServer

VERSION = "3.3.3"
API = "/apis/ccompat/v7"
"""Path of the API that clients of Confluent use."""
REMEDY = (
    "its archive comes from Maven Central through the extra `demo` (pip install 'stream-rnn[demo]'); "
    "or name a running registry with --schema-registry-url"
)


class LocalRegistry(LocalServer):
    """One registry that keeps its schemas in memory: they are lost when it stops.

    Args:
        port: Port of the registry; ``None`` chooses a free one.
        properties: Properties of Apicurio, such as those of authentication and TLS.
        on_progress: Called with a line of text before a step that takes long.
    """

    name = "the registry"
    word = "registry"
    ready_within_s = 90.0
    grace_s = 10

    def __init__(
        self,
        port: int | None = None,
        properties: Mapping[str, str] | None = None,
        on_progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        super().__init__(port)
        self._management_port = free_port()
        self._properties = dict(properties or {})
        self._on_progress = on_progress

    @property
    def url(self) -> str:
        """URL for clients of Confluent."""
        return f"http://127.0.0.1:{self.port}{API}"

    def _command(self) -> list[str]:
        application = _unpack(self._on_progress)
        properties = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": str(self.port),
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": str(self._management_port),
            "quarkus.log.level": "WARN",
            **self._properties,
        }
        return [
            *(find_java(), "-Xmx384m", "-XX:TieredStopAtLevel=1"),
            *(f"-D{name}={value}" for name, value in properties.items()),
            *("-jar", str(application / "quarkus-run.jar")),
        ]

    def _is_ready(self) -> bool:
        address = f"http://127.0.0.1:{self._management_port}/health/ready"
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:  # a fixed URL
                return bool(answer.status == 200)
        except OSError:
            return False


def _unpack(on_progress: Callable[[str], None]) -> Path:
    """Return the directory of the application; the first call fetches it (158 MB)."""
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415  # only the extra `demo` has it
    except ImportError as error:
        raise ConfigError(f"no schema registry: {REMEDY}") from error
    on_progress("looking for the schema registry (158 MB are fetched the first time)")
    with fetching("the schema registry", REMEDY):
        project = MavenContext().project("io.apicurio", "apicurio-registry-app")
        artifact = project.at_version(VERSION).artifact(classifier="all", packaging="tar.gz")
        archive = Path(artifact.resolve())
    directory = archive.with_name(f"{archive.name}-unpacked")
    if not directory.exists():
        partial = Path(tempfile.mkdtemp(prefix="unpacking-", dir=archive.parent))
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(partial, filter="data")
            os.replace(partial, directory)  # noqa: PTH105  # as one step, for several processes
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            if not directory.exists():  # another process may have been faster
                raise ConfigError(f"cannot unpack {archive}: {reason(error)}") from error
    return directory
