"""The options of ``stream-rnn spec``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.settings_options import FOLD, settings_options
from stream_rnn.cli.verbs import work


@click.group("spec")
def command() -> None:
    """Propose a feature spec from a log, and check one."""


@command.command("init")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="file to write; default: print it")
@click.option("--force", is_flag=True, help="write --out even if it is there")
@click.option(
    "--rows",
    type=click.IntRange(2, 10_000_000),
    default=100_000,
    show_default=True,
    help="that are looked at, the first ones",
)
@click.option("--key", help="fields that make the key, by commas; default: guess")
@click.option("--time", help="field of the event time; default: guess")
@click.option("--target", "targets", multiple=True, help="field to predict; may be given again")
@click.option(
    "--of",
    type=click.Choice(["now", "next", "label"]),
    default="next",
    show_default=True,
    help="which value of --target: this event's, the next one's, or a label's",
)
@click.option(
    "--classes",
    type=click.IntRange(2, 100_000),
    default=1000,
    show_default=True,
    help="of one field, at most",
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
    help="of LOG that are looked at, the first ones",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
@settings_options(*FOLD)
@click.pass_context
def check(ctx: click.Context, /, **given: Any) -> None:
    """Say whether SPEC is valid, and what of LOG is an event by it.

    Of each field: rows that have it, lack it or have another type, values that are no class of the
    spec, and classes that no row has.  Exit status 1 if no row of LOG is an event.
    """
    ctx.exit(work("spec").check(**given))
