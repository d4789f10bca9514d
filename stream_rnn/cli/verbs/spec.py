"""The options of ``stream-rnn spec``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import work
from stream_rnn.settings import FOLD


@click.group("spec")
def command() -> None:
    """Propose a feature spec from a log, and check one."""


@command.command("init")
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="File to write; default: print the spec."
)
@click.option("--force", is_flag=True, help="Overwrite --out if it exists.")
@click.option(
    "--rows",
    type=click.IntRange(2, 10_000_000),
    default=100_000,
    show_default=True,
    help="Number of rows to look at, the first ones.",
)
@click.option("--key", help="Fields that make the key, separated by commas; default: guess.")
@click.option("--time", help="Field of the event time; default: guess.")
@click.option("--target", multiple=True, help="Field to predict; may be given often.")
@click.option(
    "--of",
    type=click.Choice(["now", "next", "label"]),
    default="next",
    show_default=True,
    help="Which value of --target to predict: this event's, the next one's, or a label's.",
)
@click.option(
    "--classes",
    type=click.IntRange(2, 100_000),
    default=1000,
    show_default=True,
    help="Greatest number of classes of a field.",
)
def init(**given: Any) -> Any:
    """Propose a feature spec for LOG, a .csv, .jsonl or .parquet file.

    Types, scalings, vocabularies, key, event time and heads are guesses; each has a comment that
    says what it was made from.  Read them before you train.

    Example: stream-rnn spec init tickets.csv --key CaseID --out tickets.toml
    """
    return work("spec").init(**given)


@command.command("check")
@click.argument("spec", type=click.Path(path_type=Path))
@click.argument("log", type=click.Path(path_type=Path), required=False)
@click.option(
    "--rows",
    type=click.IntRange(1, 1_000_000_000),
    default=100_000,
    show_default=True,
    help="Number of rows of LOG to look at, the first ones.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@settings_options(*FOLD)
@click.pass_context
def check(ctx: click.Context, /, **given: Any) -> None:
    """Say whether SPEC is valid, and what of LOG is an event by it.

    Of each field: rows that have it, lack it or have another type, values that are no class of the
    spec, and classes that no row has.  Exit status 1 if no row of LOG is an event.
    """
    ctx.exit(work("spec").check(**given))
