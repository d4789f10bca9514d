"""Each event counts once, whatever the length of its key: in loss, gradient, validation, stopping."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from stream_rnn.training.losses import balanced_weights, label_counts, window_loss
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings
from stream_rnn.training.validation import EncodedExamples, validation_loss
from stream_rnn.training.windows import cut_windows

SETTINGS = Settings.build(app="app", source="events")
SPEC = FeatureSpec.parse(
    {
        "name": "t",
        "features": [{"kind": "numeric", "name": "x", "path": "x", "missing": "error"}],
        "heads": [
            {"kind": "binary", "name": "bit", "of": "now", "path": "bit"},
            {"kind": "multiclass", "name": "c", "of": "now", "path": "c", "classes": ["A", "B"]},
            {"kind": "regression", "name": "n", "of": "next", "path": "x"},
        ],
    },
    "t",
)
SHORT, LONG = 2, 100
CELL = CellSpec(hidden=8)
STILL = TrainingSettings(epochs=1, window=32, batch_sequences=4, learning_rate=1e-7)


def examples_of(lengths=(SHORT,) * 12 + (LONG,) * 4, validation_keys=0):
    """Make keys of very different lengths that say different things; some lack some labels."""
    rng, records, part = np.random.default_rng(7), [], []
    for step in range(max(lengths)):
        for key, length in enumerate(lengths):
            if step < length:
                is_long = length == LONG
                event = {
                    "x": float(rng.normal(is_long, 1)),
                    "bit": not is_long if rng.random() < 0.9 else None,
                    "c": "AB"[is_long] if step % 3 == 0 else "none",
                }
                records.append(record(len(records), b"k%d" % key, event, len(records) * 1000))
                part.append(int(key % 4 < validation_keys))
    events = make_events([records], SPEC, SETTINGS)
    assert len(events.keys) == sum(lengths)
    examples = dataclasses.replace(events.examples, part=np.array(part, np.int8))
    return fit(SPEC, examples), examples


def losses_by_event(model, data, part):
    """Return for each head the loss of each of its labels, stepping event by event."""
    found = {head.name: [] for head in model.spec.heads}
    examples = data.examples
    for first, length in zip(examples.runs.first, examples.runs.length, strict=True):
        h = model.initial_hidden(1)
        for event in examples.runs.order[first : first + length].tolist():
            y, h = model.step(data.x[[event]], h)
            if examples.part[event] == part:
                for name, loss in _losses(model.spec, y[0], event, data).items():
                    found[name].append(loss)
    return found


def _losses(spec, y, event, data):
    target = {name: values[event] for name, values in data.targets.items()}
    found = {}
    if not math.isnan(target["bit"]):
        found["bit"] = float(-torch.nn.functional.logsigmoid(y[0] * (2 * target["bit"] - 1)))
    if not math.isnan(target["c"]):
        found["c"] = float(-torch.log_softmax(y[1:3], 0)[int(target["c"])])
    if not math.isnan(target["n"]):
        fitted = spec.heads[2].fitted
        off = abs(float(y[3]) - (target["n"] - fitted.mean) / fitted.std)
        found["n"] = off - 0.5 if off > 1 else off**2 / 2
    return found


def mean_by_event(model, data, part):
    """Return the sum of the heads' means over labels."""
    return sum(np.mean(losses) for losses in losses_by_event(model, data, part).values())


@pytest.mark.parametrize("kind", ["gru", "none"])
def test_the_loss_of_an_epoch_is_the_mean_over_events(kind):
    """Of a network that does not move it is what one finds event by event, label by label."""
    spec, examples = examples_of()
    told = []
    trained = train(spec, CellSpec(kind=kind, hidden=8), examples, STILL, told.append)
    by_event = mean_by_event(trained.model, EncodedExamples.encode(spec, examples), 0)
    ends = [progress for progress in told if not math.isnan(progress.epoch_loss)]
    assert ends[-1].done == 1.0
    assert ends[-1].training_loss == pytest.approx(by_event, rel=1e-5)


def test_the_validation_loss_is_the_mean_over_events():
    """Keys of a hundred events weigh fifty times as much as keys of two."""
    spec, examples = examples_of(validation_keys=1)
    trained = train(spec, CELL, examples, dataclasses.replace(STILL, learning_rate=0.01))
    data = EncodedExamples.encode(spec, examples)
    assert trained.validation_loss == validation_loss(trained.model, data, STILL)
    assert trained.validation_loss == pytest.approx(mean_by_event(trained.model, data, 1), rel=1e-5)


def test_the_epoch_is_chosen_by_the_mean_over_events():
    """Of each epoch's network the loss is found event by event; the least one's network is kept."""
    spec, examples = examples_of(validation_keys=1)
    data = EncodedExamples.encode(spec, examples)
    losses, tensors = [], []

    def keep(checkpoint):
        network = train(spec, CELL, examples, STILL).model.network
        network.load_state_dict(dict(checkpoint.tensors))
        losses.append(mean_by_event(Model(spec, CELL, network), data, 1))
        tensors.append(checkpoint.tensors)

    settings = TrainingSettings(
        epochs=8, patience=2, window=32, batch_sequences=4, learning_rate=0.2, schedule="constant"
    )
    trained = train(spec, CELL, examples, settings, on_checkpoint=keep)
    least = int(np.argmin(losses))
    assert 0 < least < len(losses) - 1  # else any rule would choose it
    assert trained.validation_loss == pytest.approx(losses[least], rel=1e-5)
    kept = trained.model.network.state_dict()
    assert all(torch.equal(tensors[least][name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize("is_balanced", [False, True])
def test_the_gradient_of_an_epoch_is_that_of_the_mean_over_events(is_balanced):
    """The windows' gradients add up to that of all events at once, whatever is cut how."""
    spec, examples = examples_of()
    data = EncodedExamples.encode(spec, examples)
    labels = data.labels(0)
    weights = balanced_weights(spec, data.targets) if is_balanced else {}
    counts = label_counts(spec, labels, weights)
    torch.manual_seed(3)
    y = torch.randn(len(examples.time_ms), 4, requires_grad=True)
    cut = cut_windows(examples.runs, data.is_labelled(0), 16, 64, 4, is_shuffled=True)
    mean_counts = {name: count / len(cut) for name, count in counts.items()}
    shares = []
    for window in cut:
        index = torch.from_numpy(window.events)
        of_window = {name: label[index] for name, label in labels.items()}
        loss = window_loss(spec, y[index], of_window, weights, mean_counts, STILL)
        shares.append(loss.share)
        (loss.value / len(cut)).backward()
    by_window, y.grad = y.grad, None
    whole = window_loss(spec, y, labels, weights, counts, STILL)
    whole.value.backward()
    assert torch.allclose(by_window, y.grad, rtol=1e-4, atol=1e-9)
    assert whole.share == pytest.approx(1)
    assert np.mean(shares) == pytest.approx(1)
    assert max(shares) > 4 * min(shares)


def test_a_bound_of_the_gradient_lets_events_count_alike():
    """A window may have as long a gradient as its share of the events says."""
    spec = SPEC.model_copy(update={"heads": SPEC.heads[2:]})
    _, examples = examples_of((SHORT, LONG))
    settings = dataclasses.replace(STILL, window=128, batch_sequences=1, clip_grad_norm=1e-3)
    kept = []
    train(fit(spec, examples), CELL, examples, settings, on_checkpoint=kept.append)
    squares = sum(float(t.sum()) for n, t in kept[0].moments.items() if n.endswith("exp_avg_sq"))
    # Two steps of AdamW: of 99 labels and of 1, where 50 are the mean.
    shares = 99 / 50, 1 / 50
    assert squares == pytest.approx(0.001 * 1e-6 * sum(s**2 for s in shares), rel=2e-3)
