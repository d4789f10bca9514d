"""Command-line options made from ``Settings`` and ``TrainingSettings``, one for each field."""

import functools
from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stream_rnn.cli.shared.startup_notes import print_startup_notes
from stream_rnn.errors import ConfigError
from stream_rnn.options import INT64_MAX, build_options
from stream_rnn.settings import Settings
from stream_rnn.training.training_settings import TrainingSettings

F = TypeVar("F", bound=Callable[..., Any])

PATHS = (
    "bundle",
    "kafka_config",
    "redis_url_file",
    "schema_registry_config",
    "schemas",
)  # shells complete them as files
METAVARS = {
    "app": "NAME",
    "source": "TOPIC",
    "predictions": "TOPIC",
    "dead_letters": "TOPIC",
    "bundle": "DIRECTORY",
    "bootstrap_servers": "HOST:PORT,...",
    "kafka_config": "FILE",
    "redis_url": "URL",
    "redis_url_file": "FILE",
    "schema_registry_url": "URL,...",
    "schema_registry_config": "FILE",
    "schemas": "FILE",
    "predictions_schema_id": "ID",
    "health_address": "HOST:PORT",
}


def settings_options(
    *names: str, required: tuple[str, ...] = (), repeated: str = ""
) -> Callable[[F], F]:
    """Give a command one option for each named setting, and all of them as ``settings``.

    Args:
        names: Fields of ``Settings``.
        required: Fields that the command line or the environment must set.
        repeated: Field whose option may be repeated; ``settings`` has the first value, and the
            argument of the field's name with an ``s`` has all of the command line.
    """

    def build(**values: Any) -> Settings:
        settings = Settings.build(**values)
        return settings.of_fold(required) if required else settings

    def with_notes(command: F) -> F:
        @functools.wraps(command)
        def call(**options: Any) -> Any:
            print_startup_notes(options["settings"])
            return command(**options)

        return _with_options(call, fields, "settings", build, "STREAM_RNN_", repeated)  # type: ignore[return-value]  # click adds attributes to the function itself

    fields = {name: Settings.model_fields[name] for name in names}
    return with_notes


def training_options(command: F) -> F:
    """Give a command one option for each field of ``TrainingSettings``, and all as ``training``."""
    fields = TrainingSettings.__pydantic_fields__  # type: ignore[attr-defined]  # pydantic adds it
    return _with_options(
        command, fields, "training", functools.partial(build_options, TrainingSettings)
    )


def _with_options(
    command: F,
    fields: dict[str, FieldInfo],
    argument: str,
    build: Callable[..., Any],
    variables: str = "",
    repeated: str = "",
) -> F:
    """Give a command one option for each field, and the settings built from them as one argument.

    Args:
        command: The command's function.
        fields: Fields by name; each option has the name of its field.
        argument: Name of the argument that receives the settings.
        build: Function that builds the settings; the value of an absent option is ``None``.
        variables: Prefix of the environment variables that also set the fields; empty for none.
        repeated: Field whose option may be repeated; empty for none.
    """

    @functools.wraps(command)
    def call(**options: Any) -> Any:
        values = {name: options.pop(name) for name in fields}
        if repeated:
            options[f"{repeated}s"] = values[repeated]
            values[repeated] = next(iter(values[repeated]), None)
        try:
            options[argument] = build(**values)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        return command(**options)

    for name, field in reversed(fields.items()):
        call = _option(name, field, variables, is_repeated=name == repeated)(call)
    return call  # type: ignore[return-value]  # click adds attributes to the function itself


class Choice(click.Choice):  # type: ignore[type-arg]  # generic since click 8.2
    """One of several words, in which ``-`` also stands for ``_``, as it does in names of options."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the word."""
        spelled = value.replace("-", "_") if isinstance(value, str) else value
        return super().convert(spelled if spelled in self.choices else value, param, ctx)


def _option(name: str, field: FieldInfo, variables: str, *, is_repeated: bool) -> Callable[[F], F]:
    kind = plain_type(field.annotation)
    is_choice = get_origin(kind) is Literal
    is_flag = kind is bool
    default = describe_default(field)
    notes = [
        f"default: {default}" if default else "",
        "" if is_choice else describe_choices(field),
        f"env: {variables}{name.upper()}" if variables else "",
        "may be repeated" if is_repeated else "",
    ]
    note = f"  [{'; '.join(note for note in notes if note)}]"
    declaration = _option_name(name) + (f"/--no-{name.replace('_', '-')}" if is_flag else "")
    return click.option(
        declaration,
        name,
        type=Choice(get_args(kind)) if is_choice else None if is_flag else _click_type(name, kind),
        metavar=METAVARS.get(name),
        default=None,
        multiple=is_repeated,
        help=describe(field) + note,
    )


def describe(field: FieldInfo) -> str:
    """Return the description of a setting as plain text."""
    return (field.description or "").replace("`", "")


def describe_default(field: FieldInfo) -> str:
    """Return the default of a setting as text; empty if it has none."""
    value = field.default
    if isinstance(value, SecretStr):
        return str(value.get_secret_value())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def describe_choices(field: FieldInfo) -> str:
    """Return the bounds or the choices of a setting as text; empty for free text."""
    kind = plain_type(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    if "Le" not in bounds and "Lt" not in bounds:
        return ""
    low = (
        f"above {format_bound(bounds['Gt'].gt)}"
        if "Gt" in bounds
        else format_bound(bounds["Ge"].ge)
    )
    high = (
        f"below {format_bound(bounds['Lt'].lt)}"
        if "Lt" in bounds
        else format_bound(bounds["Le"].le)
    )
    return f"{low} to {high}"


def format_bound(value: float) -> str:
    """Return a bound as text."""
    if value == INT64_MAX:
        return "2^63 - 1"
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _option_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def plain_type(annotation: Any) -> Any:
    """Return the type inside of ``X | None`` and of ``Annotated``."""
    if get_origin(annotation) in (Union, UnionType):
        return plain_type(next(a for a in get_args(annotation) if a is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return plain_type(get_args(annotation)[0])
    return annotation


def _click_type(name: str, kind: Any) -> Any:
    return click.Path() if name in PATHS else {int: int, float: float}.get(kind, str)
