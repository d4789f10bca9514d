"""The program: the group of all verbs, and how its errors are printed."""

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
from stream_rnn.cli.shared.interrupts import INTERRUPTED, exit_on_ctrl_c, raise_on_ctrl_c
from stream_rnn.cli.shared.standard_streams import open_streams
from stream_rnn.errors import ConfigError, Reaction, StreamRNNError, UnreachableError, reason
from stream_rnn.extras import explain

NAME = "stream-rnn"
COMPLETION = "_STREAM_RNN_COMPLETE"  # environment variable; click derives it from the name


class _Verbs(click.Group):
    """The verbs, whose options are loaded when a command line names the verb."""

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
            UnreachableError: A server closed a connection; click would exit without a message.
            MissingExtraError: The verb needs an extra that is not installed.
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


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="VERB [ARGUMENTS]...",
    epilog="stream-rnn VERB --help shows the options of a verb, and an example.",
)
@click.version_option(__version__, prog_name=NAME)
def group() -> None:
    """Run a recurrent network over each key of a Kafka topic, with its memory in Redis."""


def run(arguments: list[str] | None) -> None:
    """Run a verb and exit with its status.

    Args:
        arguments: Words of the command line; ``None`` takes those of the process.
    """
    open_streams()
    try:
        status = _status(arguments)
    finally:
        with suppress(SystemExit, ConfigError):
            sys.stdout.flush()
        raise_on_ctrl_c()
        atexit.register(exit_on_ctrl_c)
    sys.exit(status)


def _status(arguments: list[str] | None) -> int:
    try:
        _check_completion()
        result = group.main(arguments, prog_name=NAME, standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except StreamRNNError as error:
        click.echo(f"{NAME}: {full_message(error)}", err=True)
        return 3 if error.reaction is Reaction.STOP else 4
    return result if isinstance(result, int) else 0


def _check_completion() -> None:
    """Refuse a request for completion that click would answer with status 1 and no message."""
    instruction = os.environ.get(COMPLETION, "")
    shell, _, step = instruction.partition("_")
    if instruction and (get_completion_class(shell) is None or step not in ("source", "complete")):
        raise click.UsageError(
            f"{COMPLETION}={instruction} is no completion; set it to bash_source, zsh_source or "
            "fish_source for the script of a shell"
        )


def full_message(error: StreamRNNError) -> str:
    """Return the message of an error; a message that ends in a colon is completed by its cause.

    Example:
        >>> full_message(ConfigError("no answer from Kafka: "))
        'no answer from Kafka: ConfigError'
    """
    text = str(error).strip()
    if text and not text.endswith(":"):
        return text
    cause = error.__cause__ or error.__context__
    reason_text = type(error).__name__ if cause is None else reason(cause)
    return f"{text} {reason_text}".strip()
