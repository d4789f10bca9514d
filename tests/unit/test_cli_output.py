"""Standard output and error of a verb: nobody reads them, the disk is full, or they are closed."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.unit.test_cli_start import LINE, PIPE_BYTES, run


def printing(tmp_path, bundle):
    """Return a command line of each verb that prints without a server."""
    log = tmp_path / "log.jsonl"
    events = [{"key": str(i % 3), "x": i / 7, "kind": "AB"[i % 2]} for i in range(20)]
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    spec = tmp_path / "spec.toml"
    init = ("spec", "init", log, "--key", "key", "--target", "x")
    done = run(*init, "--out", spec)
    assert done.returncode == 0, done.stderr
    return [
        ("--help",),
        ("train", "--help"),
        ("--version",),
        init,
        ("spec", "check", spec, log),
        ("spec", "check", spec, log, "--json"),
        ("bundle", "show", bundle),
        ("bundle", "show", bundle, "--json"),
        ("replay", log, "--bundle", bundle, "--out", "-"),
        ("trace", log, "0", "--bundle", bundle, "--json"),
    ]


def into(descriptor, line):
    """Run a command line with a standard output, and close that; return status and standard error."""
    done = subprocess.run(
        [*LINE, *map(str, line)], stdout=descriptor, stderr=subprocess.PIPE, timeout=50, check=False
    )
    os.close(descriptor)
    return done.returncode, done.stderr


def waiting_bytes(pipe):
    """Return the number of unread bytes of a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def closed_pipe():
    """Return the write end of a pipe whose read end is closed."""
    read, write = os.pipe()
    os.close(read)
    return write


NAMES = [
    "help",
    "verb",
    "version",
    "init",
    "check",
    "check-json",
    "show",
    "show-json",
    "replay",
    "trace",
]


@pytest.fixture(scope="module")
def lines(tmp_path_factory, bundle):
    """Return the command lines of :func:`printing` by a short name."""
    return dict(zip(NAMES, printing(tmp_path_factory.mktemp("log"), bundle), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_output_that_nobody_reads_ends_a_verb_quietly(name, lines):
    """Every verb exits with the same status and no message, as other programs before ``head``."""
    assert into(closed_pipe(), lines[name]) == (141, b"")


def test_ctrl_c_ends_a_verb_whose_output_waits_for_its_reader(tmp_path, bundle):
    """A pager that waits for its user blocks a write; Ctrl-C does not wait for the pager."""
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"key": f"{i}", "x": i / 7}) + "\n" for i in range(2000)))
    line = [*LINE, "replay", str(log), "--bundle", str(bundle), "--out", "-"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 40
        while waiting_bytes(process.stdout) < PIPE_BYTES - 4096:
            assert time.monotonic() < deadline, "the pipe was not filled"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read().strip() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("name", ["help", "init", "show-json", "replay"])
def test_output_that_a_full_disk_refuses_is_one_clear_line(name, lines):
    """A person must act: a verb does not report success for output that was not written."""
    status, printed = into(os.open("/dev/full", os.O_WRONLY), lines[name])
    assert status == 3
    assert printed == b"stream-rnn: cannot write to standard output: No space left on device\n"


def test_standard_output_that_was_closed_is_no_trace(lines):
    """With ``>&-``, the program has no standard output at all."""
    shell = ["sh", "-c", '"$@" >&-', "sh", *LINE, *map(str, lines["show-json"])]
    done = subprocess.run(shell, stderr=subprocess.PIPE, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_standard_error_that_nobody_reads_changes_nothing(lines, tmp_path):
    """Standard error has only progress and messages: the predictions are the same."""
    line, outs = (
        [*LINE, *map(str, lines["replay"][:-1])],
        (tmp_path / "a.jsonl", tmp_path / "b.jsonl"),
    )
    whole = subprocess.run([*line, str(outs[0])], capture_output=True, timeout=50, check=False)
    assert whole.returncode == 0
    assert whole.stderr, "there is a message that nobody reads"
    write = closed_pipe()
    done = subprocess.run(
        [*line, str(outs[1])], stdout=subprocess.PIPE, stderr=write, timeout=50, check=False
    )
    os.close(write)
    assert (done.returncode, done.stdout) == (0, whole.stdout)
    assert outs[1].read_bytes() == outs[0].read_bytes()
    assert len(outs[0].read_bytes().splitlines()) == 20
