"""Start of the command line: quick help, completion, and wrong use."""

import os
import re
import shutil
import subprocess
import sys

import click
import pytest

from stream_rnn.cli.program import full_message, group
from stream_rnn.errors import ConfigError
from stream_rnn.extras import MODULES as OF_EXTRAS
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
