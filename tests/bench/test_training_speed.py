"""Measures the speed of training, and its result on characters; prints figures.

pytest -m bench tests/bench/test_training_speed.py -s

A log of cases has many keys with five events each.  A text has few keys with very many events: the
sources of Python's standard library on this machine, a million characters as eight keys.  Bits per
character are those of the last part of each key, beside those of a 5-gram model of the same parts.
"""

import math
import resource
import sysconfig
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.training.examples import Examples, fit
from stream_rnn.training.targets import Runs
from stream_rnn.training.trainer import train
from stream_rnn.training.training_settings import TrainingSettings

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

CHARACTERS, KEYS = 1_000_000, 8
CASES, EVENTS_PER_CASE, WORDS = 200_000, 5, 1000
ORDER = 5
PARTS = (0.85, 0.9)  # shares of a key at which its validation part and its test part begin


def spec_of(words, head):
    """Make a spec of one category."""
    feature = {
        "kind": "categorical",
        "name": "word",
        "path": "word",
        "vocabulary": words,
        "embedding": 16,
        "missing": "error",
    }
    return FeatureSpec.parse({"name": "words", "features": [feature], "heads": [head]}, "words")


def examples_of(words, labels, length, is_split_by_key):
    """Make examples of runs of one length; the last keys, or the last events of each, are tests."""
    count = len(words)
    first = np.arange(0, count, length)
    runs = Runs(np.arange(count), first, np.full(len(first), length), np.ones(len(first), bool))
    place = np.arange(count) / count if is_split_by_key else np.arange(count) % length / length
    part = np.searchsorted(PARTS, place, side="right").astype(np.int8)
    return Examples(
        {"word": words}, np.arange(count), np.full(count, np.nan), runs, part, {"next": labels}
    )


def train_epochs(spec, hidden, examples, epochs):
    """Train a GRU; return the result and the CPU seconds of each epoch."""
    torch.set_num_threads(1)
    times = [time.process_time()]

    def keep(progress):
        if not math.isnan(progress.epoch_loss):
            times.append(time.process_time())

    settings = TrainingSettings(epochs=epochs)
    trained = train(fit(spec, examples), CellSpec(hidden=hidden), examples, settings, keep)
    return trained, np.diff(times)


def test_an_epoch_of_many_short_keys():
    """Print the CPU seconds of an epoch of a log of cases."""
    rng = np.random.default_rng(1)
    numbers = np.minimum(rng.zipf(1.3, CASES * EVENTS_PER_CASE) - 1, WORDS - 1)
    words = [f"w{number}" for number in numbers.tolist()]
    labels = (np.roll(numbers, 1) % 3 == 0).tolist()
    head = {"name": "next", "kind": "binary", "of": "now", "path": "label"}
    spec = spec_of([f"w{i}" for i in range(WORDS)], head)
    examples = examples_of(words, labels, EVENTS_PER_CASE, is_split_by_key=True)
    trained, seconds = train_epochs(spec, 32, examples, 2)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux gives KiB
    print(f"\n{CASES:,} keys with {EVENTS_PER_CASE} events: {seconds.min():.1f} CPU s per epoch")
    print(f"peak RSS {peak_mb:.0f} MB, of which most is the import of torch")
    print({part: heads["next"]["auc"] for part, heads in trained.metrics.items()})


def read_text():
    """Return a million characters of the standard library's sources; others than ASCII are ?."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        texts.append(
            "".join(c if c.isascii() and (c.isprintable() or c == "\n") else "?" for c in text)
        )
        size += len(text)
        if size >= CHARACTERS:
            break
    return "".join(texts)[:CHARACTERS]


class WittenBell:
    """An n-gram model with the interpolated smoothing of Witten and Bell (1991)."""

    def __init__(self, alphabet: int) -> None:
        self._counts: list[defaultdict[str, Counter[str]]] = [
            defaultdict(Counter) for _ in range(ORDER)
        ]
        self._alphabet = alphabet

    def add(self, text: str) -> None:
        """Count the n-grams of a text."""
        for at, character in enumerate(text):
            for size in range(min(ORDER - 1, at) + 1):
                self._counts[size][text[at - size : at]][character] += 1

    def probability(self, context: str, character: str) -> float:
        """Return the probability of a character after a context."""
        result = 1 / self._alphabet
        for size in range(min(ORDER - 1, len(context)) + 1):
            counts = self._counts[size].get(context[len(context) - size :])
            if counts is not None:
                kinds, total = len(counts), counts.total()
                result = (counts[character] + kinds * result) / (total + kinds)
        return result


def test_characters():
    """Print CPU seconds per epoch and bits per character, beside those of a 5-gram model."""
    text = read_text()
    assert len(text) == CHARACTERS
    alphabet = sorted(set(text))
    names = {character: f"c{ord(character)}" for character in alphabet}
    words, length = [names[character] for character in text], CHARACTERS // KEYS
    classes = [names[character] for character in alphabet]
    head = {
        "name": "next",
        "kind": "multiclass",
        "of": "next",
        "path": "word",
        "classes": classes,
    }
    examples = examples_of(words, words, length, is_split_by_key=False)
    trained, seconds = train_epochs(spec_of(classes, head), 128, examples, 3)
    bits = trained.metrics["test"]["next"]["log_loss"] / math.log(2)

    model = WittenBell(len(alphabet))
    begin, end = (round(share * length) for share in PARTS)
    for at in range(0, CHARACTERS, length):
        model.add(text[at : at + begin])
    surprises = [
        -math.log2(model.probability(text[i - ORDER + 1 : i], text[i]))
        for at in range(0, CHARACTERS, length)
        for i in range(at + end + 1, at + length)
    ]
    print(
        f"\n{CHARACTERS:,} characters, {KEYS} keys, GRU-128: {seconds.mean():.0f} CPU s per epoch"
    )
    print(f"bits per character after 3 epochs {bits:.2f}, {ORDER}-gram {np.mean(surprises):.2f}")
