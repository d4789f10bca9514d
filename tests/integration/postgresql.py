"""A real PostgreSQL of this machine, for tests of consumers that write rows."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from stream_rnn.local.processes import free_port

PROGRAMS = "/usr/lib/postgresql"
USER, DATABASE = "reader", "postgres"


def find_program(name):
    """Return the path of a program of PostgreSQL; ``None`` if there is none."""
    debian = sorted(Path(PROGRAMS).glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


@contextmanager
def running_postgresql():
    """Run a PostgreSQL that trusts its users, and yield its port; skip where it is missing."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    initdb, postgres = find_program("initdb"), find_program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("no initdb and postgres: install postgresql")
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # root may not run it
    directory = Path(tempfile.mkdtemp(prefix="stream-rnn-postgresql-"))
    if user:
        shutil.chown(directory, "postgres")
    port, data = free_port(), directory / "data"
    command = [initdb, "-D", str(data), "-U", USER, "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=directory, **user)
    options = ("-h", "127.0.0.1", "-p", str(port), "-k", str(directory), "-c", "fsync=off")
    server = subprocess.Popen(
        [postgres, "-D", str(data), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        **user,
    )
    try:
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for the connections of a failed test
        server.wait(20)
        shutil.rmtree(directory)


async def connected(port):
    """Return a connection to a server that may still be starting."""
    import asyncpg

    async with asyncio.timeout(30):
        while True:
            with suppress(OSError, asyncpg.PostgresError):
                return await asyncpg.connect(
                    host="127.0.0.1", port=port, user=USER, database=DATABASE
                )
            await asyncio.sleep(0.1)
