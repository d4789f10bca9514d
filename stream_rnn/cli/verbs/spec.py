"""The options of ``stream-rnn spec``."""

from pathlib import Path
from typing import Any

import click

from stream_rnn.cli.shared.log_options import order_option, replay_settings
from stream_rnn.cli.shared.options import Integer, group_option, json_option, path_option, verb
from stream_rnn.cli.shared.settings_options import settings_options
from stream_rnn.cli.verbs import load_work
from stream_rnn.notebook.options import SpecOptions
from stream_rnn.settings import FOLD

ROWS = "Maximum number of rows of LOG to read, from the top."


@click.group("spec")
def command() -> None:
    """Propose a feature spec for a log, and check a feature spec."""


@verb("init", "tickets.csv --key CaseID --out tickets.toml", command)
@click.argument("log", type=click.Path(path_type=Path), required=False)
@click.option(
    "--topic",
    metavar="TOPIC",
    help="Topic to read instead of a file: its first records, and the schemas that they name.",
)
@path_option("--out", help="File to write the spec to; default: standard output.")
@click.option("--force", is_flag=True, help="Overwrite the file of --out if it exists.")
@group_option(SpecOptions, "rows", help=ROWS)
@group_option(
    SpecOptions,
    "key",
    metavar="FIELD,...",
    help="Fields that make the key, separated by commas; default: a guess.",
)
@group_option(
    SpecOptions,
    "time",
    metavar="FIELD",
    help="Field of the event time, or none for the record's timestamp; default: a guess.",
)
@group_option(
    SpecOptions,
    "time_format",
    metavar="FORMAT",
    help="Format of the event time as in strptime, such as %d.%m.%Y %H:%M; default: a guess.",
)
@group_option(
    SpecOptions,
    "zone",
    metavar="NAME",
    help="IANA zone of times that name no zone, such as Europe/Berlin; default: UTC.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="FIELD",
    help="Field to predict; may be repeated; default: a guess.",
)
@group_option(
    SpecOptions,
    "of",
    help="Place of the value to predict: now is the same event, next the next event of the key, label a file of labels.",
)
@group_option(SpecOptions, "classes", help="Maximum number of classes of a field.")
@group_option(
    SpecOptions,
    "delimiter",
    metavar="CHARACTER",
    help="Delimiter of a text file: a character, or whitespace for runs of blanks; default: a guess.",
)
@group_option(
    SpecOptions,
    "decimal",
    metavar="CHARACTER",
    help="Decimal mark of a text file: a point or a comma; default: a guess.",
)
@group_option(
    SpecOptions,
    "thousands",
    metavar="CHARACTER",
    help="Mark between groups of digits in a text file; default: a guess.",
)
@group_option(
    SpecOptions,
    "encoding",
    metavar="NAME",
    help="Encoding of a text file, by Python's name; default: a guess.",
)
@group_option(
    SpecOptions,
    "columns",
    metavar="NAME,...",
    help="Column names of a text file without a header line, separated by commas; default: a guess.",
)
@replay_settings
def init(**options: Any) -> Any:
    """Propose a feature spec for a log.

    LOG is a .csv, .jsonl, .parquet or .avro file, or a directory of such parts; --topic reads a
    topic instead. Types, scalings, vocabularies, key, event time, heads and the format of a text
    file are guesses, unless a schema declares them; a comment beside each gives its reason. If a guess is not sure, the command asks at a terminal;
    elsewhere it ends with the candidates and the option that chooses each. Read the comments
    before you train.
    """
    return load_work("spec").init(**options)


@verb("check", "tickets.toml tickets.csv", command)
@click.argument("spec", type=click.Path(path_type=Path))
@click.argument("log", type=click.Path(path_type=Path), required=False)
@click.option("--rows", type=Integer(1, 1_000_000_000), default=100_000, help=ROWS)
@order_option
@json_option()
@settings_options(*FOLD)
@click.pass_context
def check(ctx: click.Context, /, **options: Any) -> None:
    """Check a feature spec, and count the rows of a log that are valid events of the spec.

    SPEC is a TOML file; LOG is a .csv, .jsonl, .parquet or .avro file. For each field, the check counts
    the rows that have it, lack it or have another type. It lists the values that are no class of
    the spec, and the classes that occur in no row. The exit status is 1 if no row of LOG is an
    event.
    """
    ctx.exit(load_work("spec").check(**options))
