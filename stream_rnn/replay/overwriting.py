"""Overwriting: what stands at a path gives way to its like, and to nothing else.

A verb that writes to a path replaces what an earlier run of the same verb left there.  Whatever
else is there is somebody's, and is refused before any work is done.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl

from stream_rnn.errors import ConfigError, reason

HEAD_BYTES = 1000
PREDICTION, PREDICTION_COLUMNS = b'{"format":', {"partition", "offset", "event_time_ms", "steps"}

Head = Callable[[bytes], bool]  # whether what a file begins with is ours


def check_replaceable(path: Path, what: str, begins: Head) -> None:
    """Refuse a path at which something else stands.

    Args:
        path: where something is to be written.
        what: what that is, such as ``the report``.
        begins: told the first bytes of a file that is there and not empty.

    Raises:
        ConfigError: it is there, and is no file or another one.
    """
    why = f"what is there is not {what} of an earlier run, and is not overwritten"
    try:
        if not path.exists():
            return
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            if not head or begins(head):
                return
    except OSError as error:
        why = error.strerror or reason(error)
    raise ConfigError(
        f"cannot write {what} {path}: {why}; name a file in a directory that exists and that may "
        "be written"
    )


def check_predictions(path: Path) -> None:
    """Refuse a path at which something stands that holds no predictions."""

    def begins(head: bytes) -> bool:
        if path.suffix == ".parquet":
            try:
                return set(pl.read_parquet_schema(path)) >= PREDICTION_COLUMNS
            except pl.exceptions.PolarsError:
                return False
        return head.startswith(PREDICTION) and b'"outputs":{' in head

    check_replaceable(path, "the predictions", begins)


def check_report(path: Path) -> None:
    """Refuse a path at which something stands that is no report."""
    marked = b'<meta name="generator" content="stream_rnn">'
    check_replaceable(path, "the report", lambda head: marked in head)


def check_picture(path: Path) -> None:
    """Refuse a path at which something stands that is no picture of a trace."""
    check_replaceable(path, "the picture", lambda head: b'class="sr-trace"' in head)


def write_whole(path: Path, text: str) -> None:
    """Write a text beside its place, under a name that nothing has, then rename it.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()
