"""Who runs in the speed bench: the worker, and what people would write or take instead."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.peers.export import export

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).with_name("peers")
QUIX_PYTHON = "STREAM_RNN_BENCH_QUIX_PYTHON"
BUILD_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender runs.

    Attributes:
        bootstrap_servers: of Kafka.
        redis_url: of Redis.
        source: topic of the events.
        output: topic of what it says.
        app: a name that nobody else has.
        bundle: directory of the model.
        directory: for whatever it writes.
    """

    bootstrap_servers: str
    redis_url: str
    source: str
    output: str
    app: str
    bundle: Path
    directory: Path


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to answer each event.

    Attributes:
        name: in tables.
        does: in a few words.
        command: what is run.
        missing: why it cannot run here; empty if it can.
        version: of what it is made of.
        prints: whether it says on standard output how far it is, since it publishes nothing.
    """

    name: str
    does: str
    command: Callable[[Place], list[str]]
    missing: Callable[[], str]
    version: Callable[[], str]
    prints: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Variables of its processes: one core for torch, and where the code is."""
        return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def worker(place: Place, *more: str) -> list[str]:
    """Return the command of a worker."""
    options = {
        "app": place.app,
        "source": place.source,
        "predictions": place.output,
        "bundle": place.bundle,
        "bootstrap-servers": place.bootstrap_servers,
        "redis-url": place.redis_url,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "stream_rnn.cli", "worker", *words, *more]


def _python(name: str, place: Place, *more: str) -> list[str]:
    shared = (place.bootstrap_servers, place.source, place.output, place.app)
    return [sys.executable, "-m", f"tests.bench.peers.{name}", *shared, *more]


def _faust_step(place: Place) -> list[str]:
    return _python(
        "faust_step", place, str(place.bundle), place.redis_url, str(place.directory / "faust")
    )


def _faust_count(place: Place) -> list[str]:
    return _python("faust_count", place, str(place.directory / "faust"))


def _quix(place: Place) -> list[str]:
    command = _python("quix_step", place, str(place.bundle), str(place.directory / "quix"))
    return [_quix_python(), *command[1:]]


def _quix_python() -> str:
    return os.environ.get(QUIX_PYTHON, sys.executable)


def _quix_missing() -> str:
    asked = subprocess.run(
        [_quix_python(), "-c", "import quixstreams, stream_rnn"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if asked.returncode == 0:
        return ""
    return f"no quixstreams; {QUIX_PYTHON} may name a Python that has it beside stream_rnn"


def _quix_version() -> str:
    asked = [_quix_python(), "-c", "import quixstreams; print(quixstreams.__version__)"]
    return f"Quix Streams {subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()}"


def _kstreams(place: Place, cell: str, guarantee: str = "exactly_once_v2") -> list[str]:
    built, models = build_kstreams(), place.directory / "models"
    try:
        export(place.bundle, models)
    except ImportError:
        assert cell != "onnx", "missing() says so"
    libraries = os.pathsep.join(
        [str(built / "target" / "kstreams-1.jar"), str(built / "lib" / "*")]
    )
    shared = (place.bootstrap_servers, place.source, place.output, place.app)
    options = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", libraries, "bench.Peer"]
    return [
        "java",
        *options,
        *shared,
        str(models),
        cell,
        str(place.directory / "stores"),
        guarantee,
    ]


def _kstreams_missing(cell: str) -> str:
    for program in ("javac", "mvn"):
        if shutil.which(program) is None:
            return f"no {program} on the path; it needs a JDK of 17 or later and Maven"
    if cell == "onnx" and importlib.util.find_spec("onnx") is None:
        return "no onnx; pip install 'stream-rnn[bench]'"
    return ""


@cache
def build_kstreams() -> Path:
    """Build the Java peers once; return the directory with ``target`` and ``lib``."""
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    directory = cache_home / "stream-rnn-bench" / "kstreams"
    sources = PEERS / "kstreams"
    newest = max(file.stat().st_mtime for file in sources.rglob("*") if file.is_file())
    jar = directory / "target" / "kstreams-1.jar"
    if not jar.exists() or jar.stat().st_mtime < newest:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(sources, directory)
        goals = ["package", "dependency:copy-dependencies", "-DoutputDirectory=lib"]
        done = subprocess.run(
            ["mvn", "-q", "-B", *goals],
            cwd=directory,
            # A local Kafka has set JAVA_HOME to a runtime without a compiler.
            env={**os.environ, "JAVA_HOME": str(_jdk())},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_WITHIN_S,
        )
        if done.returncode:
            raise RuntimeError(f"mvn failed in {directory}:\n{done.stdout[-2000:]}")
    return directory


def _jdk() -> Path:
    compiler = shutil.which("javac")
    assert compiler is not None, "missing() says so"
    return Path(compiler).resolve().parent.parent


def _of(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _nothing() -> str:
    return ""


WORKER = Contender(
    "stream_rnn exactly_once",
    "the worker, a transaction per micro-batch",
    worker,
    _nothing,
    lambda: _of("stream-rnn"),
)
AT_LEAST_ONCE = Contender(
    "stream_rnn at_least_once",
    "the worker, acknowledged before the offset moves",
    lambda place: worker(place, "--delivery=at_least_once"),
    _nothing,
    lambda: _of("stream-rnn"),
)
COPY = Contender(
    "bare aiokafka",
    "consume and produce the same bytes, no step, no state",
    lambda place: _python("aiokafka_copy", place),
    _nothing,
    lambda: _of("aiokafka"),
)
COUNT = Contender(
    "Faust agent, counts",
    "a plain agent that counts by key, publishes nothing",
    _faust_count,
    _nothing,
    lambda: _of("faust-streaming"),
    prints=True,
)
CONTENDERS = (
    WORKER,
    AT_LEAST_ONCE,
    COPY,
    COUNT,
    Contender(
        "Faust agent, steps",
        "a plain agent: Redis GET, torch, Redis SET, send, event by event",
        _faust_step,
        _nothing,
        lambda: _of("faust-streaming"),
    ),
    Contender(
        "Quix Streams + torch",
        "exactly-once, state in RocksDB and a changelog",
        _quix,
        _quix_missing,
        _quix_version,
    ),
    Contender(
        "Kafka Streams + ONNX Runtime",
        "exactly_once_v2, one thread, store with cache and changelog",
        lambda place: _kstreams(place, "onnx"),
        lambda: _kstreams_missing("onnx"),
        lambda: "Kafka Streams 4.3.1, ONNX Runtime 1.22.0",
    ),
    Contender(
        "Kafka Streams + GRU by hand",
        "the same, the GRU written in Java",
        lambda place: _kstreams(place, "java"),
        lambda: _kstreams_missing("java"),
        lambda: "Kafka Streams 4.3.1",
    ),
)
