"""The reference: it folds a list of records one by one.

It has no micro-batches, rounds, cache, Redis or Kafka, and shares only the model, the encoder and
the decoder of a single record with the package.  Every test of the fold ends with a comparison with it.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import torch

from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings

F32_MAX = float(np.finfo(np.float32).max)
TIME_MS_MAX = 253_402_300_799_999  # the year 9999


@dataclass
class Truth:
    """The result of folding records: outputs by offset, and the state of each key."""

    predictions: dict[int, dict[str, Any]] = field(default_factory=dict)
    dead_letters: dict[int, str] = field(default_factory=dict)
    states: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)
    stream_ms: int | None = None

    def alive(self, ttl_ms: float | None) -> dict[bytes, tuple[int, int, bytes]]:
        """Return the states that have not expired; the sweep may have removed the others."""
        return {k: s for k, s in self.states.items() if not self.is_expired(s[1], ttl_ms)}

    def is_expired(self, last_ms: int, ttl_ms: float | None) -> bool:
        """Return whether a state whose last event was at this time has expired in stream time."""
        return (
            ttl_ms is not None and self.stream_ms is not None and self.stream_ms - last_ms > ttl_ms
        )

    def forget(self, record: Record, settings: Settings) -> None:
        """Delete the state of a key; advance stream time if the record is a tick."""
        self.states.pop(record.key, None)
        year = settings.event_year_max or 9999
        in_years = record.timestamp <= TIME_MS_MAX and year_of(record.timestamp) <= year
        if record.key == b"stream-rnn/tick" and record.timestamp >= 0 and in_years:
            self.move_to(record, record.timestamp)

    def move_to(self, record: Record, time_ms: int) -> None:
        """Advance stream time to an event whose record has a timestamp to confirm it."""
        if record.timestamp != -1:
            self.stream_ms = time_ms if self.stream_ms is None else max(self.stream_ms, time_ms)

    def opened(self, event, settings: Settings, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records to decode; leave out those that are filtered or forget their key."""
        for record in records:
            fate = fate_of(event, settings, record)
            if fate == "forget":
                self.states.pop(record.key, None)
            elif fate == "decode":
                yield record


def fold(
    model: Model, settings: Settings, records: Iterable[Record], topic="events", partition=0
) -> Truth:
    """Fold records one by one."""
    truth = Truth()
    decoder = Decoder(model.spec, settings)
    ttl_ms = None if settings.state_ttl is None else settings.state_ttl * 1000
    for record in truth.opened(model.spec.event, settings, records):
        decoded = decoder.decode([record])
        assert not decoded.filtered
        x, errors = model.encoder.encode(decoded.columns, decoded.time_ms)
        for error in [*decoded.skips.values(), *errors.values()]:
            truth.dead_letters[record.offset] = error.code
        if decoded.forgets:
            truth.forget(record, settings)
        if not len(decoded.rows) or errors:
            continue
        time_ms = int(decoded.time_ms[0])
        truth.move_to(record, time_ms)
        steps, last_ms, state = truth.states.get(record.key, (0, 0, b""))
        if steps and truth.is_expired(last_ms, ttl_ms):
            steps = 0
        since = float(max(time_ms - last_ms, 0)) if steps else np.nan
        surprises = surprises_of(model, record, since, state) if steps else None
        model.encoder.fill_since_previous(x, np.array([since]))
        stepped = step(model, x, state if steps else None)
        if stepped is None:
            truth.dead_letters[record.offset] = "step_not_finite"
            continue
        last_ms = max(last_ms, time_ms) if steps else time_ms
        truth.states[record.key] = (steps + 1, last_ms, stepped[1])
        truth.predictions[record.offset] = prediction(
            model, settings, record, stepped[0], time_ms, steps + 1, topic, partition
        )
        if names := [head.name for head in model.spec.heads if head.surprise]:
            none = dict.fromkeys(names)
            truth.predictions[record.offset]["surprise"] = surprises or none
    return truth


def step(model: Model, x: np.ndarray, state: bytes | None) -> tuple[torch.Tensor, bytes] | None:
    """Step the event x (1, F) from a state; return y and the new state, or nothing if not finite."""
    own, lags, shape = x.copy(), model.encoder.lag_columns, (1, *model.hidden_shape)
    before, previous = torch.zeros(shape), [model.encoder.lag_missing]
    if state is not None:
        floats, size = np.frombuffer(state, np.float32), before.numel()
        before = torch.tensor(floats[:size]).reshape(shape)
        previous.insert(0, floats[size : size + len(lags)])
    for values in previous:
        x[:, lags] = values
        y, h = model.step(torch.from_numpy(x), before)
        if torch.isfinite(y).all() and torch.isfinite(h).all():
            rated = b"".join(columns(model, y)[h.name].tobytes() for h in rating_heads(model))
            return y, h.numpy().tobytes() + own[:, lags].tobytes() + rated
    return None


def rating_heads(model: Model) -> list[Any]:
    """Return the heads that rate the next event."""
    return [head for head in model.spec.heads if head.surprise]


def columns(model: Model, y: torch.Tensor) -> dict[str, np.ndarray]:
    """Return y (1, O) in parts, by head."""
    heads = model.spec.heads
    parts = torch.split(y[0], [head.width for head in heads])
    return {head.name: part.numpy() for head, part in zip(heads, parts, strict=True)}


def surprises_of(model: Model, record: Record, since_ms: float, state: bytes) -> dict[str, Any]:
    """Return the surprise of an event by head, rated by y at the end of the key's state."""
    heads, surprises = rating_heads(model), {}
    if not heads:
        return surprises
    content, width = json.loads(record.value), sum(head.width for head in heads)
    y = np.frombuffer(state, np.float32)[-width:].tolist()
    for head in heads:
        own, y = y[: head.width], y[head.width :]
        value = since_ms / 1000 if head.path is None else look_up(content, head.path)
        exact = surprise(head, own, value)
        surprises[head.name] = None if exact is None else shortest(min(exact, F32_MAX))
    return surprises


def surprise(head, y: list[float], value: Any) -> float | None:
    """Return the surprise of a value by the y of one head; ``None`` if it has no target."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if head.kind == "multiclass":
        return nats(y, head.classes.index(value)) if value in head.classes else None
    if head.kind == "binary":
        if not (isinstance(value, bool) if head.above is None else is_number):
            return None
        return nats([0.0, y[0]], int(value if head.above is None else value > head.above))
    return error_of(head, y, value) if is_number else None


def nats(y: list[float], own: int) -> float:
    """Return -log p of a class."""
    best = y.index(max(y))
    rest = sum(math.exp(one - y[best]) for i, one in enumerate(y) if i != best)
    return math.log1p(rest) + (y[best] - y[own])


def error_of(head, y: list[float], value: float) -> float:
    """Return the error of the prediction of a number, in standard deviations of the target."""
    mean, std = (head.fitted.mean, head.fitted.std) if head.fitted else (0.0, 1.0)
    cap = math.inf if head.cap is None else head.cap
    if head.kind == "time_to_next":
        seconds = math.expm1(min(y[0] * std + mean, 40.0))
        return abs(math.log1p(min(value, cap)) - math.log1p(max(min(seconds, cap), 0.0))) / std
    predicted = sorted(min(max(min(one * std + mean, F32_MAX), -F32_MAX), cap) for one in y)
    errors = [(min(value, cap) - one) / std for one in predicted]
    if head.kind == "regression":
        return abs(errors[0])
    losses = [max(q * e, (q - 1) * e) for q, e in zip(head.quantiles, errors, strict=True)]
    return 2 * sum(losses) / len(losses)


def year_of(time_ms: int) -> int:
    """Return the year of a time from 1970 to 9999."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=max(0, time_ms))).year


def fate_of(event, settings: Settings, record: Record) -> str:
    """Return whether a record is filtered, forgets its key, or must be decoded."""
    if not event.is_enveloped or record.value is None:
        return "decode"
    try:
        assert len(record.value) <= settings.value_bytes_max
        content = json.loads(record.value)
    except (AssertionError, ValueError, RecursionError):
        return "decode"
    for only in event.only:
        if not any(are_equal(look_up(content, only.path), value) for value in only.values):
            return "filtered"
    forget = event.forget_when
    has_key = record.key is not None and len(record.key) <= settings.key_bytes_max
    if has_key and forget and are_equal(look_up(content, forget.path), forget.equals):
        return "forget"
    return "decode"


def look_up(content: Any, path: str) -> Any:
    """Return what a path without quotation marks leads to; ``None`` if there is nothing."""
    for name in path.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content


def are_equal(value: Any, wanted: Any) -> bool:
    """Return whether two values of JSON are equal; a boolean is no number."""
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def prediction(model, settings, record, y, time_ms, steps, topic, partition) -> dict[str, Any]:
    """Return the expected content of the prediction's JSON."""
    try:
        key = {"key": record.key.decode()}
    except UnicodeDecodeError:
        import base64

        key = {"key_base64": base64.b64encode(record.key).decode()}
    outputs = {}
    computed = model.outputs(y.numpy())
    for head in model.spec.heads:
        values = computed[head.name][0]
        match head.kind:
            case "binary":
                outputs[head.name] = {"probability": shortest(values)}
            case "multiclass":
                classes = head.labels
                ranked = sorted(range(len(classes)), key=lambda i: (-values[i], i))[
                    : settings.top_k
                ]
                top = [[classes[i], shortest(values[i])] for i in ranked]
                outputs[head.name] = {"class": top[0][0], "probability": top[0][1], "top": top}
            case "quantile":
                names = (f"p{round(100 * q, 1):g}".replace(".", "_") for q in head.quantiles)
                outputs[head.name] = dict(zip(names, map(shortest, sorted(values)), strict=True))
            case _:
                outputs[head.name] = {"value": shortest(values)}
    return {
        "format": 1,
        **key,
        "outputs": outputs,
        "model": model.name,
        "fingerprint": model.fingerprint[:16],
        "numerics": model.numerics(),
        "source": {"topic": topic, "partition": partition, "offset": record.offset},
        "event_time_ms": time_ms,
        "steps": steps,
        "cold": steps == 1,
    }


def stored(value: bytes) -> tuple[int, int, bytes]:
    """Parse a stored hidden state to the form of ``Truth.states``; see ``fold/README.md``."""
    steps, last_ms = int.from_bytes(value[4:8], "little"), value[8:16]
    return steps, int.from_bytes(last_ms, "little", signed=True), value[16:]


def shortest(value: np.float32) -> float:
    """Return the float with the shortest decimal form that gives the same float32."""
    return json.loads(np.format_float_scientific(np.float32(value), unique=True, trim="0"))
