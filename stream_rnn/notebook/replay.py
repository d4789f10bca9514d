"""``replay``: a range of a log folded again."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import polars as pl

from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.network import Model
from stream_rnn.notebook.columns import PLACE, in_log_order, output_schema
from stream_rnn.notebook.html import table
from stream_rnn.notebook.log import LogLike, open_log, torch_threads
from stream_rnn.notebook.options import LogOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.predictions.schema import Prediction
from stream_rnn.replay.iterate import replay_values
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.to_file import ReplayPlan, flat_row, replay_to_file
from stream_rnn.settings import Settings

SHOWN = 10  # rows of the table in a notebook


@dataclass(frozen=True)
class ReplayResult:
    """The predictions of a log.  The log is folded when they are asked for, each time again.

    Attributes:
        log: not opened.
        bundle: directory of the model.
        model: what is stepped.
        settings: of the fold.
    """

    log: Log
    bundle: Path
    model: Model
    settings: Settings

    def __repr__(self) -> str:
        """Return what is folded by what."""
        return f"<Replay of {self.log.name} by {self.model.name} {self.model.fingerprint[:16]}>"

    def __iter__(self) -> Iterator[Prediction]:
        """Yield the predictions, partition by partition in offset order; leaving the loop ends it."""
        return map(Prediction.parse, self.values())

    def values(self) -> Iterator[bytes]:
        """Yield the predictions as a worker publishes them."""
        with torch_threads():
            yield from chain.from_iterable(replay_values(self.log, self.model, self.settings))

    def head(self, rows: int = SHOWN) -> pl.DataFrame:
        """Return the first predictions of the fold with the columns of :meth:`to_polars`."""
        return self._frame(islice(self.values(), rows))

    def to_polars(self) -> pl.DataFrame:
        """Return all predictions in log order, one row each.

        Columns: see :mod:`stream_rnn.notebook.columns`; of a multi-class head also ``HEAD.top``, the
        likeliest classes with their probabilities as JSON (String).
        """
        return in_log_order(self._frame(self.values()), self.log)

    def write(
        self, out: str | Path, processes: int = 1, on_progress: OnProgress | None = None
    ) -> int:
        """Write all predictions to a file; return how many.

        Args:
            out: .jsonl, .ndjson or .parquet file; what is there is replaced.
            processes: partitions that are folded at once, each in a process.
            on_progress: receives the name of a partition, how many records more were folded, and
                how many there are if that is known.

        Raises:
            ConfigError: the file cannot be written, or something else stands there.
        """
        with torch_threads(), progress_to(on_progress) as told:

            def tell(wanted: Range, records: int) -> None:
                total = None if wanted.end is None else wanted.end - wanted.start
                told(f"{self.log.name}[{wanted.partition}]", records, total)

            plan = ReplayPlan(
                self.log, self.bundle, self.settings, out=Path(out), processes=processes
            )
            return replay_to_file(plan, tell)

    def _repr_html_(self) -> str:
        """Return a table of the first predictions."""
        frame = self.head()
        kept = [column.name for column in frame if column.null_count() < len(column)]
        return table(kept, frame.select(kept).rows(), f"{self!r}, the first {len(frame)}"[1:])

    def _frame(self, values: Iterator[bytes]) -> pl.DataFrame:
        tops = {
            f"{h.name}.top": pl.String for h in self.model.spec.heads if isinstance(h, Multiclass)
        }
        schema = {**PLACE, **output_schema(self.model.spec.heads), **tops}
        return pl.DataFrame([flat_row(value) for value in values], schema=schema)


@keywords(options=LogOptions)
def replay(
    log: LogLike, bundle: str | Path, *, options: LogOptions, settings: Settings
) -> ReplayResult:
    """Fold a range of a log again, with hidden states in memory.

    The keywords are the options of ``stream-rnn replay``.

    Args:
        log: path of a file, data frame of polars or pandas, or a log; ``None`` with ``topic``.
        bundle: directory of the model.
        options: which records are read.
        settings: of the fold.

    Raises:
        ConfigError: the bundle cannot be read.  What is wrong with the log is raised by what reads
            the predictions.

    Example:
        >>> from stream_rnn import replay
        >>> from stream_rnn.notebook.example import example_bundle, machines
        >>> predictions = replay(machines(), example_bundle())
        >>> next(iter(predictions)).key, predictions.to_polars().height
        ('m-0', 480)
    """
    place = Path(bundle)
    model = load_bundle(place)
    source = open_log(log, model.spec, options, settings)
    return ReplayResult(source, place, model, settings.replace(source=source.name))
