"""The image's steps make a worker: taken in an empty directory, with the steps of the Dockerfile."""

import asyncio
import re
import signal
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stream_rnn.local.processes import free_port
from tests.deployed import read, require_checkout, sent
from tests.integration.dockerfile import Image, unreadable

require_checkout()

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Return what the Dockerfile's steps made."""
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made


def test_the_image_holds_the_package_and_a_bundle_that_all_may_read(image):
    """What runs is the wheel's; what is not sent to the engine is not in it."""
    (package,) = (image.root / "opt/stream-rnn/lib").glob("python*/site-packages/stream_rnn")
    assert (package / "store/commit.lua").is_file()
    assert (image.root / "bundles/delay/bundle.json").is_file()
    assert unreadable(image.root / "bundles") == unreadable(package) == []
    there = {path.name for path in (image.root / "src").iterdir()} - {"build"}
    assert there - {"stream_rnn.egg-info"} == set(sent(read("Dockerfile.dockerignore")))


async def test_the_image_runs_a_worker_that_answers_its_probe(
    image, app_id, bootstrap_servers, redis_url, create_topic
):
    """The health check fails before the worker is there, holds while it runs; SIGTERM ends it with 0."""
    await create_topic(f"{app_id}-in", 2)
    port = free_port()
    environment = image.environment | {
        "STREAM_RNN_APP": app_id,
        "STREAM_RNN_SOURCE": f"{app_id}-in",
        "STREAM_RNN_PREDICTIONS": f"{app_id}-out",
        "STREAM_RNN_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STREAM_RNN_REDIS_URL": redis_url,
        "STREAM_RNN_HEALTH_ADDRESS": f"127.0.0.1:{port}",
    }

    async def run(words):
        return await asyncio.create_subprocess_exec(
            *words,
            env=environment,
            cwd=image.root / "tmp",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    assert await (await run(image.probe)).wait() != 0
    worker = await run(image.command)
    try:
        async with asyncio.timeout(60):
            while await (await run(image.probe)).wait() != 0:
                assert worker.returncode is None
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
    assert [path.name for path in (image.root / "tmp").iterdir() if path.suffix == ".py"] == []


def needed(name: str, seen: set[str]) -> set[str]:
    """Return a distribution and all that it needs on this machine, but for what a GPU needs."""
    if name in seen or name.startswith(("nvidia-", "cuda-", "triton")):
        return seen
    seen.add(name)
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        extra = "worker" if name == "stream-rnn" else ""
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            needed(canonicalize_name(requirement.name), seen)
    return seen


def test_the_image_is_as_large_as_the_run_book_says():
    """Within a tenth: the files of all that is installed, without CUDA's libraries."""
    (said,) = re.findall(r"([\d.]+) GB of packages", read("README.md"))
    size = sum(
        path.stat().st_size
        for name in needed("stream-rnn", set())
        for path in (file.locate() for file in metadata.files(name) or ())
        if path.is_file() and not re.search(r"_cuda|nvshmem|nvrtc", path.name)
    )
    assert size / 1e9 == pytest.approx(float(said), rel=0.1)
