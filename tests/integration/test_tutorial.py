"""The README's tutorial, block by block, as a newcomer would type it."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_rnn.local.processes import free_port

README = Path(__file__).parents[2] / "README.md"
COMMANDS_MAX = 9
COMMAND_S = 600
"""Deadline of a command; training takes minutes beside other tests."""
PORTS = {"9092": "kafka", "6379": "redis"}

pytestmark = pytest.mark.timeout(900)


def blocks() -> list[tuple[str, str]]:
    """Return language and content of the tutorial's blocks."""
    text = README.read_text(encoding="utf-8")
    part = re.search(r"<!-- tutorial -->(.*?)<!-- /tutorial -->", text, re.DOTALL)
    return re.findall(r"```(\w+)\n(.*?)```", part.group(1), re.DOTALL)


class Terminal:
    """Runs commands in a directory; those that go on stay in the background."""

    def __init__(self, directory, ports) -> None:
        self.directory, self.ports = directory, ports
        self.background: list[subprocess.Popen] = []
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STREAM_RNN_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['9092']}",
            "STREAM_RNN_REDIS_URL": f"redis://127.0.0.1:{ports['6379']}/0",
        }

    def run(self, line: str) -> str:
        """Run a line to its end, or until what it starts is ready."""
        for port, free in self.ports.items():
            line = line.replace(f"-port {port}", f"-port {free}")
        verb = line.split()[1]
        if verb in ("local", "worker"):
            return self._start(line, "Ctrl-C stops both" if verb == "local" else "fold ready")
        done = subprocess.run(
            shlex.split(line),
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, line: str, ready: str) -> str:
        log = self.directory / f"{len(self.background)}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                line.split(), cwd=self.directory, env=self.environment, stdout=file, stderr=file
            )
        self.background.append(process)
        deadline = time.monotonic() + 90
        while ready not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return ""

    def close(self) -> None:
        """End what was started, the last one first."""
        for process in reversed(self.background):
            process.terminate()
        for process in reversed(self.background):
            process.wait(30)


async def test_the_tutorial_does_what_it_says(tmp_path):
    """From a CSV to a served model in under ten commands; the figures in the text are those."""
    terminal = Terminal(tmp_path, {port: str(free_port()) for port in PORTS})
    said, commands = {}, 0
    try:
        for language, content in blocks():
            if language == "python":
                exec(compile(content.replace('"machines.csv"', repr(str(tmp_path / "machines.csv"))), "README", "exec"), {})  # fmt: skip
                continue
            for line in content.strip().splitlines():
                commands += 1
                said[" ".join(line.split()[1:3])] = await asyncio.to_thread(terminal.run, line)
    finally:
        await asyncio.to_thread(terminal.close)
    assert commands <= COMMANDS_MAX
    text = re.search(r"AUC ([\d.]+) with it, ([\d.]+) without", README.read_text("utf-8"))
    row = next(r for r in said["evaluate machines.csv"].splitlines() if r.startswith("auc"))
    shown = re.findall(r"\d\.\d{4}", row)
    assert [f"{float(value):.2f}" for value in shown[:2]] == list(text.groups())
    assert "with memory and" in said["evaluate machines.csv"]
    assert (tmp_path / "report.html").stat().st_size > 50_000
    assert (tmp_path / "m-7.svg").read_text().startswith("<svg")
    assert len([line for line in said["tail failures"].splitlines() if "m-" in line]) == 5
    found = dict(re.findall(r"^([a-z ]+?) +(\d+)$", said["audit --app"], re.MULTILINE))
    assert int(found["compared"]) > 0
    assert found["missing"] == found["different"] == found["duplicated"] == "0"
