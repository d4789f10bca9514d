"""Standard output and error whose other end may go away, as that of ``| head`` does.

This is the one place that decides what happens then: the verb ends quietly with status 141, which
is what shells report of a program that SIGPIPE ended.  SIGPIPE itself stays ignored, for a server
that closes a connection must not end the process.  What nobody reads on standard error is
decoration or a log: the verb goes on without it.
"""

import io
import os
import sys
from typing import Any

from stream_rnn.errors import ConfigError
from stream_rnn.replay.ctrl_c import ctrl_c_raises

NOBODY_READS = 141


class _Output(io.FileIO):
    """Ends the program when nobody reads, past every handler of an ``OSError``."""

    def write(self, data: Any) -> int:
        try:
            with ctrl_c_raises():  # the write may wait for its reader
                return super().write(data)
        except KeyboardInterrupt:
            _discard(self.fileno())
            raise
        except BrokenPipeError:
            _discard(self.fileno())
            raise SystemExit(NOBODY_READS) from None
        except OSError as error:
            _discard(self.fileno())
            raise ConfigError(f"cannot write to standard output: {error.strerror}") from error


class _Error(io.FileIO):
    """Says nothing more when nobody reads."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            _discard(self.fileno())
            return len(data)


def open_streams() -> None:
    """Make both streams those of this module, but for a terminal and what a caller put there."""
    sys.stdout = _guarded(sys.stdout, sys.__stdout__, _Output)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__, _Error)


def _guarded(stream: Any, original: Any, kind: type[io.FileIO]) -> Any:
    if stream is None:  # closed by whoever started the process
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # as long as the process
    if stream is not original or stream.isatty():
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(kind(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _discard(descriptor: int) -> None:
    """Send what follows nowhere: the buffers are flushed again when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
