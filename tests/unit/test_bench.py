"""What the speed bench is made of: its events, its sums, and who takes part."""

from collections import Counter

import numpy as np
import pytest

from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.step_times import STEPS, StepTimes
from stream_rnn.formats.schemas import Schemas
from stream_rnn.model.features import FeatureSpec
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from tests.bench import contenders
from tests.bench.contenders import CONTENDERS, RunOptions, worker
from tests.bench.encodings import SCHEMA_ID, encodings
from tests.bench.latency import summary
from tests.bench.load import FIRST_MS, SPEC, Load, key_of, value_of
from tests.unit.framed_records import Shelf


def test_every_event_of_a_load_is_one():
    """Of the size asked for, with all four fields that the spec needs."""
    for size in (100, 1000):
        load = Load(events=500, value_bytes=size)
        values = [value_of(i, load) for i in range(load.events)]
        assert all(abs(len(value) - size) <= 25 for value in values)
        records = [record(i, key_of(i % 7), value) for i, value in enumerate(values)]
        settings = Settings.build(event_time_ahead_max_s=3e9)
        decoded = Decoder(FeatureSpec.parse(SPEC, "bench"), settings).decode(records)
        assert len(decoded.rows) == load.events
        assert set(decoded.columns["kind"]) == {"view", "click", "buy"}
        assert set(decoded.columns["known"]) == {True, False}


@pytest.mark.parametrize("name", sorted(encodings()))
def test_a_load_has_the_same_events_in_every_format(name):
    """With the id of a schema that a registry has."""
    spec, settings = FeatureSpec.parse(SPEC, "bench"), Settings.build()
    schemas = Schemas(Shelf({str(SCHEMA_ID): encodings()[name].schema}))
    decoders = {"json": Decoder(spec, settings), name: Decoder(spec, settings, schemas=schemas)}
    found = {}
    for one, decoder in decoders.items():
        load = Load(events=100, format=one)
        records = [record(i, b"key", value_of(i, load), FIRST_MS + i) for i in range(load.events)]
        decoded = decoder.decode(records)
        found[one] = decoded.rows.tolist(), decoded.time_ms.tolist(), repr(decoded.columns)
    assert found[name] == found["json"]
    assert len(found["json"][0]) == 100
    assert Load(format=name).name != Load().name


@pytest.mark.parametrize(("spread", "least", "most"), [("even", 0.0, 0.02), ("zipf", 0.1, 0.3), ("hot", 0.45, 0.55)])  # fmt: skip
def test_keys_are_spread_as_asked(spread, least, most):
    """The most frequent one has the share that its name says; the same each time."""
    load = Load(events=20_000, keys=1000, spread=spread)
    numbers = load.key_numbers()
    assert np.array_equal(numbers, load.key_numbers())
    assert least <= Counter(numbers.tolist()).most_common(1)[0][1] / load.events <= most
    assert numbers.min() >= 0
    assert numbers.max() < load.keys


def test_delays_are_summed_up():
    """Each one is in one bin, quantiles are those of all."""
    found = summary(10, np.array([0.5, 3.0, 3.0, 40.0, 9999.0]))
    assert found.events == sum(found.histogram.values()) == 5
    assert found.quantiles_ms["p50"] == 3.0
    assert found.quantiles_ms["max"] == 9999.0
    assert found.histogram["<= 5"] == 2
    assert found.histogram["> 5000"] == 1


def test_contenders_say_where_they_run_and_why_not(tmp_path, monkeypatch):
    """Distinct names; without Java a clear line; the worker gets what the place says."""
    assert len({c.name for c in CONTENDERS}) == len(CONTENDERS)
    run_options = RunOptions("k:1", "redis://r", "in", "out", "app", tmp_path / "b", tmp_path)
    words = worker(run_options, "--delivery=at_least_once")
    assert {"--source=in", "--predictions=out", "--delivery=at_least_once"} <= set(words)
    monkeypatch.setattr(contenders.shutil, "which", lambda _program: None)
    reason_missing = [c.reason_missing() for c in CONTENDERS if "Kafka Streams" in c.name]
    assert len(reason_missing) == 2
    assert all("no java" in why and "\n" not in why for why in reason_missing)


def test_steps_are_timed_from_one_to_the_next():
    """All of the time between begin and end is in one of them."""
    ticks = iter([10.0, 11.0, 11.5, 13.5, 13.5, 14.5])
    times = StepTimes(lambda: next(ticks), events=2)
    times.begin()
    for step in STEPS:
        times.end(step)
    assert list(times.seconds.values()) == [1.0, 0.5, 2.0, 0.0, 1.0]
    assert str(times).startswith("decode_us=500000.00 load_us=250000.00")
