"""Findings of the doctor where something is missing: one for each cause, and none that is untrue."""

import json
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaProducer

from stream_rnn.local.processes import free_port
from stream_rnn.model.bundle import save_bundle
from stream_rnn.operate.check_kafka import check_positions
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.doctor import _check_backup, examine
from stream_rnn.settings import Settings
from tests import models


@pytest.fixture
def findings(app_id, bootstrap_servers, redis_url, tmp_path):
    """Return a function that runs the doctor with other settings, and returns its findings."""
    save_bundle(models.small(), tmp_path / "bundle")
    usual = {
        "app": app_id,
        "source": f"{app_id}-missing",
        "predictions": f"{app_id}-predictions",
        "bundle": str(tmp_path / "bundle"),
        "bootstrap_servers": bootstrap_servers,
        "redis_url": redis_url,
    }

    async def run(**other):
        settings = Settings.build(**{**usual, **other}).of_fold()
        checks = examine(settings, lambda: 0.0, keys=100, writes=True)
        return [finding async for finding in checks]

    return run


async def test_a_missing_source_is_one_bad_finding(findings):
    """What needs the source is not checked; the memory of Redis does not need it."""
    found = await findings()
    (bad,) = (finding for finding in found if finding.level is Level.BAD)
    assert (bad.what, bad.said.endswith("-missing does not exist")) == ("source", True)
    names = [finding.what for finding in found]
    assert names.count("not checked") == 1
    assert "redis memory" in names
    assert {"source rights", "kafka rights", "position", "backup"}.isdisjoint(names)
    (skipped,) = (finding for finding in found if finding.what == "not checked")
    assert skipped.said == "rights on topics, positions and backup need the source topic"


async def test_the_newest_records_are_counted_by_what_they_are(
    findings, create_topic, app_id, bootstrap_servers, tmp_path
):
    """An array around an event is filtered without a dead letter, so only this finding shows it."""
    only = {"event": {"only": [{"path": "type", "in": ["sensor"]}]}}
    save_bundle(models.of({**models.SPEC, **only}), tmp_path / "filtering")
    source = await create_topic(f"{app_id}-source", 1)
    event = {"type": "sensor", "x": 0.5, "kind": "A"}
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        for value in (event, [event], [event], {"type": "meter"}):
            await producer.send_and_wait(source, json.dumps(value).encode(), key=b"k")
    found = await findings(source=source, bundle=str(tmp_path / "filtering"))
    (finding,) = (each for each in found if each.what == "events")
    assert finding.level is Level.WARNING
    assert f"{source}: 1 events in 4 of its newest records, 3 filtered" in finding.said
    assert "2 filtered records are no objects, but arrays" in finding.said


async def test_the_remedy_for_kafka_is_given_once(findings):
    """It is the remedy of the finding, and not part of what was found."""
    found = await findings(bootstrap_servers=f"127.0.0.1:{free_port()}", kafka_timeout_s=2)
    (kafka,) = (finding for finding in found if finding.what == "kafka")
    assert kafka.said.startswith("no Kafka broker answers at 127.0.0.1:")
    assert "start it" not in kafka.said
    assert kafka.remedy == (
        "start it, or check --bootstrap-servers and, for TLS or SASL, --kafka-config"
    )


async def test_a_fold_that_has_folded_nothing_is_not_warned_of_retention():
    """There is nothing to lose yet, neither by retention nor with Redis."""
    row = {"partition": 0, "stop": None, "origin": 10, "log_start": 10, "log_end": 500, "lag": 490}
    for position, level in ((10, Level.FINE), (11, Level.WARNING)):
        rows = [{**row, "position": position}]
        (finding,) = check_positions(rows, "events")
        assert finding.level == level
        assert ("nothing is folded yet" in finding.said) == (level == Level.FINE)
    for position in (None, 10):
        rows = [{**row, "position": position}]
        (finding,) = await _check_backup(SimpleNamespace(), lambda: 0.0, rows)
        assert (finding.level, finding.said) == (Level.FINE, "nothing is folded yet")
