"""A network that plain torch has trained, served by a worker and read by every verb."""

import json

import numpy as np
import pytest

from tests import plain_networks
from tests.integration.started_workers import fold_all
from tests.integration.streams import Stream, run

pytestmark = pytest.mark.timeout(240)


async def imported(folder) -> None:
    """Import the network of a directory by command line."""
    options = {
        "spec": "spec.toml",
        "weights": "weights.pt",
        "check": "reference.npz",
        "out": "bundle",
    }
    words = [f"--{name}={folder / file}" for name, file in options.items()]
    assert "are those of your own code" in await run("bundle", "import", *words)


@pytest.mark.parametrize(("kind", "hidden"), [("GRU", 50), ("LSTM", 5), ("RNN", 100)])
async def test_a_worker_publishes_the_outputs_of_the_network(
    app_id, bootstrap_servers, redis_url, create_topic, tmp_path, kind, hidden
):
    """At every step of every key; replay and audit agree bit for bit."""
    network = plain_networks.write(tmp_path, kind, hidden)
    await imported(tmp_path)
    rows = plain_networks.events(6, 40, seed=9)
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    assert await fold_all(stream, [(row["plane"].encode(), row) for row in rows]) == len(rows)

    expected = plain_networks.outputs(network, rows)
    for plane in sorted({row["plane"] for row in rows}):
        at = [i for i, row in enumerate(rows) if row["plane"] == plane]
        key = plane.encode()
        published = [
            json.loads(record.value)["outputs"]
            for record in await stream.outputs(stream.settings.predictions, sum(key) % 2)
            if record.key == key
        ]
        late = [outputs["late"]["probability"] for outputs in published]
        delay = [outputs["next_delay"]["value"] for outputs in published]
        assert np.allclose(late, 1 / (1 + np.exp(-expected[at, 0])), atol=1e-5)
        assert np.allclose(delay, expected[at, 1] * 30 + 12.5, atol=1e-3)

    assert len(await stream.replay()) == len(rows)
    found = await stream.audit()
    assert found["different"] == found["missing"] == 0


async def test_every_verb_reads_the_bundle(tmp_path):
    """Without a memoryless baseline and naive rules, which only training makes."""
    plain_networks.write(tmp_path, "GRU", 50)
    await imported(tmp_path)
    log, bundle = tmp_path / "events.jsonl", str(tmp_path / "bundle")
    rows = plain_networks.events(6, 40, seed=9)
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))

    shown = json.loads(await run("bundle", "show", bundle, "--json"))
    assert shown["state_bytes_per_key"] == 16 + 4 * 50
    assert shown["provenance"]["imported"] == "weights.pt"
    assert "imported" in await run("bundle", "show", bundle)
    evaluated = await run("evaluate", str(log), "--bundle", bundle)
    assert "There is no memoryless baseline" in evaluated
    report = tmp_path / "report.html"
    await run("evaluate", str(log), "--bundle", bundle, "--report", str(report), "--json")
    assert "no memoryless baseline" in report.read_text()
    assert "late" in await run("compare", str(log), bundle, bundle)
    traced = json.loads(await run("trace", str(log), "N3", "--bundle", bundle, "--json"))
    assert len(traced["steps"]) == 40
    await run("replay", str(log), "--bundle", bundle, "--out", str(tmp_path / "out.jsonl"))
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == len(rows)
    schema = await run("schema", "show", "--bundle", bundle, "--format", "avro")
    assert "next_delay" in schema
