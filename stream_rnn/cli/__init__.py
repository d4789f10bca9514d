"""The command line: ``stream-rnn <verb>``.

Each verb is a module of this package with a click command named ``command``; it is imported when
it is used, so that ``--help`` does not wait for torch.  Exit status: 0 fine, 1 the answer is bad,
2 wrong use, 3 a person must act, 4 restart me, 130 interrupted.
"""

import importlib
import sys
from typing import Any

import click

from stream_rnn import __version__
from stream_rnn.errors import Reaction, StreamRNNError

VERBS = {
    "worker": "fold a topic: the stream worker",
    "demo": "see it work on real data, with a fault in it",
    "local": "run a real Kafka and a real Redis on this machine",
    "send": "send a file's events to a topic",
    "tail": "print predictions as they come",
    "train": "train a bundle and its memoryless baseline from a log",
    "evaluate": "say how good a bundle is, and what its memory is worth",
    "audit": "hold a predictions topic against a replay of its source",
    "compare": "hold two bundles against each other on one log",
    "replay": "fold a range of a log again, with states in memory",
    "trace": "unroll the network over one key's events",
    "spec": "propose a feature spec from a log, and check one",
    "bundle": "look at a bundle",
    "state": "look at a fold's state; save, restore, erase and drop it",
    "dashboard": "a local page that shows a running fold",
    "deadletters": "look at skipped records, and put them back",
    "doctor": "check everything that a worker needs, with remedies",
}


class _Verbs(click.Group):
    """Loads a verb when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"stream_rnn.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stream-rnn")
def group() -> None:
    """A recurrent network over each key of a Kafka topic, its memory kept in Redis."""


def main(arguments: list[str] | None = None) -> Any:
    """Run a verb and exit with its status."""
    try:
        status = group.main(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except StreamRNNError as error:
        click.echo(f"stream-rnn: {error}", err=True)
        sys.exit(3 if error.reaction is Reaction.STOP else 4)
    sys.exit(status if isinstance(status, int) else 0)
