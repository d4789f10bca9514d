"""The logs of the processes that a test has started, for its report."""

from collections.abc import Iterator
from pathlib import Path

LOG_TAIL = 4000  # bytes


def log_tails(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the last lines of each log in a directory, in the order of their changes.

    A log may be a link to a device that never ends, such as ``/dev/full``; only files are read.
    """
    logs = (path for path in directory.rglob("*.log") if path.is_file())
    for log in sorted(logs, key=lambda path: path.stat().st_mtime):
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL))
            text = file.read(LOG_TAIL).decode("utf-8", "replace")
        yield f"end of {log.relative_to(directory)}", text
