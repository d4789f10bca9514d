"""Runs one server for a parent process, and ends the server when the parent ends in any way.

The parent starts this file by its path; it uses only the standard library:

    python guard.py DIRECTORY_TO_REMOVE_OR_- GRACE_S COMMAND...

The parent has the other end of standard input.  A byte on it ends the server: SIGTERM, and SIGKILL
after the grace period.  If standard input closes without a byte, because the parent crashed or was
killed, the guard ends the server in the same way and removes the directory.  The first line on
standard output is the server's process id.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

POLL_INTERVAL_S = 0.2


def main(directory: str, grace_s: float, command: list[str]) -> int:
    """Run the server until it ends, or the parent does; return its exit status."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # only the pipe ends the server, and so the guard
    child = subprocess.Popen(  # noqa: S603  # the command comes from this package
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_default_signals,  # noqa: PLW1509  # there is only one thread
    )
    print(child.pid, flush=True)  # noqa: T201  # the parent waits for it
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], POLL_INTERVAL_S)
        if readable:
            is_stopped = bool(os.read(0, 1))
            _end(child, grace_s)
            if directory != "-" and not is_stopped:
                shutil.rmtree(directory, ignore_errors=True)
    return child.returncode or 0


def _default_signals() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def _end(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    child.terminate()
    deadline = time.monotonic() + grace_s
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
