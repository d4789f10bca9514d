"""Ctrl-C and SIGTERM while a verb starts or ends: a status, and no trace."""

import json
import signal
import subprocess
import sys

import pytest

UNTIL = """
import os, signal, sys
class Watch:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["stream-rnn", *{words!r}]
sys.meta_path.insert(0, Watch())
from stream_rnn.cli import main
main()
"""
MODULES = [
    "stream_rnn.cli.program",
    "importlib.metadata",
    "click",
    "stream_rnn.cli.verbs.replay",
    "pydantic",
    "pydantic_settings",
    "stream_rnn.cli.replay",
    "numpy",
    "numpy._core.multiarray",
    "polars",
    "aiokafka",
    "torch",
    "torch._C",
    "torch.nn",
    "stream_rnn.replay.to_file",
]


@pytest.mark.parametrize("name", MODULES)
def test_ctrl_c_while_a_module_is_imported_is_130_without_a_trace(name, tmp_path):
    """The import has no chance to raise another error instead."""
    words = ["replay", "no.jsonl", "--bundle", str(tmp_path), "--out", "-"]
    code = UNTIL.format(name=name, words=words)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_ctrl_c_from_outside_right_at_the_start_is_130_without_a_trace():
    """Ctrl-C works from the first line of the package on."""
    code = "print('up', flush=True)\nfrom stream_rnn.cli.shared.interrupts import exit_on_ctrl_c\n"
    code += "exit_on_ctrl_c(); print('from here', flush=True)\n"
    code += "from stream_rnn.cli import main; main(['tail', 't', '--bootstrap-servers', '[::1]:1'])"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=40)
    assert (process.returncode, printed) == (130, b"")


def test_ctrl_c_while_python_ends_is_130_without_a_trace():
    """A function registered with atexit would be interrupted, and Python would print a traceback."""
    code = "import atexit, os, signal\n"
    code += "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    code += "from stream_rnn.cli import main; main(['--version'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")
    assert done.stdout.startswith(b"stream-rnn, version ")  # it was written before


def test_sigterm_while_a_worker_is_imported_is_0(tmp_path):
    """The worker owns nothing yet; a container's first process must handle SIGTERM to end."""
    words = ["worker", "--app=a", "--source=s", "--predictions=p", f"--bundle={tmp_path}"]
    code = UNTIL.format(name="torch", words=words).replace("SIGINT", "SIGTERM")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(bundle):
    """The commands of nohup and of shells without job control ignore Ctrl-C."""
    code = "import os, signal, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + UNTIL.format(
        name="torch", words=["bundle", "show", str(bundle), "--json"]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
