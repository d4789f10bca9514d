"""Replay of many partitions at once: a process each, and their predictions in one file.

Each process folds one range into a file of its own beside the target; at the end these become the
target, partition by partition, by a rename: it is either whole or not there.
"""

import logging
import multiprocessing
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from stream_rnn.errors import ConfigError, StreamRNNError, reason
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.fold.output_batches import Message
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import pin_numerics
from stream_rnn.overwriting import check_replaceable
from stream_rnn.replay.event_loop import run_coroutine
from stream_rnn.replay.logs import Log, Range
from stream_rnn.replay.partition import replay_partition
from stream_rnn.settings import Settings

POLL_S = 0.1
ROWS_A_PIECE = 100_000
TEXTS = {"key": pl.String, "key_base64": pl.String}  # a piece may hold none of one kind
FAILED = 3
LINE_BYTES_MAX = 16_000_000  # the longest key, each byte of it escaped, and what stands around it
PREDICTION_FIELDS = {"format", "outputs", "source", "event_time_ms", "steps"}
PREDICTION_COLUMNS = {"partition", "offset", "event_time_ms", "steps"}

OnProgress = Callable[[Range, int], None]  # a range, and how many of its records were folded


@dataclass(frozen=True)
class Replay:
    """What is replayed, and where to.

    Attributes:
        log: not opened yet; small enough to be sent to a process.
        bundle: directory of the model.
        settings: names of app and source, and all that is in the fold id.
        out: .jsonl, .ndjson or .parquet.
        processes: at most so many at once.
        token: tells the directory of this replay's parts from whatever else is there.
    """

    log: Log
    bundle: Path
    settings: Settings
    out: Path
    processes: int = 1
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def beside(self) -> Path:
        """Where the parts are: a directory that only this replay has."""
        return self.out.with_name(f".{self.out.name}.{self.token}")

    def part(self, wanted: Range) -> Path:
        """Return the file of one range."""
        return self.beside / f"{wanted.partition:05d}.jsonl"


def check_predictions(path: Path) -> None:
    """Refuse a path at which something stands that holds no predictions."""

    def begins(_head: bytes) -> bool:
        if path.suffix == ".parquet":
            try:
                return set(pl.read_parquet_schema(path)) >= PREDICTION_COLUMNS
            except pl.exceptions.PolarsError:
                return False
        with path.open("rb") as file:
            line = file.readline(LINE_BYTES_MAX)  # the whole one: its key may be long
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
        return isinstance(found, dict) and found.keys() >= PREDICTION_FIELDS

    check_replaceable(path, "the predictions", begins)


def replay_to_file(plan: Replay, on_progress: OnProgress = lambda _range, _records: None) -> int:
    """Replay; return how many predictions were written.

    Raises:
        ConfigError: the target cannot be written, something else stands there, or the log cannot be
            read.
    """
    if plan.out.suffix not in (".jsonl", ".ndjson", ".parquet"):
        raise ConfigError(f"{plan.out}: predictions go to a .jsonl, .ndjson or .parquet file")
    check_predictions(plan.out)
    try:
        plan.beside.mkdir(parents=True)
        try:
            ranges = run_coroutine(_ranges(plan.log))
            if plan.processes == 1 or len(ranges) == 1:
                counts = [_fold(plan, wanted, on_progress) for wanted in ranges]
            else:
                counts = _in_processes(plan, ranges, on_progress)
            _join(plan, ranges)
        finally:
            shutil.rmtree(plan.beside, ignore_errors=True)
    except OSError as error:
        raise ConfigError(f"cannot write {plan.out}: {error.strerror or reason(error)}") from error
    return sum(counts)


async def _ranges(log: Log) -> list[Range]:
    async with log:
        return await log.ranges()


def _fold(plan: Replay, wanted: Range, on_progress: OnProgress) -> int:
    """Fold one range into its part; return how many predictions it holds."""
    pin_numerics()
    model = load_bundle(plan.bundle)
    written = 0
    with plan.part(wanted).open("wb") as target:

        def emit(predictions: Sequence[Message], dead_letters: Sequence[Message]) -> None:
            nonlocal written
            target.writelines((message.value or b"") + b"\n" for message in predictions)
            written += len(predictions)
            on_progress(wanted, len(predictions) + len(dead_letters))

        async def fold() -> None:
            async with plan.log as log:
                batches = log.batches(wanted)
                place = wanted.partition, wanted.start
                await replay_partition(model, plan.settings, *place, batches, emit)

        run_coroutine(fold())
    return written


def _join(plan: Replay, ranges: Sequence[Range]) -> None:
    parts = [plan.part(wanted) for wanted in ranges]
    whole = plan.beside / ("whole" + plan.out.suffix)
    with (plan.beside / "whole.jsonl").open("wb") as target:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            part.unlink()
    if plan.out.suffix == ".parquet":
        _to_parquet(plan.beside / "whole.jsonl", whole)
    elif whole.name != "whole.jsonl":
        (plan.beside / "whole.jsonl").rename(whole)
    check_predictions(plan.out)  # again: a replay takes long
    whole.replace(plan.out)


def _to_parquet(lines: Path, target: Path) -> None:
    """Turn lines into columns, some at a time; outputs are ``head.probability`` and so on."""
    pieces: list[Path] = []
    with lines.open("rb") as source:
        while some := list(islice(source, ROWS_A_PIECE)):
            piece = target.with_name(f"piece-{len(pieces):06d}.parquet")
            rows = [flat_row(line) for line in some]
            pl.DataFrame(rows, schema_overrides=TEXTS).write_parquet(piece)
            pieces.append(piece)
    if not pieces:
        raise ConfigError("there is no prediction, so a Parquet file would have no columns")
    pl.scan_parquet(pieces).sink_parquet(target)


def flat_row(message: bytes) -> dict[str, Any]:
    """Return a prediction as a flat row; ``top`` holds words and numbers, so it stays JSON."""
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
    return row


# --- processes ----------------------------------------------------------------------------------


def _in_processes(plan: Replay, ranges: Sequence[Range], on_progress: OnProgress) -> list[int]:
    context = multiprocessing.get_context("spawn")
    folded: Any = context.Array("q", len(ranges))
    written: Any = context.Array("q", len(ranges))
    waiting = list(enumerate(ranges))[::-1]
    running: list[SpawnProcess] = []
    seen = [0] * len(ranges)
    with _ended(running):
        while waiting or running:
            while waiting and len(running) < plan.processes:
                number, wanted = waiting.pop()
                arguments = (plan, wanted, number, folded, written)
                process = context.Process(target=_child, args=arguments, daemon=True)
                with _ctrl_c_held():  # the child is born with it, and then ignores it
                    process.start()
                    running.append(process)
            time.sleep(POLL_S)
            for number, wanted in enumerate(ranges):
                on_progress(wanted, folded[number] - seen[number])
                seen[number] = folded[number]
            for process in [p for p in running if p.exitcode is not None]:
                running.remove(process)
                if process.exitcode:
                    raise ConfigError(
                        f"a replay process ended with {process.exitcode}; what it said is above"
                    )
    return list(written)


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Let a Ctrl-C wait: an interrupted import in a child would be a trace of somebody's code."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def _ended(running: list[SpawnProcess]) -> Iterator[None]:
    """End what still runs, whatever happens."""
    try:
        yield
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.join(5)


def _child(
    plan: Replay,
    wanted: Range,
    number: int,
    folded: "SynchronizedArray[int]",
    written: "SynchronizedArray[int]",
) -> None:
    """Fold one range in a process of its own; the parent ends it at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_garbage_collector()
    logging.basicConfig(level=logging.WARNING)

    def on_progress(_wanted: Range, records: int) -> None:
        folded[number] += records

    try:
        written[number] = _fold(plan, wanted, on_progress)
    except StreamRNNError as error:
        logging.getLogger(__name__).critical("partition %d: %s", wanted.partition, error)
        raise SystemExit(FAILED) from error
