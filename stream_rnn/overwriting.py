"""Safe overwriting: a file is replaced only by a file of its own kind.

A verb replaces the output of an earlier run of the same verb, and refuses any other file at the
path.  It checks the path before it does any work, and again before it renames the new file: the
work takes long, and another program may have written there meanwhile.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stream_rnn.errors import ConfigError, reason

HEAD_BYTES = 1000

Head = Callable[[bytes], bool]  # returns whether the first bytes of a file are of the kind
Check = Callable[[Path], None]


def check_replaceable(path: Path, what: str, begins: Head) -> None:
    """Refuse a path whose present content an output must not replace.

    Args:
        path: Path of the output.
        what: Name of the output in messages, such as ``the report``.
        begins: Function that receives the first bytes of an existing file that is not empty, and
            returns whether it is an output of the same kind.

    Raises:
        ConfigError: The path exists and is not a file, or is a file of another kind.
    """
    why = f"the existing file is not {what} of an earlier run, and is not overwritten"
    try:
        if path.is_symlink():
            why = "the path is a link, which a file would replace"
        elif not path.exists():
            return
        elif not path.is_file():
            why = "the path is not a file"
        else:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            if not head or begins(head):
                return
    except OSError as error:
        why = error.strerror or reason(error)
    raise ConfigError(
        f"cannot write {what} {path}: {why}; name a file in a directory that exists and is writable"
    )


def check_report(path: Path) -> None:
    """Refuse a path of an existing file that is not a report, or in a missing directory."""
    marked = b'<meta name="generator" content="stream_rnn">'
    check_replaceable(path, "the report", lambda head: marked in head)
    _check_parent(path, "the report")


def check_picture(path: Path) -> None:
    """Refuse a path of an existing file that is not a picture, or in a missing directory."""
    check_replaceable(path, "the picture", lambda head: b'class="sr-trace"' in head)
    _check_parent(path, "the picture")


def _check_parent(path: Path, what: str) -> None:
    """Refuse a path in a directory that does not exist."""
    try:
        has_parent = path.parent.is_dir()
    except OSError as error:
        raise cannot_write(path, what, error) from error
    if not has_parent:
        raise cannot_write(path, what, FileNotFoundError())


def cannot_write(path: Path, what: str, error: OSError) -> ConfigError:
    """Return an error that names the path of the output instead of its temporary path.

    Args:
        path: Path of the output.
        what: Name of the output in messages, such as ``the report``.
        error: Error that writing has raised.
    """
    why = error.strerror or reason(error)
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        why = f"there is no directory {path.parent}"
    return ConfigError(
        f"cannot write {what} {path}: {why}; name a file in a directory that exists and is writable"
    )


def write_whole(path: Path, text: str, what: str, check: Check) -> None:
    """Write a file under a temporary name in the same directory, then rename it.

    Args:
        path: Path of the file.
        text: Content of the file.
        what: Name of the output in messages, such as ``the report``.
        check: Function that is called with the path right before the rename, and raises an error
            if the path must not be replaced.

    Raises:
        ConfigError: The file cannot be written, or the path must not be replaced.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
        check(path)
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, what, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
