"""Standard output and standard error whose reader may close the pipe, as ``| head`` does.

If nobody reads standard output any more, the verb ends without a message and with status 141, which
shells report for a program that SIGPIPE has ended.  SIGPIPE itself remains ignored, because a
server that closes a connection must not end the process.  If nobody reads standard error, which has
only progress and the log, the verb continues without it.
"""

import io
import os
import sys
from typing import Any

from stream_rnn.errors import ConfigError
from stream_rnn.replay.ctrl_c import ctrl_c_raises

NOBODY_READS = 141


class _Output(io.FileIO):
    """Ends the program if nobody reads, by an exception that no handler of ``OSError`` catches."""

    def write(self, data: Any) -> int:
        try:
            with ctrl_c_raises():  # the write may wait for the reader
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
    """Discards all further output if nobody reads."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            _discard(self.fileno())
            return len(data)


def open_streams() -> None:
    """Replace both standard streams, unless they are terminals or a caller has replaced them."""
    sys.stdout = _guarded(sys.stdout, sys.__stdout__, _Output)
    sys.stderr = _guarded(sys.stderr, sys.__stderr__, _Error)


def _guarded(stream: Any, original: Any, kind: type[io.FileIO]) -> Any:
    if stream is None:  # the parent process has closed it
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # open until the process ends
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
    """Send further output to the null device: Python flushes the buffers again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
