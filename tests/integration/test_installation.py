"""What ``pip install stream-rnn`` gives, in a new virtual environment: a reader, without torch."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.cli import VERBS
from stream_rnn.errors import ConfigError
from stream_rnn.extras import MODULES
from tests.deployed import require_checkout
from tests.integration.predicted import written
from tests.pages import ROOT, read
from tests.shared_servers import skip_without

require_checkout()

pytestmark = pytest.mark.timeout(240)

MB_MAX = 80
NOT_OURS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
LOOK = """
import sys
from importlib.util import find_spec
from stream_rnn import Prediction, PredictionReader, Settings, StreamRNNError
print(*(name for name in {names!r} if find_spec(name) or name in sys.modules))
try:
    from stream_rnn import StreamRNN
except ImportError as error:
    print(error)
"""


def run(*words, timeout=50):
    """Run a program that sees no environment but its own."""
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment,
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the directory of a virtual environment with the package; it needs a registry."""
    root = tmp_path_factory.mktemp("installation")
    copy, made = root / "copy", root / "environment"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "stream_rnn", copy / "stream_rnn", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert run(sys.executable, "-m", "venv", made).returncode == 0
    done = run(made / "bin/pip", "install", "--quiet", copy, timeout=200)
    if done.returncode != 0:
        skip_without(ConfigError(f"pip install: {done.stderr}"))
    return made


def test_the_reader_comes_without_torch_and_is_small(environment):
    """It imports, nothing of an extra is there, and the size is what README says."""
    others = {"typing_extensions", "cramjam"}  # of pydantic and aiokafka, too
    names = sorted(set().union(*MODULES.values()) - others)
    assert {"torch", "numpy", "faust", "redis", "polars"} < {*names}
    looked = run(environment / "bin/python", "-c", LOOK.format(names=names))
    there, message = looked.stdout.splitlines()
    assert there == ""
    assert re.fullmatch(r"StreamRNN needs \w+, .*: pip install 'stream-rnn\[worker\]'", message)

    (packages,) = (environment / "lib").glob("python*/site-packages")
    ours = [path for path in packages.iterdir() if not path.name.startswith(NOT_OURS)]
    size = sum(on_disk(file) for path in ours for file in (path, *path.rglob("*"))) / 1e6
    assert size < MB_MAX
    (said,) = re.findall(r"`pip install \.` reads JSON: (\d+) MB", read("README.md"))
    assert size == pytest.approx(float(said), rel=0.15)


def on_disk(path: Path) -> int:
    """Return the bytes of the blocks that a file or a directory takes."""
    return path.stat().st_blocks * 512


def test_every_help_is_there_and_a_verb_names_its_extra(environment):
    """In one line, with the command that installs it; the status is 3: a person must act."""
    program = environment / "bin/stream-rnn"
    assert run(program, "--version").returncode == 0
    for verb in VERBS:
        shown = run(program, verb, "--help")
        assert shown.stdout.startswith(f"Usage: stream-rnn {verb}"), shown.stderr
    for extra, line in [
        ("worker", ["worker", "--app=a", "--source=s", "--predictions=p", "--bundle=b"]),
        ("train", ["train", "log.csv", "--spec=spec.toml", "--out=out"]),
        ("train", ["evaluate", "log.csv", "--bundle=bundle"]),
    ]:
        done = run(program, *line)
        assert done.returncode == 3
        assert re.fullmatch(
            rf"stream-rnn: {line[0]} needs \w+, which is not installed: "
            rf"pip install 'stream-rnn\[{extra}\]'\n",
            done.stderr,
        )
        assert done.stdout == ""


async def test_tail_reads_every_codec_of_a_real_kafka(
    environment, app_id, bootstrap_servers, create_topic
):
    """A producer may have compressed what it publishes by any of them."""
    topic = await create_topic(f"{app_id}-predictions", 1)
    codecs = ("gzip", "lz4", "snappy", "zstd")
    messages = written(app_id, [*range(len(codecs))])
    for codec, (key, value, headers) in zip(codecs, messages, strict=True):
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, compression_type=codec)
        async with producer:
            await producer.send_and_wait(topic, value, key=key, headers=headers)
    done = run(
        *(environment / "bin/stream-rnn", "tail", topic, "--from-beginning", "--json"),
        *("--max", len(codecs), "--bootstrap-servers", bootstrap_servers),
    )
    assert done.stdout.encode().splitlines() == [value for _, value, _ in messages], done.stderr
