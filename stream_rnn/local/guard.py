"""Runs one server for a parent and ends it when the parent is gone, however it went.

Started as a program, by path, with nothing but the standard library:

    python guard.py DIRECTORY_TO_REMOVE_OR_- GRACE_S COMMAND...

The parent holds the other end of standard input.  A byte there ends the server: SIGTERM, and after
the grace SIGKILL.  When it closes without one, by a crash or a SIGKILL of the parent, the directory
is removed too.  The first line on standard output is the server's process id.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time

LOOK_S = 0.2


def main(directory: str, grace_s: float, command: list[str]) -> int:
    """Run the server until it or the parent ends."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            name, signal.SIG_IGN
        )  # only the pipe ends us, so that the server always ends first
    child = subprocess.Popen(  # noqa: S603  # the command comes from our own package
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_default_signals,  # noqa: PLW1509  # one thread
    )
    print(child.pid, flush=True)  # noqa: T201  # what the parent waits for
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if readable:
            is_asked = bool(os.read(0, 1))
            _end(child, grace_s)
            if directory != "-" and not is_asked:
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
