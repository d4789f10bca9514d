"""The network unrolled: what is shown of a key is, bit for bit, what the fold did."""

import numpy as np
import pytest
import torch

from stream_rnn.errors import ConfigError
from stream_rnn.keys import describe_key, parse_key, shorten, similar_keys
from stream_rnn.model.bundle import with_fingerprint
from stream_rnn.model.cells import CellSpec, run_cell
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay.partition import in_batches, replay_partition
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.trace.gates import GATES
from stream_rnn.trace.unroll import most_varying, unroll
from tests import models, oracle

KINDS = ("elman", "gru", "lstm", "none")
MODELS = [*((kind, models.SPEC) for kind in KINDS), ("elman", models.LAGGED)]
KEYS = [b"a", b"b", b"hot", b"hot", b"hot", b"\xff\xfe"]
HUGE = 3.3e38
BAD = [b"not json", b'{"x": NaN}', {"x": 1e39}, {"x": "one"}]


def settings_of(**more):
    """Make settings."""
    return Settings.build(app="app", source="events", predictions="out", **more)


def model_of(kind="gru", layers=1, spec=models.SPEC):
    """Make a model whose y is beyond float32 after a huge x, and sometimes otherwise."""
    torch.manual_seed(11)
    cell = CellSpec(kind=kind, hidden=8, layers=layers)
    made = Model.initialize(FeatureSpec.model_validate(spec), cell)
    x = torch.zeros(1, made.feature_count)
    x[0, 0] = HUGE
    with torch.no_grad():
        out, _ = run_cell(
            made.network.cell, made.network.cell_inputs(x[None]), made.initial_hidden(1)
        )
        size = out.abs().sum()
        made.network.head.weight[0] = 3.3e38 * out[0, 0].sign() * min(1, 1.2 / size)
        # The weights alone hardly suffice if the hidden state is small, as that of a GRU is.
        made.network.head.bias[0] = 7e37
    return with_fingerprint(made)


def log_of(count=160, seed=5):
    """Make records of uneven keys with holes, forgets, bad ones, huge ones and long silences."""
    rng, lags = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    records, offset, time = [], 3, 1_000_000
    for _ in range(count):
        key, kind = KEYS[rng.integers(len(KEYS))], rng.random()
        event = {"x": float(rng.normal()), "kind": ["A", "B", "?"][rng.integers(3)]}
        if kind < 0.06:
            event = None
        elif kind < 0.12:
            event = BAD[rng.integers(len(BAD))]
        elif kind < 0.2:
            event = {"x": HUGE * float(rng.choice([-1, 1])), "kind": "A"}
        if isinstance(event, dict):  # what only lags read
            event |= {"ok": bool(lags.integers(2)), "size": float(lags.choice([1, 2, HUGE]))}
        time += int(rng.choice([50, 700, 3000]))
        records.append(record(offset, key, event, time + int(rng.integers(-900, 900))))
        offset += int(rng.choice([1, 1, 2, 5]))
    return records


async def unrolled(model, settings, key, records, *, size=4096, **more):
    """Unroll the network over a key's events among some records."""
    batches = in_batches(records, size)
    return await unroll(model, settings, key, batches, source="events", partition=0, **more)


async def replayed(model, settings, records):
    """Replay records; return the predictions."""
    found = []
    batches = in_batches(records)
    await replay_partition(
        model, settings, 0, 0, batches, lambda predictions, _: found.extend(predictions)
    )
    return found


@pytest.mark.parametrize(("kind", "spec"), MODELS)
@pytest.mark.parametrize("state_ttl", [None, 4.0])
async def test_predictions_equal_a_replays_byte_for_byte(kind, spec, state_ttl):
    """Of every key, with expiry, forgets, skips and steps that are not finite on the way."""
    model, settings, records = model_of(kind, 2, spec), settings_of(state_ttl=state_ttl), log_of()
    predictions = await replayed(model, settings, records)
    assert len(predictions) > 60
    kinds, reasons = set(), ""
    for key in set(KEYS):
        found = await unrolled(model, settings, key, records)
        values = [message.value for message in predictions if message.key == key]
        assert found.predictions(settings) == values
        assert found.events == len(values) == len(found.offsets) > 5
        assert found.records == sum(r.key == key for r in records)
        kinds |= {one.kind for one in found.between}
        reasons += " ".join(one.text for one in found.between)
    assert kinds == {"forgotten", "skipped"} | ({"expired"} if state_ttl else set())
    assert "not JSON" in reasons
    assert "float32" in reasons
    assert "the step gives a number that is not finite" in reasons


@pytest.mark.parametrize("state_ttl", [None, 4.0])
async def test_filtered_records_leave_the_memory_of_a_key_alone(state_ttl):
    """A deletion in another table is no forget, and is not one of the key's records."""
    model, settings = models.enveloped(), settings_of(state_ttl=state_ttl)
    t_us = 1_700_000_000_000_000

    def change(offset, op="u", table="orders"):
        after = None if op == "d" else {"amount": "1"}
        inner = {"op": op, "after": after, "ts_us": t_us, "source": {"table": table}}
        return record(offset, b"k", {"payload": inner}, t_us // 1000)

    records = [
        change(0),
        change(1, "d", "x"),
        change(2, table="x"),
        change(3),
        change(4, "d"),
        change(5),
    ]

    found = await unrolled(model, settings, b"k", records)

    assert found.steps.tolist() == [1, 2, 1]
    assert [(one.offset, one.kind) for one in found.between] == [(4, "forgotten")]
    assert found.records == 4
    predictions = await replayed(model, settings, records)
    assert found.predictions(settings) == [message.value for message in predictions]


@pytest.mark.parametrize(("kind", "spec"), [m for m in MODELS if m[0] != "none"])
@pytest.mark.parametrize("state_ttl", [None, 4.0])
async def test_h_equals_the_oracles_after_every_step(kind, spec, state_ttl):
    """Up to any offset of the key, the last h is what the fold of that prefix keeps."""
    settings, records = settings_of(state_ttl=state_ttl), log_of(90)
    model = model_of(kind, spec=spec)
    whole = await unrolled(model, settings, b"hot", records)
    for t, offset in enumerate(whole.offsets.tolist()):
        truth = oracle.fold(model, settings, [r for r in records if r.offset <= offset])
        steps, _, state = truth.states[b"hot"]
        hidden = state[: 4 * model.hidden_size_floats]
        assert (whole.steps[t], whole.h[t].tobytes()) == (steps, hidden)
        ended = await unrolled(model, settings, b"hot", records, until=offset)
        assert ended.offsets.tolist() == whole.offsets[: t + 1].tolist()
        assert ended.h.tobytes() == whole.h[: t + 1].tobytes()


@pytest.mark.parametrize(("kind", "spec"), MODELS)
async def test_what_is_shown_beside_h_explains_it(kind, spec):
    """From x and the h before come the h and y after; the gates are those of ``trace/gates.py``."""
    model, settings = model_of(kind, 2, spec), settings_of(state_ttl=4.0)
    found = await unrolled(model, settings, b"hot", log_of())
    y, h = model.step(torch.from_numpy(found.x), torch.from_numpy(found.before))
    assert h.numpy().tobytes() == found.h.tobytes()
    assert y.numpy().tobytes() == found.y.tobytes()
    assert list(found.gates) == list(GATES[kind])
    assert all(gate.shape == (found.events, 2, 8) for gate in found.gates.values())
    assert list(found.memory) == {"none": [], "lstm": ["h", "c"]}.get(kind, ["h"])
    cold = found.steps == 1
    assert 1 < cold.sum() < len(cold)
    assert not found.before[cold].any()
    assert np.isnan(found.since_ms[cold]).all()
    assert (found.since_ms[~cold] >= 0).all()
    assert found.x[:, found.columns.index("since_cold")].tolist() == cold.tolist()
    if kind != "none":
        change = (found.h - found.before).reshape(found.events, -1)
        assert np.allclose(found.update_norm, np.sqrt((change**2).sum(axis=1)))
        assert found.update_norm.all()


@pytest.mark.parametrize("size", [1, 7])
async def test_batches_do_not_matter(size):
    """The bits are the same however the records were cut."""
    model, settings, records = model_of(), settings_of(state_ttl=4.0), log_of()
    one = await unrolled(model, settings, b"hot", records)
    other = await unrolled(model, settings, b"hot", records, size=size)
    assert other.h.tobytes() == one.h.tobytes()
    assert other.y.tobytes() == one.y.tobytes()
    assert other.between == one.between


async def test_other_keys_move_stream_time():
    """A key expires because others go on, and the line says after how much silence."""
    model, settings = model_of(), settings_of(state_ttl=5.0)
    event = {"x": 1.0, "kind": "A"}
    times = [(b"k", 1000), (b"other", 9000), (b"k", 1500), (b"k", 1600)]
    records = [record(o, key, event, time) for o, (key, time) in enumerate(times)]
    found = await unrolled(model, settings, b"k", records)
    assert found.steps.tolist() == [1, 1, 1]
    texts = [(one.offset, one.kind, one.text) for one in found.between]
    assert texts[0] == (2, "expired", "memory expired, 8 s after its last event")
    alone = await unrolled(model, settings, b"k", [r for r in records if r.key == b"k"])
    assert alone.steps.tolist() == [1, 2, 3]


async def test_what_happens_between_steps_is_said_in_its_order():
    """A forget, a skip with its reason, a forget of nothing."""
    event = {"x": 1.0, "kind": "A"}
    values = [event, None, event, b"nope", None, None]
    records = [record(o + 10, b"k", value, o) for o, value in enumerate(values)]
    found = await unrolled(model_of(), settings_of(), b"k", records)
    assert [one.text for one in found.between] == [
        "forgotten at offset 11",
        "skipped at offset 13: the value is not JSON",
        "forgotten at offset 14",
        "forgotten at offset 15",
    ]
    assert (found.steps.tolist(), found.events, found.records) == ([1, 1], 2, 6)


async def test_only_the_last_steps_are_kept():
    """They are the same as without the limit, and what came before them is counted."""
    model, settings, records = model_of(), settings_of(state_ttl=4.0), log_of()
    whole = await unrolled(model, settings, b"hot", records)
    found = await unrolled(model, settings, b"hot", records, last=9)
    assert found.events == whole.events > 30
    assert found.h.tobytes() == whole.h[-9:].tobytes()
    assert found.before.tobytes() == whole.before[-9:].tobytes()
    assert found.predictions(settings) == whole.predictions(settings)[-9:]
    assert {one.offset for one in found.between} == {
        one.offset for one in whole.between if one.offset >= found.offsets[0]
    }


async def test_a_key_of_skips_alone_has_no_step():
    """It is there, and there is nothing to show but why."""
    records = [record(o, b"k", b"nope") for o in range(3)]
    found = await unrolled(model_of(), settings_of(), b"k", records)
    assert (found.events, found.records, len(found.between)) == (0, 3, 3)
    assert found.h.shape == (0, 1, 8)
    assert found.predictions(settings_of()) == []


async def test_more_steps_than_fit_in_memory_are_refused():
    """With how many do."""
    with pytest.raises(ConfigError, match=r"set --last to [0-9]+ at most"):
        await unrolled(model_of(), settings_of(), b"k", [], last=10**8)


# --- words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [b"UA-EWR", b"\xff\xfe", "Zürich".encode(), b"", b"base64:", b"\x1b"]
)
def test_a_key_that_is_shown_can_be_typed(key):
    """Bytes that are no printable text as base64, and text that looks like it, too."""
    assert parse_key(describe_key(key)) == key
    assert describe_key(key).isprintable()


def test_base64_that_is_none_is_a_clear_error():
    """With what was given."""
    with pytest.raises(ConfigError, match="base64:&&"):
        parse_key("base64:&&")


def test_similar_keys_do_not_depend_on_case():
    """At most three."""
    keys = {b"UA-EWR", b"UA-EWX", b"UB-EWR", b"UA-EWRX", b"9E-ATL"}
    similar = similar_keys(b"ua-ewr", keys)
    assert similar[0] == b"UA-EWR"
    assert len(similar) == 3
    assert b"9E-ATL" not in similar


def test_a_long_text_keeps_its_ends():
    """And is never longer than asked for."""
    assert shorten("x" * 60) == "x" * 60
    assert len(shorten("a" + "x" * 1000 + "z")) == 60
    assert shorten("a" + "x" * 1000 + "z")[::59] == "az"


def test_the_most_varying_columns_keep_their_order():
    """Those that stand still go first."""
    values = np.zeros((10, 5), np.float32)
    values[::2, 3], values[::2, 0], values[::2, 4] = 1, 2, 0.1
    assert most_varying(values, 2).tolist() == [0, 3]
    assert most_varying(values, 9).tolist() == [0, 1, 2, 3, 4]
    assert most_varying(values[:0], 2).tolist() == [0, 1]
