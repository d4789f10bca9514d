"""Overwriting: what stands at a path gives way to its like, and to nothing else.

A verb that writes to a path replaces what an earlier run of the same verb left there.  Whatever
else is there is somebody's, and is refused before any work is done, and again before the rename:
work takes long, and something may have come there meanwhile.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stream_rnn.errors import ConfigError, reason

HEAD_BYTES = 1000

Head = Callable[[bytes], bool]  # whether what a file begins with is ours
Check = Callable[[Path], None]


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
        if path.is_symlink():
            why = "what is there is a link, which a file would replace"
        elif not path.exists():
            return
        elif not path.is_file():
            why = "what is there is no file"
        else:
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


def check_report(path: Path) -> None:
    """Refuse a path at which something stands that is no report."""
    marked = b'<meta name="generator" content="stream_rnn">'
    check_replaceable(path, "the report", lambda head: marked in head)
    _check_parent(path, "the report")


def check_picture(path: Path) -> None:
    """Refuse a path at which something stands that is no picture of a trace."""
    check_replaceable(path, "the picture", lambda head: b'class="sr-trace"' in head)
    _check_parent(path, "the picture")


def _check_parent(path: Path, what: str) -> None:
    """Refuse a path in a directory that is not there."""
    try:
        is_there = path.parent.is_dir()
    except OSError as error:
        raise cannot_write(path, what, error) from error
    if not is_there:
        raise cannot_write(path, what, FileNotFoundError())


def cannot_write(path: Path, what: str, error: OSError) -> ConfigError:
    """Say why something cannot be written, by its own name, not by the one that it has meanwhile.

    Args:
        path: where it was to be written.
        what: it is, such as ``the report``.
        error: what was raised.
    """
    why = error.strerror or reason(error)
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        why = f"there is no directory {path.parent}"
    return ConfigError(
        f"cannot write {what} {path}: {why}; name a file in a directory that exists and that may "
        "be written"
    )


def write_whole(path: Path, text: str, what: str, check: Check) -> None:
    """Write a text beside its place, under a name that nothing has, then rename it.

    Args:
        path: of the file.
        text: all of it.
        what: it is, for the message, such as ``the report``.
        check: told the path right before the rename; raises if something else stands there.

    Raises:
        ConfigError: it cannot be written, or something else stands there.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
        check(path)
        beside.replace(path)
    except OSError as error:
        raise cannot_write(path, what, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()
