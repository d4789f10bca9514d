"""The function ``replay``, which folds a range of a log again."""

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
from stream_rnn.notebook.options import LogOptions, ReplayOptions, keywords
from stream_rnn.notebook.progress import OnProgress, progress_to
from stream_rnn.options import build_options
from stream_rnn.predictions.schema import Prediction
from stream_rnn.replay.event_loop import ctrl_c_raises_in_loop, run_coroutine
from stream_rnn.replay.iterate import OnCounts, replay_values
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.no_event import explain_no_event
from stream_rnn.replay.to_file import ReplayPlan, Written, flat_row, replay_to_file
from stream_rnn.settings import Settings

ROWS_SHOWN = 10  # in the table of a notebook


@dataclass(frozen=True)
class ReplayResult:
    """The predictions of a model on a log.  Each method that reads them folds the log again.

    Attributes:
        log: Log to fold; not opened.
        bundle: Directory of the bundle.
        model: Model to step.
        settings: Settings of the fold.
    """

    log: Log
    bundle: Path
    model: Model
    settings: Settings

    def __repr__(self) -> str:
        """Return the names of the log and the model."""
        return f"<Replay of {self.log.name} by {self.model.name} {self.model.fingerprint[:16]}>"

    def __iter__(self) -> Iterator[Prediction]:
        """Yield the predictions in offset order, partition by partition.

        Leaving the loop ends the fold.
        """
        return map(Prediction.parse, self.values())

    def values(self, on_counts: OnCounts = lambda _counts: None) -> Iterator[bytes]:
        """Yield the predictions as JSON, with the bytes that a worker publishes.

        Args:
            on_counts: Called with the counts of each partition when it is folded: its events,
                predictions, and skipped and filtered records.
        """
        batches = replay_values(self.log, self.model, self.settings, on_counts)
        yield from chain.from_iterable(batches)

    def head(self, rows: int = ROWS_SHOWN) -> pl.DataFrame:
        """Return the first predictions of the fold, with the columns of :meth:`to_polars`."""
        return self._frame(islice(self.values(), rows))

    def to_polars(self) -> pl.DataFrame:
        """Return all predictions in log order, one row each.

        Columns: those of :mod:`stream_rnn.notebook.columns`; for each multi-class head also
        ``HEAD.top``, the likeliest classes with their probabilities as JSON (String).
        """
        return in_log_order(self._frame(self.values()), self.log)

    def write(
        self, out: str | Path, processes: int = 1, on_progress: OnProgress | None = None
    ) -> int:
        """Write all predictions to a file, and return their number.

        See :meth:`write_and_count`, which has the same arguments.
        """
        return self.write_and_count(out, processes, on_progress).predictions

    @ctrl_c_raises_in_loop()
    def write_and_count(
        self, out: str | Path, processes: int = 1, on_progress: OnProgress | None = None
    ) -> Written:
        """Write all predictions to a file, and return their number and those of the other records.

        Args:
            out: Path of a .jsonl, .ndjson or .parquet file; an existing file is replaced.
            processes: Number of processes, each of which folds one partition at a time.
            on_progress: Called with the name of a partition, the number of records folded since the
                last call, and the number of all its records, ``None`` if it is not known.

        Raises:
            ConfigError: The file cannot be written, or exists and does not contain predictions.
        """
        processes = build_options(ReplayOptions, processes=processes).processes
        with torch_threads(), progress_to(on_progress) as report_progress:

            def report(log_range: Range, records: int) -> None:
                total = None if log_range.end is None else log_range.end - log_range.start
                report_progress(f"{self.log.name}[{log_range.partition}]", records, total)

            plan = ReplayPlan(
                self.log, self.bundle, self.settings, out=Path(out), processes=processes
            )
            return replay_to_file(plan, report)

    def explain_empty(self) -> str:
        """Return why the log has no prediction, for a message."""

        async def explain() -> str:
            async with self.log:
                return await explain_no_event(self.log, self.model.spec, self.settings)

        return run_coroutine(explain())

    def _repr_html_(self) -> str:
        """Return a table of the first predictions."""
        frame = self.head()
        names = [column.name for column in frame if column.null_count() < len(column)]
        return table(
            names, frame.select(names).rows(), f"{self!r}"[1:-1] + f", the first {len(frame)}"
        )

    @ctrl_c_raises_in_loop()
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
        log: Path of a file, data frame of polars or pandas, or ``Log``; ``None`` with ``topic``.
        bundle: Directory of the bundle.
        options: Choice of the records to read.
        settings: Settings of the fold.

    Returns:
        The predictions.  The log is folded when they are read.

    Raises:
        ConfigError: The arguments name no log or two logs.  Other errors of the log are raised when
            the predictions are read.
        BundleError: The bundle cannot be loaded.

    Example:
        >>> from stream_rnn import replay
        >>> from stream_rnn.notebook.example import example_bundle, machines
        >>> predictions = replay(machines(), example_bundle())
        >>> next(iter(predictions)).key, predictions.to_polars().height
        ('m-0', 480)
    """
    directory = Path(bundle)
    model = load_bundle(directory)
    source = open_log(log, model.spec, options, settings)
    return ReplayResult(source, directory, model, settings.replace(source=source.name))
