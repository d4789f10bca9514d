"""Verbs, options and exit status of the command line."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

import stream_rnn
from stream_rnn import cli, errors
from stream_rnn.cli.shared.fold_options import OPTIONS
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.settings import CLUSTER, FOLD, Settings


def run(*arguments):
    """Run the command line in a new process."""
    return subprocess.run(
        [sys.executable, "-m", "stream_rnn.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def status(monkeypatch, capsys):
    """Run a verb that calls a function; return the exit status and standard error."""

    def ended(act):
        @click.command("worker")
        def command():
            return act()

        module = type(sys)("stream_rnn.cli.verbs.worker")
        module.command = command
        monkeypatch.setitem(sys.modules, "stream_rnn.cli.verbs.worker", module)
        with pytest.raises(SystemExit) as exit_:
            cli.main(["worker"])
        return exit_.value.code, capsys.readouterr().err

    return ended


def raising(error):
    """Return a function that raises an error."""

    def act():
        raise error

    return act


def test_the_version_is_the_packages():
    """The line also names the program."""
    assert run("--version").stdout == f"stream-rnn, version {stream_rnn.__version__}\n"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_list_of_verbs_shows_the_first_sentence_of_each_help(verb):
    """The list must not import the verbs, so it repeats the sentences."""
    command = importlib.import_module(f"stream_rnn.cli.verbs.{verb}").command
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert command.name == verb
    assert command.help.partition("\n\n")[0] == cli.VERBS[verb]


def test_a_verb_that_does_not_exist_is_wrong_use():
    """Click exits with status 2."""
    done = run("no-such-verb")
    assert done.returncode == 2
    assert "no-such-verb" in done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConfigError("what, where, remedy"), 3),
        (errors.BundleError("what, where, remedy"), 3),
        (errors.FencedError("what, where, remedy"), 4),
        (errors.UnavailableError("what, where, remedy"), 4),
        (errors.MovedError("what, where, remedy"), 4),
        (click.UsageError("what, where, remedy"), 2),
    ],
)
def test_an_error_is_one_clear_line_and_its_status_says_who_acts(status, error, expected):
    """Status 3 is for a person, 4 for an orchestrator, 2 for whoever typed the command."""
    code, printed = status(raising(error))
    assert code == expected
    assert "what, where, remedy" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("answer", [0, 1, None])
def test_a_verb_may_say_that_the_answer_is_bad(status, answer):
    """The return value of a verb is the exit status; ``None`` is 0."""
    assert status(lambda: answer) == (answer or 0, "")


def test_ctrl_c_is_130_without_a_trace(status):
    """The status is that of shells."""
    code, printed = status(raising(KeyboardInterrupt()))
    assert (code, printed.strip()) == (130, "")


@pytest.mark.parametrize(
    "words", [["state", "drop"], ["state", "erase", "k"]], ids=["state drop", "state erase"]
)
def test_a_question_without_an_answer_is_wrong_use_and_names_the_option(words):
    """A pod and cron have no terminal: status 130 would be that of Ctrl-C."""
    fold = ["--app=a", "--source=s", "--predictions=p", "--bundle=b"]
    command = [sys.executable, "-m", "stream_rnn.cli", *words, *fold]
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nothing was changed" in done.stderr
    assert "use --yes" in done.stderr
    declined = subprocess.run(command, check=False, input="n\n", capture_output=True, text=True)
    assert (declined.returncode, "--yes" in declined.stderr) == (130, False)


def test_every_question_is_asked_in_one_way():
    """A verb that asks by click itself would end with 130 without a terminal."""
    files = Path(stream_rnn.__file__).parent.rglob("*.py")
    asking = [file.stem for file in files if "click.confirm(" in file.read_text()]
    assert asking == ["confirmation"]


def test_a_connection_that_a_server_closed_is_not_a_reader_that_went_away(status):
    """Click would exit without a message, with the status of a bad answer."""
    code, printed = status(raising(BrokenPipeError(32, "Broken pipe")))
    assert (code, printed) == (4, "stream-rnn: a server closed the connection; try again\n")


def test_a_bug_shows_its_trace(status):
    """Only the errors of this package are printed as one line."""
    with pytest.raises(ZeroDivisionError):
        status(raising(ZeroDivisionError()))


@click.command()
@settings_options(*Settings.model_fields, required=("app",))
def probe(settings):
    """Print the settings."""
    for name, value in settings.model_dump().items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        click.echo(f"{name}={shown}")


def test_every_setting_is_an_option_and_a_variable():
    """An option overrides the environment, which overrides the default."""
    environment = {"STREAM_RNN_APP": "one", "STREAM_RNN_TOP_K": "7", "STREAM_RNN_ROUNDS_MAX": "8"}
    options = ["--top-k", "9", "--allow-compacted", "--redis-url", "redis://cache"]
    result = CliRunner().invoke(probe, options, env=environment)
    lines = result.output.splitlines()
    for expected in (
        "app=one",
        "top_k=9",
        "rounds_max=8",
        "allow_compacted=True",
        "redis_url=redis://cache",
        "batch_events_max=16384",
    ):
        assert expected in lines


def test_the_help_of_an_option_has_default_bounds_and_variable():
    """Users find them without looking into the pages."""
    text = " ".join(CliRunner().invoke(probe, ["--help"], terminal_width=200).output.split())
    assert (
        "--transaction-timeout-ms INTEGER Milliseconds after which the broker aborts the transaction "
        "of a dead worker. [default: 10000; 1,000 to 900,000; env: STREAM_RNN_TRANSACTION_TIMEOUT_MS]"
    ) in text
    for name in Settings.model_fields:
        assert f"STREAM_RNN_{name.upper()}]" in text


def test_bounds_are_written_in_words_in_the_help_and_in_errors():
    """They read as those of the settings, where click would print ``0<x<=1``."""
    command = importlib.import_module("stream_rnn.cli.verbs.audit").command
    text = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=200).output.split())
    assert "--sample FLOAT Share of the keys" in text
    assert "[default: 1.0; above 0 to 1]" in text
    assert "default: all. [0 or more]" in text
    assert "[default: 5; 0 to 1,000]" in text
    refused = CliRunner().invoke(command, ["--sample", "3"])
    assert (refused.exit_code, "3.0 is not in the range above 0 to 1" in refused.output) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ([], "give --app, or set STREAM_RNN_APP"),
        (["--app", "one", "--top-k", "0"], "greater than or equal to 1"),
        (["--app", "one", "--delivery", "never"], "exactly_once"),
        (["--app", "one", "--top-k", "many"], "valid integer"),
    ],
)
def test_a_setting_that_cannot_be_is_wrong_use(options, printed):
    """The status is 2, and the message names the option."""
    result = CliRunner().invoke(probe, options)
    assert result.exit_code == 2
    assert printed in result.output


@pytest.mark.parametrize("name", ["audit", "dashboard", "doctor", "state", "worker"])
def test_one_line_of_options_serves_every_command_of_a_fold(name):
    """The options of a worker also fit audit, dashboard, doctor and state."""
    wanted = {*OPTIONS, *FOLD, *CLUSTER, "delivery", "dead_letters", "redis_url", "redis_timeout_s"}
    command = importlib.import_module(f"stream_rnn.cli.verbs.{name}").command
    for child in getattr(command, "commands", {"": command}).values():
        assert wanted <= {option.name for option in child.params}, child.name
