"""The program: the group of all verbs, and what becomes of its errors."""

import atexit
import importlib
import os
import sys
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import get_completion_class

from stream_rnn import __version__
from stream_rnn.cli import VERBS
from stream_rnn.cli.shared.interrupts import INTERRUPTED, end_at_once, raise_again
from stream_rnn.cli.shared.standard_streams import open_streams
from stream_rnn.errors import ConfigError, Reaction, StreamRNNError, UnreachableError, reason
from stream_rnn.extras import explain

NAME = "stream-rnn"
COMPLETION = "_STREAM_RNN_COMPLETE"  # in the environment; what click makes of the name


class _Verbs(click.Group):
    """Loads a verb's options when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"stream_rnn.cli.verbs.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb.

        Raises:
            UnreachableError: a server closed a connection; click would end without a word.
            MissingExtraError: the verb needs an extra that is not installed.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise UnreachableError("a server closed the connection; try again") from error
        except ModuleNotFoundError as error:
            explain(error, str(ctx.invoked_subcommand))
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
def group() -> None:
    """A recurrent network over each key of a Kafka topic, its memory kept in Redis."""


def run(arguments: list[str] | None) -> None:
    """Run a verb and exit with its status; arguments are the process's own for ``None``."""
    open_streams()
    try:
        status = _status(arguments)
    finally:
        with suppress(SystemExit, ConfigError):
            sys.stdout.flush()
        raise_again()
        atexit.register(end_at_once)
    sys.exit(status)


def _status(arguments: list[str] | None) -> int:
    try:
        _check_completion()
        answer = group.main(arguments, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except StreamRNNError as error:
        click.echo(f"{NAME}: {whole_message(error)}", err=True)
        return 3 if error.reaction is Reaction.STOP else 4
    return answer if isinstance(answer, int) else 0


def _check_completion() -> None:
    """Refuse a request for completion that click would answer by status 1, without a word."""
    asked = os.environ.get(COMPLETION, "")
    shell, _, what = asked.partition("_")
    if asked and (get_completion_class(shell) is None or what not in ("source", "complete")):
        raise click.UsageError(
            f"{COMPLETION}={asked} asks for a completion that does not exist; for a shell's script "
            "give bash_source, zsh_source or fish_source"
        )


def whole_message(error: StreamRNNError) -> str:
    """Return an error's message; what it leaves out at its end is the reason of its cause.

    Example:
        >>> whole_message(ConfigError("no answer of Kafka: "))
        'no answer of Kafka: ConfigError'
    """
    text = str(error).strip()
    if text and not text.endswith(":"):
        return text
    cause = error.__cause__ or error.__context__
    why = type(error).__name__ if cause is None else reason(cause)
    return f"{text} {why}".strip()
