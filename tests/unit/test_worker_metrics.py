"""What a worker says of itself: counts, gauges, probes, log lines."""

import json
import logging
import socket

import aiohttp
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_rnn.cli.shared.log_format import JsonFormatter
from stream_rnn.errors import ConfigError, TornError
from stream_rnn.fold.observer import UnsampledObserver
from stream_rnn.settings import Settings
from stream_rnn.testing import MemoryLog, MemoryStore, memory_processor, record
from stream_rnn.worker.health import Health, parse_address
from stream_rnn.worker.prometheus import CLASSES_MAX, Metrics, PartitionView
from tests import models

MODEL = models.small()
SETTINGS = Settings.build(app="app", source="events", predictions="out")


def said(metrics):
    """Return every sample by name and labels."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_of(views=(), model=MODEL):
    """Make metrics whose clock stands still: one sample is taken."""
    return Metrics(model, SETTINGS, lambda: list(views), lambda: 0.0)


async def test_what_a_processor_does_is_counted():
    """Events, predictions, skips by reason, forgets, silent events, starts, cache and steps."""
    rows = [record(o, b"ab"[o % 2 : o % 2 + 1], {"x": o / 8, "kind": "A"}, o) for o in range(20)]
    rows += [record(20, b"a", b"not json", 20), record(21, b"b", None, 21)]
    log, store, metrics = MemoryLog(rows), MemoryStore(), metrics_of()
    processor = memory_processor(MODEL, log, store, SETTINGS, sizes=[10, 12])
    processor.observer = metrics
    await processor.run()
    found = said(metrics)
    assert found["stream_rnn_events_total",] == found["stream_rnn_predictions_total",] == 20
    assert found["stream_rnn_skips_total", "not_json"] == 1
    assert found["stream_rnn_forgets_total",] == 1
    assert found["stream_rnn_starts_total", "4"] == 1
    assert (found["stream_rnn_cache_hits_total",], found["stream_rnn_cache_misses_total",]) == (
        2,
        2,
    )
    assert found["stream_rnn_batch_events_count",] == processor.counts.batches == 2
    assert found["stream_rnn_step_seconds_count", "publish"] == 2
    assert found["stream_rnn_output_probability_count", "big"] == 10
    assert found["stream_rnn_output_value_count", "wait"] == 10
    classes = [v for n, v in found.items() if n[0] == "stream_rnn_output_class_total"]
    assert sum(classes) == 10
    assert found["stream_rnn_hidden_rms_count",] == 2

    metrics.on_reposition(TornError("x"))
    assert said(metrics)["stream_rnn_repositions_total", "torn"] == 1


async def test_a_fold_with_other_heads_is_counted_and_not_sampled():
    """After a cut-over to it, an alert must not take it for silence."""
    metrics = metrics_of()
    log = MemoryLog([record(0, b"k", {"x": 0.5, "kind": "A"}, 0)])
    processor = memory_processor(MODEL, log, MemoryStore(), SETTINGS)
    processor.observer = UnsampledObserver(metrics)
    await processor.run()
    found = said(metrics)
    assert found["stream_rnn_events_total",] == 1
    assert found["stream_rnn_starts_total", "4"] == 1
    assert ("stream_rnn_output_probability_count", "big") not in found
    processor.observer.on_reposition(TornError("x"))
    assert said(metrics)["stream_rnn_repositions_total", "torn"] == 1


async def test_a_rebuild_is_silent_and_counted():
    """Redis lost its states: the same events again, no prediction, a rebuild."""
    rows = [record(o, b"k", {"x": 0.5, "kind": "A"}, o) for o in range(8)]
    log = MemoryLog(rows)
    await memory_processor(MODEL, log, MemoryStore(), SETTINGS).run()
    metrics = metrics_of()
    again = memory_processor(MODEL, log, MemoryStore(), SETTINGS)
    again.observer = metrics
    await again.run()
    found = said(metrics)
    assert (found["stream_rnn_silent_events_total",], found["stream_rnn_rebuilds_total",]) == (8, 1)
    assert found["stream_rnn_predictions_total",] == 0


async def test_of_a_batch_that_is_partly_silent_each_event_is_counted_once():
    """States were lost and the log has grown: one micro-batch, half of it published before."""
    rows = [record(o, b"k", {"x": 0.5, "kind": "A"}, o) for o in range(8)]
    log, metrics = MemoryLog(rows[:5]), metrics_of()
    await memory_processor(MODEL, log, MemoryStore(), SETTINGS).run()
    log.records += rows[5:]
    again = memory_processor(MODEL, log, MemoryStore(), SETTINGS)
    again.observer = metrics
    await again.run()
    found = said(metrics)
    assert found["stream_rnn_batch_events_count",] == 1
    assert found["stream_rnn_silent_events_total",] == again.counts.silent == 5
    assert found["stream_rnn_predictions_total",] == again.counts.predictions == 3


def test_gauges_are_of_owned_partitions_and_what_is_unknown_is_left_out():
    """Lag and headroom are differences; without facts they are not said."""
    views = [PartitionView(3, 70, 0, 80, 20, 100, 1.5, 60.0, 9, 12.0, True), PartitionView(5)]
    found = said(metrics_of(views))
    assert found["stream_rnn_partitions",] == 2
    assert found["stream_rnn_lag_records", "3"] == 30
    assert found["stream_rnn_headroom_records", "3"] == 50
    assert found["stream_rnn_silent", "3"] == 1
    assert ("stream_rnn_lag_records", "5") not in found


def test_gauges_of_a_candidate_are_there_while_it_folds():
    """Of the partitions that have one, and of those with a request that is pending."""
    views = [PartitionView(3, candidate_position=60, candidate_lag=10), PartitionView(5, pending_s=7)]  # fmt: skip
    found = said(metrics_of(views))
    assert found["stream_rnn_candidate_position", "3"] == 60
    assert found["stream_rnn_candidate_lag_records", "3"] == 10
    assert found["stream_rnn_request_pending_seconds", "5"] == 7
    assert ("stream_rnn_request_pending_seconds", "3") not in found


async def test_what_a_candidate_does_is_counted_for_itself():
    """The fold in charge has the counts of what is published."""
    rows = [record(o, b"a", {"x": o / 8, "kind": "A"}, o) for o in range(5)]
    metrics = metrics_of()
    log = MemoryLog([*rows, record(5, b"a", b"not json", 5)])
    processor = memory_processor(MODEL, log, MemoryStore(), SETTINGS)
    processor.observer = metrics.candidates
    await processor.run()
    for lost in (3, 3, 4):
        metrics.candidates.on_look(1, lost)
    found = said(metrics)
    assert found["stream_rnn_candidate_events_total",] == 5
    assert found["stream_rnn_candidate_skips_total",] == 1
    assert found["stream_rnn_events_total",] == 0
    assert found["stream_rnn_rollout_refused",] == 1
    assert found["stream_rnn_shadow_lost_total",] == 4


def test_labels_are_bounded():
    """However many classes a head has, some are named and the others are one."""
    import numpy as np

    model = models.small()
    head = next(h for h in model.spec.heads if h.kind == "multiclass")
    many = head.model_copy(update={"classes": tuple(f"c{n}" for n in range(500))})
    metrics = metrics_of()
    metrics._sample_head(many, np.eye(500, dtype=np.float32))
    names = [n for n in said(metrics) if n[0] == "stream_rnn_output_class_total"]
    assert len(names) == CLASSES_MAX + 1


class WatchedWorker:
    """A worker without partitions."""

    partitions = ()
    idle_s = 0.0
    reasons = ()

    def unready_reasons(self):
        return list(self.reasons)


async def get(address, path):
    async with aiohttp.ClientSession() as session, session.get(address + path) as answer:
        return answer.status, await answer.text()


async def test_probes_answer_by_what_the_worker_says():
    """Live while there is progress, ready while nothing is against it, metrics always."""
    worker = WatchedWorker()
    health = Health(worker, Settings.build(health_address="127.0.0.1:0", watchdog_s=10))
    await health.start(metrics_of())
    try:
        assert (await get(health.address, "/live"))[0] == 200
        assert (await get(health.address, "/ready"))[0] == 200
        worker.idle_s, worker.reasons = 6.0, ("events[0] rebuilds its states",)
        status, body = await get(health.address, "/live")
        assert (status, json.loads(body)["live"]) == (503, False)
        status, body = await get(health.address, "/ready")
        assert (status, json.loads(body)["reasons"]) == (503, ["events[0] rebuilds its states"])
        status, body = await get(health.address, "/metrics")
        assert status == 200
        assert "stream_rnn_fold_info{" in body
        assert (await get(health.address, "/other"))[0] == 404
    finally:
        await health.stop()


async def test_a_taken_port():
    """An address that was given is refused with the remedy; the default goes on to the next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = Health(WatchedWorker(), Settings.build(health_address=f"127.0.0.1:{port}"))
        with pytest.raises(ConfigError, match="--health-address"):
            await told.start(metrics_of())
    first, second = (
        Health(WatchedWorker(), Settings.build()),
        Health(WatchedWorker(), Settings.build()),
    )
    await first.start(metrics_of())
    await second.start(metrics_of())
    assert first.address != second.address
    assert "127.0.0.1:" in second.address
    await first.stop()
    await second.stop()


async def test_no_address_no_server():
    """Empty: nothing listens."""
    health = Health(WatchedWorker(), Settings.build(health_address=""))
    await health.start(metrics_of())
    assert health.address == ""


@pytest.mark.parametrize("text", ["9464", "host:", "host:x", "host:99999"])
def test_what_is_no_address_is_refused(text):
    """The message shows one that is."""
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9464"):
        parse_address(text)


def test_json_lines_have_fields_and_one_line_each():
    """Pairs become fields, whatever else is in the message is text, and a newline stays inside."""

    def line(text, *arguments):
        made = logging.LogRecord("stream_rnn.x", logging.INFO, "", 0, text, arguments, None)
        return JsonFormatter().format(made)

    found = json.loads(line("starting partition=%s row=%d lost=%s", "e[0]", 4, "x=y"))
    assert found["message"] == "starting"
    assert (found["partition"], found["row"], found["lost"]) == ("e[0]", 4, "x=y")
    text = 'Redis said: "no"\nand more level=evil a=b c'
    assert "\n" not in line(text)
    assert json.loads(line(text))["message"] == text
    assert json.loads(line("done level=evil n=1"))["level"] == "info"
