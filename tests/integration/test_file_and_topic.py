"""A file and a topic with the same events give the same fold."""

import asyncio
import gzip
import json

import pytest

from stream_rnn.cli.verbs.send import command as send
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from tests.integration.streams import run

pytestmark = pytest.mark.timeout(90)

SPEC = """
format = 1
name = "t"
[file]
delimiter = ";"
decimal = ","
encoding = "cp1252"
[event]
key = ["site", ["unit", "machine"]]
time = {path = "at", unit = "s"}
[[features]]
name = "reading"
kind = "numeric"
path = "reading"
[[features]]
name = "firmware"
kind = "categorical"
path = "firmware"
vocabulary = ["1.1", "1.10"]
[[features]]
name = "since"
kind = "since_previous"
[[heads]]
name = "failed"
kind = "binary"
path = "failed"
"""
SITES = [("1-2", "3"), ("1", "2-3"), ("007", "7"), ("07", ""), ("Zürich", "\\")]


def write(path):
    """Write 200 rows of texts of all kinds, of which some are no events."""
    lines = ["site;unit;machine;at;reading;firmware;failed;note"]
    for i in range(200):
        site, unit = SITES[i % 5]
        reading = "12A" if i % 41 == 0 else "NA" if i % 7 == 0 else f"{i / 8:.3f}".replace(".", ",")
        firmware = ("1.10", "1.1", "")[i % 3]
        at = "" if i % 53 == 52 else 1_767_225_600 + 60 * (i // 5)
        failed = ("0", "True", "")[i % 3]
        lines.append(f'{site};{unit};m{i % 3};{at};{reading};{firmware};{failed};"a;\n""b"""')
    path.write_bytes(gzip.compress("\r\n".join(lines).encode("cp1252")))


async def test_a_replay_of_a_file_and_of_its_topic_give_the_same_bytes(
    tmp_path, app_id, bootstrap_servers
):
    """Keys, numbers, missing values and dead letters are the same; a file is read by its spec."""
    topic = f"{app_id}-in"
    path, spec = tmp_path / f"{topic}.csv.gz", tmp_path / "spec.toml"
    write(path)
    spec.write_text(SPEC)
    bundle = tmp_path / "bundle"
    save_bundle(Model.initialize(FeatureSpec.read(spec), CellSpec(hidden=8)), bundle)
    servers = f"--bootstrap-servers={bootstrap_servers}"
    to = [f"--spec={spec}", servers, "--create-partitions=1"]
    await run(send.name, str(path), topic, *to)
    of_file, of_topic = tmp_path / "file.jsonl", tmp_path / "topic.jsonl"
    common = [f"--bundle={bundle}", "--processes=1", servers]
    await run("replay", str(path), f"--out={of_file}", *common)
    await run("replay", f"--topic={topic}", f"--out={of_topic}", *common)
    predictions = await asyncio.to_thread(of_topic.read_bytes)
    assert of_file.read_bytes() == predictions
    keys = {json.loads(line)["key"] for line in predictions.splitlines()}
    assert len(keys) == 7
    assert {r"1\-2-3", r"1-2\-3", "007-7", "07-m0", "Zürich-\\\\"} <= keys
    assert len(predictions.splitlines()) == 200 - 5 - 3


async def test_nothing_is_sent_of_a_file_that_cannot_be_read_to_its_end(
    tmp_path, app_id, bootstrap_servers
):
    """Or whose rows are in a wrong order; the topic is not even created."""
    path, spec = tmp_path / "log.csv", tmp_path / "spec.toml"
    spec.write_text(SPEC)
    header = "site;unit;machine;at;reading;firmware;failed"
    rows = [f"a;b;c;{1_767_225_600 - 60 * i};1;1.1;0" for i in range(50)]
    options = [f"--spec={spec}", f"--bootstrap-servers={bootstrap_servers}"]
    for bad in ([*rows[:1], "torn;"], rows):
        path.write_text("\n".join([header, *bad]))
        message = await run("send", str(path), f"{app_id}-no", *options, status=3)
        assert "line 3 has 2 fields" in message or "--sort-by-time" in message
    message = await run("send", str(path), f"{app_id}-no", *options, "--sort-by-time", status=3)
    assert "does not exist; create it" in message
