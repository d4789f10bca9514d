"""The contenders of the speed benchmarks: the worker, and the alternatives to it."""

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
class RunOptions:
    """Options of one run of a contender.

    Attributes:
        bootstrap_servers: Addresses of Kafka.
        redis_url: URL of Redis.
        source: Topic of events.
        output: Topic of predictions.
        app: Unique name of the run.
        bundle: Directory of the bundle.
        directory: Directory for files of the contender.
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
    """A program that processes the events of the source.

    Attributes:
        name: Name in tables.
        description: Description in a few words.
        command: Function that returns the command line.
        reason_missing: Function that returns why the contender cannot run here; empty if it can.
        version: Function that returns the versions of its libraries.
        is_counter: Whether it prints its number of events instead of publishing predictions.
    """

    name: str
    description: str
    command: Callable[[RunOptions], list[str]]
    reason_missing: Callable[[], str]
    version: Callable[[], str]
    is_counter: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its processes: one thread for torch, and the path of the code."""
        return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def worker(run_options: RunOptions, *more: str) -> list[str]:
    """Return the command of a worker."""
    options = {
        "app": run_options.app,
        "source": run_options.source,
        "predictions": run_options.output,
        "bundle": run_options.bundle,
        "bootstrap-servers": run_options.bootstrap_servers,
        "redis-url": run_options.redis_url,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "stream_rnn.cli", "worker", *words, *more]


def _python(name: str, run_options: RunOptions, *more: str) -> list[str]:
    common_options = (
        run_options.bootstrap_servers,
        run_options.source,
        run_options.output,
        run_options.app,
    )
    return [sys.executable, "-m", f"tests.bench.peers.{name}", *common_options, *more]


def _faust_step(run_options: RunOptions) -> list[str]:
    return _python(
        "faust_step",
        run_options,
        str(run_options.bundle),
        run_options.redis_url,
        str(run_options.directory / "faust"),
    )


def _faust_count(run_options: RunOptions) -> list[str]:
    return _python("faust_count", run_options, str(run_options.directory / "faust"))


def _quix(run_options: RunOptions) -> list[str]:
    command = _python(
        "quix_step", run_options, str(run_options.bundle), str(run_options.directory / "quix")
    )
    return [_quix_python(), *command[1:]]


def _quix_python() -> str:
    return os.environ.get(QUIX_PYTHON, sys.executable)


def _quix_missing() -> str:
    process = subprocess.run(
        [_quix_python(), "-c", "import quixstreams, stream_rnn"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if process.returncode == 0:
        return ""
    return f"no quixstreams: set {QUIX_PYTHON} to a Python that has quixstreams and stream_rnn"


def _quix_version() -> str:
    command = [_quix_python(), "-c", "import quixstreams; print(quixstreams.__version__)"]
    return f"Quix Streams {subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}"


def _kstreams(run_options: RunOptions, cell: str, guarantee: str = "exactly_once_v2") -> list[str]:
    built, models = build_kstreams(), run_options.directory / "models"
    try:
        export(run_options.bundle, models)
    except ImportError:
        assert cell != "onnx", "reason_missing() checks this"
    libraries = os.pathsep.join(
        [str(built / "target" / "kstreams-1.jar"), str(built / "lib" / "*")]
    )
    common_options = (
        run_options.bootstrap_servers,
        run_options.source,
        run_options.output,
        run_options.app,
    )
    options = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", libraries, "bench.Peer"]
    return [
        "java",
        *options,
        *common_options,
        str(models),
        cell,
        str(run_options.directory / "stores"),
        guarantee,
    ]


def _kstreams_missing(cell: str) -> str:
    for program in ("javac", "mvn"):
        if shutil.which(program) is None:
            return f"no {program} on the PATH: install a JDK of 17 or later, and Maven"
    if cell == "onnx" and importlib.util.find_spec("onnx") is None:
        return "no onnx: pip install 'stream-rnn[bench]'"
    return ""


@cache
def build_kstreams() -> Path:
    """Build the Java contenders once; return the directory with ``target`` and ``lib``."""
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
            # The local Kafka sets JAVA_HOME to a runtime without a compiler.
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
    assert compiler is not None, "reason_missing() checks this"
    return Path(compiler).resolve().parent.parent


def _package_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return package


def _never_missing() -> str:
    return ""


WORKER = Contender(
    "stream_rnn exactly_once",
    "the worker, a transaction per micro-batch",
    worker,
    _never_missing,
    lambda: _package_version("stream-rnn"),
)
AT_LEAST_ONCE = Contender(
    "stream_rnn at_least_once",
    "the worker, with acknowledged predictions before each commit of the offset",
    lambda run_options: worker(run_options, "--delivery=at_least_once"),
    _never_missing,
    lambda: _package_version("stream-rnn"),
)
COPY = Contender(
    "bare aiokafka",
    "a copy of the same bytes, without step and state",
    lambda run_options: _python("aiokafka_copy", run_options),
    _never_missing,
    lambda: _package_version("aiokafka"),
)
COUNT = Contender(
    "Faust agent, counts",
    "a plain agent that counts events by key and publishes nothing",
    _faust_count,
    _never_missing,
    lambda: _package_version("faust-streaming"),
    is_counter=True,
)
CONTENDERS = (
    WORKER,
    AT_LEAST_ONCE,
    COPY,
    COUNT,
    Contender(
        "Faust agent, steps",
        "a plain agent: for each event Redis GET, torch, Redis SET, send",
        _faust_step,
        _never_missing,
        lambda: _package_version("faust-streaming"),
    ),
    Contender(
        "Quix Streams + torch",
        "exactly-once, with states in RocksDB and a changelog",
        _quix,
        _quix_missing,
        _quix_version,
    ),
    Contender(
        "Kafka Streams + ONNX Runtime",
        "exactly_once_v2, one thread, a store with cache and changelog",
        lambda run_options: _kstreams(run_options, "onnx"),
        lambda: _kstreams_missing("onnx"),
        lambda: "Kafka Streams 4.3.1, ONNX Runtime 1.22.0",
    ),
    Contender(
        "Kafka Streams + GRU by hand",
        "exactly_once_v2, with the GRU written in Java",
        lambda run_options: _kstreams(run_options, "java"),
        lambda: _kstreams_missing("java"),
        lambda: "Kafka Streams 4.3.1",
    ),
)
