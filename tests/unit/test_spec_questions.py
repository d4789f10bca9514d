"""The questions of ``spec init``: at a terminal they are asked, elsewhere they end the command."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError
from stream_rnn.spec.questions import Candidate, Question, list_candidates, rank

DEADLINE_S = 120
ROWS = "".join(
    f"u{i // 8 % 9},s{i // 8},{1_700_000_000 + i * i},{'ab'[i % 2]}\n" for i in range(400)
)
LOG = f"user_id,session_id,ts,action\n{ROWS}"


@pytest.fixture
def log(tmp_path):
    """Path of a log whose key is not sure."""
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path / "log.csv"


@pytest.fixture
def terminal(log):
    """Run ``spec init`` at a terminal; return the process and the terminal's other end."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "stream_rnn.cli", "spec", "init", str(log)]
    process = subprocess.Popen(command, stdin=slave, stderr=slave, stdout=subprocess.PIPE)
    os.close(slave)
    try:
        yield process, master
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(master)


def read_until(master, text):
    """Read what a terminal shows until it ends in a text."""
    shown, deadline = "", time.monotonic() + DEADLINE_S
    while text not in shown:
        assert time.monotonic() < deadline, f"the terminal shows {shown!r}"
        if select.select([master], [], [], 1)[0]:
            shown += os.read(master, 4096).decode()
    return shown


def key_of_the_spec(process):
    """Return the key of the spec that a process writes at its end."""
    written = process.stdout.read()
    assert process.wait(DEADLINE_S) == 0
    return tomllib.loads(written.decode())["event"]["key"]


def test_a_terminal_is_asked_and_a_number_answers(terminal):
    """A number that is no candidate is asked for again."""
    process, master = terminal
    shown = read_until(master, "a value of --key: ")
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[0].startswith("Which field is the key?")
    assert lines[1].startswith("1) user_id (confidence 0.50)")
    assert lines[2].startswith("2) session_id (confidence 0.50)")
    os.write(master, b"9\n")
    again = read_until(master, ".\r\nNumber, or a value of --key: ")
    assert "Give a number from 1 to 3, or a value of --key." in again
    os.write(master, b"2\n")
    assert key_of_the_spec(process) == ["session_id"]


def test_a_field_that_does_not_exist_is_asked_for_again(terminal):
    """The message is that of the option."""
    process, master = terminal
    read_until(master, "a value of --key: ")
    os.write(master, b"abc\n")
    again = read_until(master, "\r\nNumber, or a value of --key: ")
    assert "--key abc: " in again
    os.write(master, b"user_id, action\n")
    assert key_of_the_spec(process) == ["user_id", "action"]


def test_a_field_answers_too(terminal):
    """It need not be one of the candidates."""
    process, master = terminal
    read_until(master, "a value of --key: ")
    os.write(master, b"user_id,action\n")
    assert key_of_the_spec(process) == ["user_id", "action"]


def test_ctrl_c_at_a_question_ends_the_command(terminal):
    """Status 130, no spec and no traceback."""
    process, master = terminal
    read_until(master, "a value of --key: ")
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == b""
    assert process.wait(DEADLINE_S) == 130
    rest = b""
    while select.select([master], [], [], 0.2)[0]:
        try:
            rest += os.read(master, 4096)
        except OSError:  # the terminal has no other end any more
            break
    assert b"Traceback" not in rest


def test_the_end_of_the_input_ends_the_command(terminal):
    """Ctrl-D is no answer."""
    process, master = terminal
    read_until(master, "a value of --key: ")
    os.write(master, b"\x04")
    assert process.stdout.read() == b""
    assert process.wait(DEADLINE_S) == 130


def test_without_a_terminal_the_candidates_are_listed(log):
    """Each with the option that chooses it, its confidence and its reason; status 3."""
    command = [sys.executable, "-m", "stream_rnn.cli", "spec", "init", str(log)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    lines = done.stderr.splitlines()
    assert lines[0].endswith("Give --key:")
    assert lines[1].startswith(
        "  --key user_id  confidence 0.50: its name is typical of a key (user)"
    )
    assert lines[2].startswith("  --key session_id  confidence 0.50")


def test_a_function_lists_the_candidates(log):
    """A notebook has no terminal."""
    with pytest.raises(ConfigError, match=r"--key session_id  confidence"):
        propose_spec(log)
    assert propose_spec(log, key="session_id").spec.event.key == ("session_id",)


def test_a_close_rival_makes_the_best_candidate_unsure():
    """A distant one does not."""
    close = rank([Candidate("b", 0.8, "y"), Candidate("a", 0.9, "x")])
    assert [(c.answer, c.confidence) for c in close] == [("a", 0.5), ("b", 0.5)]
    distant = rank([Candidate("b", 0.6, "y"), Candidate("a", 0.9, "x")])
    assert distant[0].confidence == 0.9


def test_a_list_of_candidates_is_bounded_and_printable():
    """What comes from a log cannot steer the terminal."""
    candidates = [
        Candidate("\x1b[2J", 0.5, "\n"),
        *(Candidate(f"c{i}", 0.1, "") for i in range(20)),
    ]
    lines = list_candidates(Question("Which?", "--key", candidates)).splitlines()
    assert lines[1] == r"  --key '\x1b[2J'  confidence 0.50: \n"
    assert (len(lines), lines[-1]) == (14, "  and 9 more")
