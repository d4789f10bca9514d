"""The network unrolled over the events of one key: inputs, gates, hidden states and outputs.

The decoder of the fold reads the partition, and all of its records advance stream time.  Only the
events of the key step the network, by the single steps of the fold (``fold/single_steps.py``), so h
and the outputs equal those of the fold bit for bit.  The gates are computed again from the weights.
Only the last steps are kept in memory.
"""

import math
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError, RecordError
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.outputs import make_writer
from stream_rnn.fold.single_steps import Memory, SingleStep, step_one_by_one
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.text import format_duration
from stream_rnn.trace.gates import gates_named, gates_of

LAST = 200
STEPS_BYTES_MAX = 2_000_000_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Between:
    """An expiry, a forget or a skip between two steps.

    Attributes:
        offset: Offset of the record; for an expiry, of the first event after it.
        kind: Kind of the incident.
        text: Description with its numbers, for people.
    """

    offset: int
    kind: Literal["expired", "forgotten", "skipped"]
    text: str


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The last T steps of one key.

    Attributes:
        model: The model.
        key: The record key.
        source: Name of the log.
        partition: Partition of the key.
        start: Offset at which the fold began, with empty hidden states.
        records: Number of records of the key in the range.
        events: Number of all steps, of which the last T are kept.
        skipped: Number of skipped records of the key in the range, by reason.
        offsets: (T,) offsets of the events.
        time_ms: (T,) event times in milliseconds.
        since_ms: (T,) milliseconds since the previous event of the memory; NaN for its first event.
        steps: (T,) number of events in the memory, including this one.
        x: (T, F) inputs of the network; ``columns`` has their names.
        before: (T, L, H), for an LSTM (T, 2, L, H), h before each step.
        h: h after each step, in the shape of ``before``.
        gates: (T, L, H) gates by letter, see ``trace/gates.py``.
        y: (T, O) outputs of the network before the heads.
        outputs: (T,) outputs by head; (T, C) for classes.
        between: Expiries, forgets and skips among these steps, in offset order.
        surprises: (T,) surprise of each head that has one, by its name; NaN where there is none.
    """

    model: Model
    key: bytes
    source: str
    partition: int
    start: int
    records: int
    events: int
    skipped: dict[str, int]
    offsets: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    since_ms: NDArray[np.float64]
    steps: NDArray[np.int64]
    x: Floats
    before: Floats
    h: Floats
    gates: dict[str, Floats]
    y: Floats
    outputs: dict[str, Floats]
    between: tuple[Between, ...]
    surprises: dict[str, Floats] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the F columns of x."""
        return self.model.encoder.names

    @property
    def memory(self) -> dict[str, Floats]:
        """Parts of the memory: h (T, L, H) or as the class has it, for an LSTM also c; maybe none."""
        match self.model.cell.kind:
            case "none":
                return {}
            case "lstm":
                return {"h": self.h[:, 0], "c": self.h[:, 1]}
            case _:
                return {"h": self.h}

    @property
    def update_norm(self) -> Floats:
        """Euclidean norm of the change of the memory in each step, (T,)."""
        return np.asarray(np.linalg.norm(flattened(self.h - self.before), axis=1), np.float32)

    def predictions(self, settings: Settings) -> list[bytes]:
        """Return the T predictions in the bytes that a worker with these settings publishes."""
        writer = make_writer(
            self.model,
            app="",
            source=self.source,
            partition=self.partition,
            fold_id="",
            top_k=settings.top_k,
        )
        keys = [self.key] * len(self.offsets)
        place = keys, self.offsets, self.time_ms, self.steps
        return writer.write(*place, self.outputs, self.surprises)


async def unroll(
    model: Model,
    settings: Settings,
    key: bytes,
    batches: AsyncGenerator[Sequence[Record]],
    *,
    source: str,
    partition: int,
    start: int = 0,
    until: int | None = None,
    last: int = LAST,
) -> Unrolled:
    """Step the network through the events of one key in one partition.

    Args:
        model: The model.
        settings: Settings with everything that is part of the fold id.
        key: The record key.
        batches: Records of the partition in offset order, in batches of any size.
        source: Name of the log.
        partition: Number of the partition.
        start: Offset at which the fold begins.
        until: Offset of the last event to step; ``None`` for no limit.
        last: Number of steps to keep.

    Raises:
        ConfigError: The steps to keep do not fit into the memory limit.

    Invariant: h and predictions equal those of a replay bit for bit
    (``tests/unit/test_unrolled.py``).
    """
    check_size(model, last)
    unroller = _KeyUnroller(model, settings, key, last)
    async with aclosing(batches):
        async for records in batches:
            in_range = records
            if until is not None and records[-1].offset > until:
                in_range = [record for record in records if record.offset <= until]
            unroller.step_records(in_range)
            if len(in_range) < len(records):
                break
    return unroller.finish(source, partition, start)


def check_size(model: Model, last: int) -> None:
    """Check that the steps to keep fit into ``STEPS_BYTES_MAX``.

    Raises:
        ConfigError: The steps do not fit.
    """
    floats = model.feature_count + model.hidden_size_floats * 3 + model.output_count * 2
    size = 4 * last * (floats + math.prod(units_shape(model)) * len(gates_named(model)))
    if size > STEPS_BYTES_MAX:
        raise ConfigError(
            f"{last} steps of {model.name} need {size:,} bytes, more than {STEPS_BYTES_MAX:,}; "
            f"set --last to {last * STEPS_BYTES_MAX // size} at most"
        )


def units_shape(model: Model) -> tuple[int, ...]:
    """Return (L, H), without the cell state of an LSTM; of a class, the shape of its h."""
    shape = model.hidden_shape
    return shape[1:] if model.cell.kind == "lstm" else shape


@dataclass(frozen=True, slots=True)
class _Step:
    offset: int
    time_ms: int
    since_ms: float
    steps: int
    x: Floats
    before: Floats
    after: Floats
    y: Floats
    surprises: dict[str, Floats]


class _KeyUnroller:
    """Steps the events of one key among the records of its partition."""

    def __init__(self, model: Model, settings: Settings, key: bytes, last: int) -> None:
        self._model = model
        self._key = key
        self._ttl_ms = settings.state_ttl_ms
        self._decoder = Decoder(model.spec, settings)
        self._empty = self._memory = Memory.empty(model)
        self._stream_ms: int | None = None
        self._records = 0
        self._events = 0
        self._skipped = Counter[str]()
        self._steps: deque[_Step] = deque(maxlen=last)
        self._between: deque[Between] = deque(maxlen=last)

    def step_records(self, records: Sequence[Record]) -> None:
        """Step the events of the key among the next records."""
        if self._ttl_ms is None:  # without expiry, the records of other keys have no effect
            records = [record for record in records if record.key == self._key]
        if not records:
            return
        batch = micro_batch.decode(self._decoder, self._model, records, self._stream_ms)
        self._stream_ms = batch.stream_time_ms
        filtered = set(batch.decoded.filtered)
        key_rows = [
            row
            for row, record in enumerate(records)
            if record.key == self._key and row not in filtered
        ]
        self._records += len(key_rows)
        events = {row: event for event, row in enumerate(batch.decoded.rows.tolist())}
        for row in key_rows:
            offset = records[row].offset
            if row in events:
                self._step(offset, events[row], batch)
            elif row in batch.decoded.skips:
                self._skip(offset, batch.decoded.skips[row])
            else:
                self._between.append(
                    Between(offset, "forgotten", f"forgotten at offset {offset:,}")
                )
                self._memory = self._empty

    def _step(self, offset: int, event: int, batch: micro_batch.DecodedBatch) -> None:
        before, time_ms, stream_ms = self._memory, batch.decoded.time_ms, batch.stream_ms
        stepped, errors, self._memory = step_one_by_one(
            self._model, before, [event], batch.x, time_ms, stream_ms, self._ttl_ms
        )
        if errors:
            self._skip(offset, errors[event])
            return
        (result,) = stepped
        if result.steps == 1 and before.steps:
            age = format_duration((int(stream_ms[event]) - before.last_ms) / 1000)
            text = f"memory expired, {age} after its last event"
            self._between.append(Between(offset, "expired", text))
        cold = result.steps == 1
        step = _Step(
            offset=offset,
            time_ms=int(time_ms[event]),
            since_ms=result.since_ms,
            steps=result.steps,
            x=result.x,
            before=self._empty.hidden if cold else before.hidden,
            after=self._memory.hidden,
            y=result.y,
            surprises=self._surprises(event, result, batch),
        )
        self._events += 1
        self._steps.append(step)

    def _surprises(
        self, event: int, result: SingleStep, batch: micro_batch.DecodedBatch
    ) -> dict[str, Floats]:
        """Return the surprise (1,) of each head that has one."""
        surprise = self._model.surprise
        if not surprise.heads:
            return {}
        columns = {path: [values[event]] for path, values in batch.decoded.columns.items()}
        return surprise.of(columns, np.array([result.since_ms]), result.before[None])

    def _skip(self, offset: int, error: RecordError) -> None:
        self._skipped[error.code] += 1
        self._between.append(Between(offset, "skipped", f"skipped at offset {offset:,}: {error}"))

    def finish(self, source: str, partition: int, start: int) -> Unrolled:
        """Return the kept steps as arrays, with their gates."""
        model, steps, shape = self._model, self._steps, self._model.hidden_shape
        since_ms = np.array([step.since_ms for step in steps], np.float64)
        x = _stack([step.x for step in steps], (model.feature_count,))
        before = _stack([step.before for step in steps], shape)
        y = _stack([step.y for step in steps], (model.output_count,))
        gates, _ = gates_of(model, torch.from_numpy(x), torch.from_numpy(before))
        first = 0 if self._events == len(steps) else steps[0].offset
        return Unrolled(
            model=model,
            key=self._key,
            source=source,
            partition=partition,
            start=start,
            records=self._records,
            events=self._events,
            skipped=dict(self._skipped.most_common()),
            offsets=np.array([step.offset for step in steps], np.int64),
            time_ms=np.array([step.time_ms for step in steps], np.int64),
            since_ms=since_ms,
            steps=np.array([step.steps for step in steps], np.int64),
            x=x,
            before=before,
            h=_stack([step.after for step in steps], shape),
            gates={name: values.numpy() for name, values in gates.items()},
            y=y,
            outputs=model.outputs(y),
            surprises={
                head.name: _stack([step.surprises[head.name][0] for step in steps], ())
                for head in model.surprise.heads
            },
            between=tuple(incident for incident in self._between if incident.offset >= first),
        )


def _stack(rows: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    return np.array(rows, np.float32).reshape(len(rows), *shape)


def flattened(values: Floats) -> Floats:
    """Return (T, ...) as (T, R)."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def most_varying(values: Floats, count: int) -> NDArray[np.int64]:
    """Return the indexes of the ``count`` columns of (T, R) with the largest variance, ascending."""
    if values.shape[1] <= count or not len(values):
        return np.arange(min(count, values.shape[1]))
    by_variance = np.argsort(-values.var(axis=0), kind="stable")
    return np.sort(by_variance[:count])
