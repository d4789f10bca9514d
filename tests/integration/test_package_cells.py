"""Cells that are classes on real servers: one of an installed package, and those of this package."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest

from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.package_cells.spec import PackageCell
from tests.forked import FreshWorker
from tests.integration.started_workers import fold_all
from tests.integration.streams import Stream, mixed_records, run
from tests.pages import ROOT
from tests.pinned_cells import drawn_model

pytestmark = pytest.mark.timeout(300)


def program(*words):
    """Run a program; its output is shown if it fails."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def environment(tmp_path):
    """Make an environment with the toy package; it takes what this package needs from this one."""
    made = tmp_path / "environment"
    program(sys.executable, "-m", "venv", made)
    (packages,) = (made / "lib").glob("python*/site-packages")
    others = [ROOT, *(path for path in sys.path if path.endswith("-packages"))]
    (packages / "others.pth").write_text("\n".join(map(str, others)))
    shutil.copytree(ROOT / "tests" / "toy_cells", tmp_path / "toy")
    options = ("--quiet", "--no-index", "--no-deps")
    build = (
        *options,
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
    )  # a venv's setuptools is old
    program(sys.executable, "-m", "pip", "wheel", *build, tmp_path / "toy")
    (wheel,) = tmp_path.glob("acme_cells-*.whl")
    program(made / "bin/python", "-m", "pip", "install", *options, wheel)
    return made


async def test_a_worker_serves_a_cell_of_an_installed_package(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, environment, monkeypatch
):
    """And an environment without it refuses the bundle with status 3."""
    (packages,) = (environment / "lib").glob("python*/site-packages")
    with monkeypatch.context() as here:
        here.syspath_prepend(packages)  # for the oracle
        save_bundle(drawn_model(PackageCell.of("acme_mean", {"hidden": 16})), tmp_path / "bundle")
        stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
        assert stream.model.cell.package == ("acme-cells", "1.0.0")
        await create_topic(stream.settings.source, 2)
        await stream.produce(mixed_records(200, seed=3))
        with monkeypatch.context() as there:
            there.setattr(sys, "executable", str(environment / "bin/python"))
            worker = FreshWorker("worker", stream.options(), tmp_path)
        await stream.until_published(worker=worker)
        assert await asyncio.to_thread(worker.stop) == 0
        assert await stream.compare() > 100
        audited = await stream.audit()
        assert (audited["missing"], audited["different"]) == (0, 0)
        assert audited["fold"] == stream.fold_id
    sys.modules.pop("acme_cells")

    shown = await run("bundle", "show", str(stream.bundle), status=3)
    assert "pip install acme-cells==1.0.0" in shown
    refused = FreshWorker("refused", stream.options(), tmp_path)
    while refused.is_alive:
        await asyncio.sleep(0.1)
    assert refused.exit_status == 3
    assert "pip install acme-cells==1.0.0" in (tmp_path / "refused.log").read_text()


@pytest.mark.parametrize("kind", ["mingru", "rg_lru", "decay_gru"])
async def test_a_trained_class_is_served_and_read_by_every_verb(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, kind
):
    """Train, evaluate, trace, worker, replay and audit by command line."""
    log, spec, out = tmp_path / "log.jsonl", tmp_path / "spec.toml", str(tmp_path / "bundle")
    rows = [
        {
            "key": key.decode(),
            "at": 1_700_000_000 + 37 * n * n,
            "x": value["x"],
            "kind": value["kind"],
        }
        for n, (key, value) in enumerate(mixed_records(240, seed=5))
        if key in (b"a", b"b", b"c") and isinstance(value, dict) and len(value) == 3
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec.write_text(SPEC)
    sizes = ("--hidden", "16", "--epochs", "2", "--seed", "3", "--json")
    done = await run("train", str(log), "--spec", str(spec), "--out", out, "--cell", kind, *sizes)
    assert json.loads(done)["cell"]["config"]["hidden"] == 16
    assert f"{kind}, hidden 16" in await run("evaluate", str(log), "--bundle", out)
    traced = json.loads(await run("trace", str(log), "a", "--bundle", out, "--json"))
    steps = traced["steps"]
    assert set(steps[0]["gates"]) == {"mingru": {"z", "n"}, "rg_lru": {"a", "i"}}.get(kind, {"d"})
    assert len(steps[0]["memory"]["h"][0]) == 16
    picture = tmp_path / "a.svg"
    assert kind in await run("trace", str(log), "a", "--bundle", out, "--picture", str(picture))
    assert "hidden state" in picture.read_text()

    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    assert await fold_all(stream, [(row["key"].encode(), row) for row in rows]) == len(rows)
    assert len(await stream.replay()) == len(rows)
    audited = await stream.audit()
    assert (audited["missing"], audited["different"]) == (0, 0)


SPEC = """
format = 1
name = "small"
event = {key = ["key"], time = {path = "at", unit = "s"}}
features = [
    {name = "x", kind = "numeric", path = "x"},
    {name = "since", kind = "since_previous"},
]
heads = [{name = "big", kind = "binary", path = "x", of = "next", above = 0.0}]
"""
