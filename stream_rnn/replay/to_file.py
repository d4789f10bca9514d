"""Replay of a log to one file of predictions, with several processes.

Each process folds one partition into a file in a temporary directory beside the target.  At the end
the files are joined in the order of partitions, and a rename makes the target appear atomically.
"""

import logging
import multiprocessing
import os
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl

from stream_rnn.errors import ConfigError, Reaction, StreamRNNError, UnreachableError, reason
from stream_rnn.fold.crash_points import Counts
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.fold.output_batches import Message
from stream_rnn.fold.skip_reasons import SKIP_REASONS
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.overwriting import check_replaceable
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings

POLL_S = 0.1
PIECE_ROWS = 100_000
TEXT_COLUMNS = {"key": pl.String, "key_base64": pl.String}  # a piece may have only nulls
STOPPED, RELEASED = 3, 4
"""Exit statuses of a child: a person must act, or something was away."""
LINE_BYTES_MAX = 16_000_000  # the longest key with each byte escaped, and all other fields
PREDICTION_FIELDS = {"format", "outputs", "source", "event_time_ms", "steps"}
PREDICTION_COLUMNS = {"partition", "offset", "event_time_ms", "steps"}
NUMBERS = 2 + len(SKIP_REASONS)  # of the result of one range


class Written(NamedTuple):
    """The result of a replay to a file.

    Attributes:
        predictions: Number of predictions in the file.
        filtered: Number of records that ``event.only`` of the spec filters.
        skipped: Number of skipped records by reason, the commonest first.
    """

    predictions: int
    filtered: int
    skipped: dict[str, int]

    @classmethod
    def of(cls, counts: Sequence[Counts]) -> "Written":
        """Return the sum of the counts of all partitions."""
        skipped = sum((Counter(c.skips) for c in counts), Counter[str]())
        return cls(
            predictions=sum(c.predictions for c in counts),
            filtered=sum(c.filtered for c in counts),
            skipped=dict(skipped.most_common()),
        )


OnProgress = Callable[[Range, int], None]
"""Called with a range and the number of its records that were folded since the last call."""


@dataclass(frozen=True)
class ReplayPlan:
    """A log to replay, and the file for its predictions.

    Attributes:
        log: A log that is not open yet, and can be pickled.
        bundle: Directory of the bundle.
        settings: Settings with app, source, and everything that is part of the fold id.
        out: Target file: .jsonl, .ndjson or .parquet.
        processes: Largest number of processes at a time.
        token: Random part of the name of the temporary directory.
    """

    log: Log
    bundle: Path
    settings: Settings
    out: Path
    processes: int = 1
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def parts_directory(self) -> Path:
        """Temporary directory of this replay."""
        return self.out.with_name(f".{self.out.name}.{self.token}")

    def part_path(self, source_range: Range) -> Path:
        """Return the temporary file of one range."""
        return self.parts_directory / f"{source_range.partition:05d}.jsonl"

    def error_path(self, process_id: int | None) -> Path:
        """Return the file with the message of a child that has failed."""
        return self.parts_directory / f"error-{process_id}.txt"


def check_predictions(path: Path) -> None:
    """Check that a path is free, or is a file of predictions that may be replaced.

    Raises:
        ConfigError: Anything else exists at the path.
    """

    def has_predictions(_head: bytes) -> bool:
        if path.suffix == ".parquet":
            try:
                return set(pl.read_parquet_schema(path)) >= PREDICTION_COLUMNS
            except pl.exceptions.PolarsError:
                return False
        with path.open("rb") as file:
            line = file.readline(LINE_BYTES_MAX)  # the whole line, whose key may be long
        try:
            prediction = orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        return isinstance(prediction, dict) and prediction.keys() >= PREDICTION_FIELDS

    check_replaceable(path, "the predictions", has_predictions)


def replay_to_file(
    plan: ReplayPlan, on_progress: OnProgress = lambda _range, _records: None
) -> Written:
    """Replay a log to a file, and return the numbers of records.

    Raises:
        ConfigError: The target cannot be written or is not a file of predictions, or the log cannot
            be read.
    """
    if plan.out.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise ConfigError(f"{plan.out}: predictions go to a .jsonl, .ndjson or .parquet file")
    check_predictions(plan.out)
    try:
        plan.parts_directory.mkdir(parents=True)
        try:
            ranges = run_coroutine(_ranges(plan.log))
            if plan.processes == 1 or len(ranges) == 1:
                counts = [_fold(plan, source_range, on_progress) for source_range in ranges]
            else:
                counts = _in_processes(plan, ranges, on_progress)
            _join(plan, ranges)
        finally:
            shutil.rmtree(plan.parts_directory, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.out}: {error.strerror or reason(error)}") from error
    return Written.of(counts)


async def _ranges(log: Log) -> list[Range]:
    async with log:
        return await log.ranges()


def _fold(plan: ReplayPlan, source_range: Range, on_progress: OnProgress) -> Counts:
    """Fold one range into its temporary file, and return the numbers of records."""
    pin_numerics()
    model = load_bundle(plan.bundle)
    with plan.part_path(source_range).open("wb") as target:

        def emit(predictions: Sequence[Message], _dead_letters: Sequence[Message]) -> None:
            target.writelines((message.value or b"") + b"\n" for message in predictions)

        async def batches(log: Log) -> AsyncGenerator[Sequence[Record]]:
            async with aclosing(log.batches(source_range)) as found:
                async for records in found:
                    yield records
                    on_progress(source_range, len(records))

        async def fold() -> Counts:
            async with plan.log as log:
                place = source_range.partition, source_range.start
                return await replay_partition(model, plan.settings, *place, batches(log), emit)

        return run_coroutine(fold())


def _join(plan: ReplayPlan, ranges: Sequence[Range]) -> None:
    parts = [plan.part_path(source_range) for source_range in ranges]
    whole = plan.parts_directory / ("whole" + plan.out.suffix)
    with (plan.parts_directory / "whole.jsonl").open("wb") as target:
        for part_path in parts:
            with part_path.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            part_path.unlink()
    if plan.out.suffix == ".parquet":
        _to_parquet(plan.parts_directory / "whole.jsonl", whole)
    elif whole.name != "whole.jsonl":
        (plan.parts_directory / "whole.jsonl").rename(whole)
    check_predictions(plan.out)  # again, because much time has passed since the first check
    whole.replace(plan.out)


def _to_parquet(lines: Path, target: Path) -> None:
    """Convert lines of JSON to Parquet in pieces; columns of outputs are ``head.probability``."""
    pieces: list[Path] = []
    with lines.open("rb") as source:
        while chunk := list(islice(source, PIECE_ROWS)):
            piece = target.with_name(f"piece-{len(pieces):06d}.parquet")
            rows = [flat_row(line) for line in chunk]
            pl.DataFrame(rows, schema_overrides=TEXT_COLUMNS).write_parquet(piece)
            pieces.append(piece)
    if not pieces:
        raise ConfigError(
            "there are no predictions, so a Parquet file would have no columns; write .jsonl"
        )
    pl.scan_parquet(pieces).sink_parquet(target)


def flat_row(message: bytes) -> dict[str, Any]:
    """Return a prediction as a flat row; ``top``, a list of classes, stays a text of JSON."""
    prediction = orjson.loads(message)
    row = {
        "partition": prediction["source"]["partition"],
        "offset": prediction["source"]["offset"],
        "key": prediction.get("key"),
        "key_base64": prediction.get("key_base64"),
        "event_time_ms": prediction["event_time_ms"],
        "steps": prediction["steps"],
        "cold": prediction["cold"],
    }
    for head, output in prediction["outputs"].items():
        for name, value in output.items():
            row[f"{head}.{name}"] = orjson.dumps(value).decode() if name == "top" else value
    rated = prediction.get("surprise", {}).items()
    return row | {f"{head}.surprise": surprise for head, surprise in rated}


# --- processes ----------------------------------------------------------------------------------


def _in_processes(
    plan: ReplayPlan, ranges: Sequence[Range], on_progress: OnProgress
) -> list[Counts]:
    context = multiprocessing.get_context("spawn")
    folded: Any = context.Array("q", len(ranges))
    written: Any = context.Array("q", NUMBERS * len(ranges))
    waiting = list(enumerate(ranges))[::-1]
    running: list[SpawnProcess] = []
    seen = [0] * len(ranges)
    with _killed_at_exit(running):
        while waiting or running:
            while waiting and len(running) < plan.processes:
                number, source_range = waiting.pop()
                arguments = (plan, source_range, number, folded, written)
                process = context.Process(target=_child, args=arguments, daemon=True)
                with _ctrl_c_blocked():  # the child inherits this, and then ignores Ctrl-C
                    process.start()
                    running.append(process)
            time.sleep(POLL_S)
            for number, source_range in enumerate(ranges):
                on_progress(source_range, folded[number] - seen[number])
                seen[number] = folded[number]
            for process in [p for p in running if p.exitcode is not None]:
                running.remove(process)
                if process.exitcode:
                    raise _failure(plan.error_path(process.pid), process.exitcode)
    return [_from_numbers(written[at : at + NUMBERS]) for at in range(0, len(written), NUMBERS)]


def _failure(path: Path, status: int) -> StreamRNNError:
    """Return the error of a child, which it has written down unless it was killed or has a bug."""
    try:
        text = path.read_text()
    except OSError:
        cause = (
            f"was killed by signal {-status}; if the machine has too little memory, give fewer "
            "--processes"
            if status < 0
            else f"exited with status {status} and no message; its traceback is above"
        )
        return ConfigError(f"a replay process {cause}")
    return UnreachableError(text) if status == RELEASED else ConfigError(text)


def _to_numbers(counts: Counts) -> list[int]:
    """Return the counts of one range as numbers, which processes can share."""
    skipped = (counts.skips.get(code, 0) for code in SKIP_REASONS)
    return [counts.predictions, counts.filtered, *skipped]


def _from_numbers(numbers: Sequence[int]) -> Counts:
    """Return the counts from the result of :func:`_to_numbers`."""
    predictions, filtered, *skipped = numbers
    by_code = zip(SKIP_REASONS, skipped, strict=True)
    skips = {code: count for code, count in by_code if count}
    return Counts(predictions=predictions, filtered=filtered, skips=skips)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Block Ctrl-C, so that it does not interrupt the imports of a child with a traceback."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextmanager
def _killed_at_exit(running: list[SpawnProcess]) -> Iterator[None]:
    """Kill the processes that still run at the end of the block."""
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.join(5)


def _child(
    plan: ReplayPlan,
    source_range: Range,
    number: int,
    folded: "SynchronizedArray[int]",
    written: "SynchronizedArray[int]",
) -> None:
    """Fold one range in a child process, which the parent kills at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_garbage_collector()
    logging.basicConfig(level=logging.WARNING)

    def on_progress(_wanted: Range, records: int) -> None:
        folded[number] += records

    try:
        numbers = _to_numbers(_fold(plan, source_range, on_progress))
        written[NUMBERS * number : NUMBERS * (number + 1)] = numbers
    except StreamRNNError as error:
        text = f"partition {source_range.partition}: {error}"
        plan.error_path(os.getpid()).write_text(text)
        status = STOPPED if error.reaction is Reaction.STOP else RELEASED
        raise SystemExit(status) from None
