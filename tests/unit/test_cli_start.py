"""Start and end of the command line: quick help, completion, Ctrl-C, output that nobody reads."""

import array
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import click
import pytest

from stream_rnn.cli.program import full_message, group
from stream_rnn.errors import ConfigError
from stream_rnn.extras import MODULES as OF_EXTRAS
from stream_rnn.model.bundle import save_bundle
from tests import models
from tests.pages import read

PIPE_BYTES = 65_536
LINE = (sys.executable, "-m", "stream_rnn.cli")
HEAVY = ["aiokafka", "rich", *sorted(set().union(*OF_EXTRAS.values()) - {"typing_extensions"})]
WATCH = """
import sys
from stream_rnn.cli import main
for line in {lines!r}:
    try:
        main(line)
    except SystemExit as end:
        assert end.code == {status}, (line, end.code)
    imported = sorted(set({heavy!r}) & set(sys.modules))
    assert not imported, (line, imported)
"""


def paths(command, words=()):
    """Yield the words that name each verb, each group and each command of a group."""
    yield list(words)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), (*words, name))


def watched(lines, status):
    """Run several command lines in one new process, which fails if it has imported a slow module."""
    code = WATCH.format(lines=lines, heavy=HEAVY, status=status)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )


def run(*arguments, **more):
    """Run the command line in a new process."""
    return subprocess.run(
        [*LINE, *map(str, arguments)], capture_output=True, timeout=50, check=False, **more
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return the path of a small bundle."""
    path = tmp_path_factory.mktemp("bundle")
    save_bundle(models.small(), path, {}, {})
    return path


# --- imports ------------------------------------------------------------------------------------


def test_help_of_every_verb_imports_nothing_that_takes_time():
    """Users read help while they type, so it waits neither for torch nor for Faust."""
    lines = [[*words, "--help"] for words in paths(group)]
    assert len(lines) > 20
    done = watched([["--version"], *lines], 0)
    assert done.returncode == 0, done.stderr


def test_wrong_use_of_every_verb_imports_nothing_that_takes_time():
    """Click rejects an unknown option before the work begins."""
    done = watched([[*words, "--no-such-option"] for words in paths(group)], 2)
    assert done.returncode == 0, done.stderr


def test_a_missing_setting_imports_nothing_that_takes_time():
    """The error appears before the work begins."""
    done = watched([["worker"], ["audit"], ["doctor"], ["state", "show"], ["dashboard"]], 2)
    assert done.returncode == 0, done.stderr


def test_the_watch_finds_an_import():
    """The tests above can fail."""
    code = WATCH.format(lines=[["--help"]], heavy=["click"], status=0)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"['click']" in done.stderr


# --- completion ---------------------------------------------------------------------------------


def completions(shell, *words):
    """Return the completions of the last word."""
    environment = {
        **os.environ,
        "_STREAM_RNN_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(("stream-rnn", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = run(env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], "replay"),
        (["state", "ex"], "export"),
        (["train", "--learn"], "--learning-rate"),
        (["train", "--cell", "l"], "lstm"),
        (["deadletters", "list", "--reason", "not_j"], "not_json"),
    ],
)
def test_a_shell_completes_verbs_options_and_choices(shell, words, expected):
    """Completion works under the name of the installed program, however the program was started."""
    assert expected in [word.removeprefix("plain,") for word in completions(shell, *words)]


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "fl"],
        ["replay", "--bundle", "b"],
        ["worker", "--bundle", "b"],
        ["tail", "t", "--kafka-config", "c"],
        ["trace", "fl"],
        ["compare", "fl"],
        ["send", "fl"],
        ["spec", "init", "fl"],
    ],
)
def test_a_shell_completes_files_where_a_path_is_expected(words):
    """The answer asks the shell to list files."""
    assert completions("bash", *words) == [f"file,{words[-1]}"]


@pytest.mark.parametrize("asked", ["bogus", "bash", "bash_bogus", "tcsh_source"])
def test_a_completion_that_does_not_exist_is_wrong_use(asked):
    """Click would exit with status 1 and no message."""
    done = run(env={**os.environ, "_STREAM_RNN_COMPLETE": asked})
    assert done.returncode == 2
    assert f"_STREAM_RNN_COMPLETE={asked} is no completion".encode() in done.stderr
    assert b"bash_source, zsh_source or fish_source" in done.stderr


def test_the_lines_of_the_page_switch_completion_on(tmp_path):
    """The shell has read no other file; zsh must load its completion first."""
    lines = re.findall(
        r"^ {4}(.*compinit|eval .*_COMPLETE=.*)$", read("deploy/COMMANDS.md"), re.MULTILINE
    )
    assert [re.findall("compinit|bash|zsh", line)[0] for line in lines] == [
        "bash",
        "compinit",
        "zsh",
    ]
    program = tmp_path / "stream-rnn"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m stream_rnn.cli "$@"\n')
    program.chmod(0o755)
    more = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    shells = {
        ("bash", "--norc", "-c"): [*lines[:1], "complete -p stream-rnn"],
        ("zsh", "-f", "-c"): [*lines[1:], "print $_comps[stream-rnn]"],
    }
    for shell, script in shells.items():
        if shutil.which(shell[0]):
            done = subprocess.run(
                [*shell, "\n".join(script)],
                capture_output=True,
                timeout=50,
                check=False,
                env={**os.environ, **more},
            )
            assert (done.returncode, done.stderr) == (0, b""), shell
            assert b"_stream_rnn_completion" in done.stdout


def test_a_file_that_is_called_dash_is_no_standard_output(tmp_path, bundle):
    """Its name has no suffix that gives a format, so it is refused."""
    done = run("replay", "no.jsonl", "--bundle", bundle, "--out", "./-", cwd=tmp_path)
    assert done.returncode == 3
    assert b"-: predictions go to a .jsonl, .ndjson or .parquet file" in done.stderr


def test_two_things_that_want_standard_output_are_wrong_use(bundle):
    """The summary would be printed among the predictions."""
    done = run("replay", "no.jsonl", "--bundle", bundle, "--out", "-", "--json")
    assert done.returncode == 2
    assert b"--json prints a summary on standard output" in done.stderr


# --- Ctrl-C -------------------------------------------------------------------------------------

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


# --- output that nobody reads -------------------------------------------------------------------


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


# --- reasons ------------------------------------------------------------------------------------


def test_an_error_without_a_message_is_explained_by_its_cause():
    """``TimeoutError`` has no message, so a message that quotes it would end after its colon."""

    def raised(error, cause):
        try:
            raise error from cause
        except ConfigError as found:
            return full_message(found)

    assert (
        raised(ConfigError("no answer: "), TimeoutError()) == "no answer: TimeoutError (no message)"
    )
    assert raised(ConfigError(""), OSError("cut")) == "OSError: cut"
    assert raised(ConfigError(""), None) == "ConfigError"
    assert raised(ConfigError(""), OSError(2, "gone")) == "FileNotFoundError: [Errno 2] gone"
    assert raised(ConfigError("what, where, remedy"), TimeoutError()) == "what, where, remedy"
