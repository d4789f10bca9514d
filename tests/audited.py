"""A log that a worker has folded in memory, for the tests of the audit, which then spoil it."""

import random

import orjson

from stream_rnn.audit.result import KINDS
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.testing import record
from tests import models
from tests.memory_topics import offset_of, with_header

BEGIN_MS = 1_767_225_600_000
FIGURES = {"compared", "not_comparable", "dead_letters"}


def settings_of(**changed) -> Settings:
    """Return settings with a short transaction timeout."""
    given = {"app": "a", "source": "events", "predictions": "out", "transaction_timeout_ms": 1000}
    return Settings.build(**given | changed)


def records_of(count=240, seed=3, keys=b"abcdef", forgets=True):
    """Return records of a few keys, one second apart, with some invalid ones and forgets."""
    draw, result = random.Random(seed), []
    for offset in range(count):
        key = bytes([draw.choice(keys)])
        value = {"x": draw.uniform(-2, 2), "kind": draw.choice("ABC")}
        kind = draw.random()
        if kind > 0.96 and forgets:
            value = None
        elif kind > 0.9:
            value = draw.choice([b"not json", {"x": "one"}, b"[1]"])
        result.append(record(offset, key, value, BEGIN_MS + 1000 * offset))
    return result


def faults(result) -> dict[str, int]:
    """Return the number of faults of each kind that occurred."""
    return {
        kind: result.counts[kind] for kind in KINDS if kind not in FIGURES and result.counts[kind]
    }


def kinds(made) -> dict[str, list[int]]:
    """Return the offsets of each kind of record."""
    bad = {offset_of(m) for m in made.letters}
    forgets = [r.offset for r in made.records if r.value is None]
    events = [r.offset for r in made.records if r.offset not in bad and r.value is not None]
    return {"bad": sorted(bad), "forget": forgets, "event": events}


def replaced(made, at, **changed):
    """Replace fields of a prediction."""
    made.predictions[at] = made.predictions[at]._replace(**changed)


def in_value(made, at, old, new):
    """Replace bytes in the value of a prediction."""
    value = made.predictions[at].value
    assert old in value
    replaced(made, at, value=value.replace(old, new))


def steps(made, at, by):
    """Change the steps of a prediction by a number."""
    said = orjson.loads(made.predictions[at].value)["steps"]
    in_value(made, at, b'"steps":%d' % said, b'"steps":%d' % (said + by))


def moved(made, at, offset):
    """Return a copy of a prediction that names another source offset."""
    return with_header(made.predictions[at], "sr-offset", b"%d" % offset)


def another_letter(made, at, offset):
    """Return a copy of a dead letter that names another source offset."""
    return with_header(made.letters[at], "sr-offset", b"%d" % offset)


def of_another_bundle():
    """Return the same network with another fingerprint."""
    made = models.small("gru")
    return Model(made.spec, made.cell, made.network, "f" * 64)
