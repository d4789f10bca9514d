"""The function ``trace``, which unrolls the network over the events of one key."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.keys import describe_key, parse_key
from stream_rnn.model.bundle import load_bundle
from stream_rnn.notebook.columns import output_columns
from stream_rnn.notebook.log import LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, TraceOptions, keywords
from stream_rnn.options import build_options
from stream_rnn.overwriting import check_picture, write_whole
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.settings import Settings
from stream_rnn.trace.find_key import unroll_log
from stream_rnn.trace.svg import STEPS_MAX, unrolled_svg
from stream_rnn.trace.unroll import LAST, Unrolled, flattened


@dataclass(frozen=True)
class TraceResult:
    """The last steps of the network for one key.

    Attributes:
        unrolled: T steps, as arrays.
        settings: Settings of the fold.
    """

    unrolled: Unrolled
    settings: Settings

    def __repr__(self) -> str:
        """Return the key, the names of the model and the log, and the number of steps."""
        it = self.unrolled
        return (
            f"<Trace of {describe_key(it.key)} by {it.model.name} on {it.source}: the last "
            f"{len(it.offsets):,} of {it.events:,} steps>"
        )

    def svg(self) -> str:
        """Return the picture of the unrolled network as SVG."""
        return unrolled_svg(self.unrolled, last=STEPS_MAX)

    def _repr_html_(self) -> str:
        """Return the picture, whose style sheet affects nothing outside it."""
        return self.svg()

    def to_polars(self) -> pl.DataFrame:
        """Return the steps in log order, one row each.

        Columns: ``offset``, ``event_time_ms`` and ``steps`` (Int64); ``since_previous_ms`` (Float64,
        null at the first event of a memory); ``x.NAME``, the inputs of the network, and
        ``gate.LETTER``, the mean of a gate over all units (Float32); ``h``, for an LSTM also ``c``
        (Array of Float32, one value per unit); ``update_norm``, the Euclidean norm of the change of
        the memory by the step (Float32); and the outputs of each head as in
        :mod:`stream_rnn.notebook.columns`.
        """
        it = self.unrolled
        columns = [
            pl.Series("offset", it.offsets),
            pl.Series("event_time_ms", it.time_ms),
            pl.Series("steps", it.steps),
            pl.Series("since_previous_ms", it.since_ms, nan_to_null=True),
            *(pl.Series(f"x.{name}", it.x[:, i]) for i, name in enumerate(it.columns)),
            *(
                pl.Series(f"gate.{letter}", gate.mean(axis=(1, 2), dtype=np.float32))
                for letter, gate in it.gates.items()
            ),
            *(pl.Series(name, flattened(part)) for name, part in it.memory.items()),
        ]
        if it.memory:
            columns.append(pl.Series("update_norm", it.update_norm))
        for head in it.model.spec.heads:
            columns += output_columns(head, it.outputs[head.name], it.surprises)
        return pl.DataFrame(columns)


@keywords(options=LogOptions)
def trace(
    log: LogLike,
    key: str | bytes,
    bundle: str | Path,
    *,
    partition: int | None = None,
    until: int | None = None,
    last: int = LAST,
    picture: str | Path | None = None,
    options: LogOptions,
    settings: Settings,
) -> TraceResult:
    """Unroll the network over the events of a key: x, gates, memory and outputs, step by step.

    The keywords are the options of ``stream-rnn trace``.

    Args:
        log: Path of a file, data frame of polars or pandas, or ``Log``; ``None`` with ``topic``.
        key: Key of the records, as bytes or as text in the form of the command line.
        bundle: Directory of the bundle.
        partition: Partition of the topic; needed only if several have records of the key.
        until: Offset of the last event to step; ``None`` steps all events.
        last: Number of steps to return, counted from the last one.
        picture: Path of an SVG file for the picture; ``None`` writes no file.
        options: Choice of the records to read.
        settings: Settings of the fold.

    Returns:
        The last steps; a notebook displays their picture.

    Raises:
        ConfigError: The log cannot be read, it has no event of the key, or the picture cannot be
            written.
        BundleError: The bundle cannot be loaded.

    Example:
        >>> from stream_rnn import trace
        >>> from stream_rnn.notebook.example import example_bundle, machines
        >>> steps = trace(machines(), "m-1", example_bundle(), last=5)
        >>> steps.to_polars()["steps"].to_list()
        [36, 37, 38, 39, 40]
    """
    steps = build_options(TraceOptions, partition=partition, until=until, last=last)
    if picture is not None:
        check_picture(Path(picture))
    model, record_key = load_bundle(Path(bundle)), _record_key(key)
    source = open_log(log, model.spec, options, settings)

    async def unroll() -> Unrolled:
        async with source as opened:
            return await unroll_log(opened, model, settings, record_key, **asdict(steps))

    with torch_threads():
        result = TraceResult(run_coroutine(unroll()), settings)
    if picture is not None:
        write_whole(Path(picture), result.svg(), "the picture", check_picture)
    return result


def _record_key(key: str | bytes) -> bytes:
    if not isinstance(key, str | bytes):
        raise ConfigError(f"a key is text or bytes, not {type(key).__name__}")
    return key if isinstance(key, bytes) else parse_key(key)
