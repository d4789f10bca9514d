"""The network unrolled over one key's events: what came in, what it remembered, what it said.

A partition is read as a fold reads it: the fold's own decoder says what its records are, stream
time runs over all of them, and the key's events take the fold's own single steps
(``fold/single_steps.py``).  So h and the outputs have the bits of the fold; the gates are computed once
more from the weights, for show.  Only the last steps are kept, however long the log.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stream_rnn.errors import ConfigError
from stream_rnn.fold import micro_batch
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.outputs import make_writer
from stream_rnn.fold.single_steps import Memory, step_one_by_one
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from stream_rnn.text import format_duration
from stream_rnn.trace.gates import GATES, gates_of

LAST = 200
BYTES_MAX = 2_000_000_000

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Between:
    """What happened to a memory beside its steps.

    Attributes:
        offset: of the record; of an expiry, that of the event that found the memory expired.
        kind: what it was.
        text: the same as a sentence, with the numbers.
    """

    offset: int
    kind: Literal["expired", "forgotten", "skipped"]
    text: str


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The last T steps of one key.

    Attributes:
        model: what was stepped.
        key: whose events they are.
        source: the log's name.
        partition: where the key is.
        start: the offset at which the fold began, cold.
        records: how many the key has in the range.
        events: steps that were taken in all; the last T of them are here.
        offsets: (T,) of the events.
        time_ms: (T,) event times.
        since_ms: (T,) time since the previous event of the memory; NaN if there is none.
        steps: (T,) events in the memory, this one included.
        x: (T, F) what the network was given; ``columns`` has the names.
        before: (T, L, H), for an LSTM (T, 2, L, H): h before each step.
        h: the same after it.
        gates: by letter, see ``trace/gates.py``: (T, L, H).
        y: (T, O).
        outputs: by head (T,), for classes (T, C).
        between: expiries, forgets and skips among these steps, in offset order.
    """

    model: Model
    key: bytes
    source: str
    partition: int
    start: int
    records: int
    events: int
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

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the F columns of x."""
        return self.model.encoder.names

    @property
    def memory(self) -> dict[str, Floats]:
        """What is remembered: h (T, L, H), of an LSTM also c; nothing of the memoryless."""
        match self.model.cell.kind:
            case "none":
                return {}
            case "lstm":
                return {"h": self.h[:, 0], "c": self.h[:, 1]}
            case _:
                return {"h": self.h}

    @property
    def update_norm(self) -> Floats:
        """How far each step moved what is remembered, (T,): the Euclidean norm."""
        return np.asarray(np.linalg.norm(flattened(self.h - self.before), axis=1), np.float32)

    def predictions(self, settings: Settings) -> list[bytes]:
        """Return the bytes of the T predictions, as a worker with these settings publishes them."""
        writer = make_writer(
            self.model,
            app="",
            source=self.source,
            partition=self.partition,
            fold_id="",
            top_k=settings.top_k,
        )
        keys = [self.key] * len(self.offsets)
        return writer.write(keys, self.offsets, self.time_ms, self.steps, self.outputs)


async def unroll(
    model: Model,
    settings: Settings,
    key: bytes,
    batches: AsyncIterator[Sequence[Record]],
    *,
    source: str,
    partition: int,
    start: int = 0,
    until: int | None = None,
    last: int = LAST,
) -> Unrolled:
    """Step one key through one partition.

    Args:
        model: what is stepped.
        settings: all that is in the fold id.
        key: whose events are stepped.
        batches: the partition's records in offset order, in batches of any size.
        source: the log's name.
        partition: the partition's number.
        start: offset at which the fold begins.
        until: stop after this offset.
        last: steps that are kept.

    Raises:
        ConfigError: so many steps of this model do not fit in memory.

    Invariant: h and predictions equal a replay's bit for bit (``tests/unit/test_unrolled.py``).
    """
    check_size(model, last)
    following = _Following(model, settings, key, last)
    async for records in batches:
        wanted = records
        if until is not None and records[-1].offset > until:
            wanted = [record for record in records if record.offset <= until]
        following.take(wanted)
        if len(wanted) < len(records):
            break
    return following.finish(source, partition, start)


def check_size(model: Model, last: int) -> None:
    """Refuse to keep more steps than fit.

    Raises:
        ConfigError: with the numbers.
    """
    units = model.cell.layers * model.cell.hidden
    floats = model.feature_count + model.hidden_size_floats * 3 + model.output_count * 2
    size = 4 * last * (floats + units * len(GATES[model.cell.kind]))
    if size > BYTES_MAX:
        raise ConfigError(
            f"{last} steps of {model.name} need {size:,} bytes, {BYTES_MAX:,} are allowed; "
            f"ask for {last * BYTES_MAX // size} at most"
        )


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


class _Following:
    """Follows one key through the records of its partition."""

    def __init__(self, model: Model, settings: Settings, key: bytes, last: int) -> None:
        self._model = model
        self._key = key
        self._ttl_ms = settings.state_ttl_ms
        self._decoder = Decoder(model.spec, settings)
        self._nothing = np.zeros(model.hidden_size_floats, np.float32)
        self._memory = Memory(0, 0, self._nothing)
        self._stream_ms: int | None = None
        self._records = 0
        self._events = 0
        self._steps: deque[_Step] = deque(maxlen=last)
        self._between: deque[Between] = deque(maxlen=last)

    def take(self, records: Sequence[Record]) -> None:
        """Step the key's events among the next records."""
        if self._ttl_ms is None:  # then nothing of another key matters to this one
            records = [record for record in records if record.key == self._key]
        if not records:
            return
        batch = micro_batch.decode(self._decoder, self._model, records, self._stream_ms)
        if len(batch.stream_ms):
            self._stream_ms = int(batch.stream_ms[-1])
        own = [row for row, record in enumerate(records) if record.key == self._key]
        self._records += len(own)
        events = {row: event for event, row in enumerate(batch.decoded.rows.tolist())}
        for row in own:
            offset = records[row].offset
            if row in events:
                self._step(offset, events[row], batch)
            elif row in batch.decoded.skips:
                self._skip(offset, str(batch.decoded.skips[row]))
            else:
                self._between.append(
                    Between(offset, "forgotten", f"forgotten at offset {offset:,}")
                )
                self._memory = Memory(0, 0, self._nothing)

    def _step(self, offset: int, event: int, batch: micro_batch.DecodedBatch) -> None:
        before, time_ms, stream_ms = self._memory, batch.decoded.time_ms, batch.stream_ms
        good, errors, self._memory = step_one_by_one(
            self._model, before, [event], batch.x, time_ms, stream_ms, self._ttl_ms
        )
        if errors:
            self._skip(offset, str(errors[event]))
            return
        (done,) = good
        if done.steps == 1 and before.steps:
            silence = format_duration((int(stream_ms[event]) - before.last_ms) / 1000)
            text = f"memory expired after {silence} of silence"
            self._between.append(Between(offset, "expired", text))
        cold = done.steps == 1
        step = _Step(
            offset=offset,
            time_ms=int(time_ms[event]),
            since_ms=np.nan if cold else float(max(int(time_ms[event]) - before.last_ms, 0)),
            steps=done.steps,
            x=batch.x[event].copy(),
            before=self._nothing if cold else before.hidden,
            after=self._memory.hidden,
            y=done.y,
        )
        self._events += 1
        self._steps.append(step)

    def _skip(self, offset: int, reason: str) -> None:
        self._between.append(Between(offset, "skipped", f"skipped at offset {offset:,}: {reason}"))

    def finish(self, source: str, partition: int, start: int) -> Unrolled:
        """Return the steps as arrays, with the gates."""
        model, steps, shape = self._model, self._steps, self._model.hidden_shape
        since_ms = np.array([step.since_ms for step in steps], np.float64)
        x = _stack([step.x for step in steps], (model.feature_count,))
        model.encoder.fill_since_previous(x, since_ms)
        before = _stack([step.before for step in steps], shape)
        y = _stack([step.y for step in steps], (model.output_count,))
        gates, _ = gates_of(model, torch.from_numpy(x), torch.from_numpy(before))
        is_whole = self._events == len(steps)
        first = 0 if is_whole else steps[0].offset
        return Unrolled(
            model=model,
            key=self._key,
            source=source,
            partition=partition,
            start=start,
            records=self._records,
            events=self._events,
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
            between=tuple(one for one in self._between if one.offset >= first),
        )


def _stack(rows: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    return np.array(rows, np.float32).reshape(len(rows), *shape)


def flattened(values: Floats) -> Floats:
    """Return (T, ...) as (T, R)."""
    return values.reshape(len(values), int(np.prod(values.shape[1:])))


def most_varying(values: Floats, count: int) -> NDArray[np.int64]:
    """Return which ``count`` columns of (T, R) have the largest variance, in their own order."""
    if values.shape[1] <= count or not len(values):
        return np.arange(min(count, values.shape[1]))
    falling = np.argsort(-values.var(axis=0), kind="stable")
    return np.sort(falling[:count])
