"""Command-line options made from :class:`stream_rnn.settings.Settings`, one for each field."""

import functools
from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stream_rnn.errors import ConfigError
from stream_rnn.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

FOLD = ("state_ttl", "event_time_ahead_max_s", "value_bytes_max", "key_bytes_max", "top_k")
CLUSTER = ("bootstrap_servers", "kafka_config")
PATHS = ("bundle", "kafka_config")  # shells complete them as files


def settings_options(*names: str, required: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Give a command one option for each named setting; it receives ``settings``.

    Args:
        names: fields of ``Settings``.
        required: those without which the command cannot work, unless the environment has them.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def call(**given: Any) -> Any:
            values = {name: given.pop(name) for name in names}
            try:
                settings = Settings.build(**values)
            except ConfigError as error:
                raise click.UsageError(str(error)) from error
            missing = [name for name in required if getattr(settings, name) is None]
            if missing:
                option = _option_name(missing[0])
                variable = f"STREAM_RNN_{missing[0].upper()}"
                raise click.UsageError(f"give {option}, or set {variable}")
            return command(settings=settings, **given)

        for name in reversed(names):
            call = _option(name, Settings.model_fields[name])(call)
        return call  # type: ignore[return-value]  # click adds attributes to the function itself

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    kind = _plain_type(field.annotation)
    choice = get_origin(kind) is Literal
    is_flag = kind is bool
    default = describe_default(field)
    notes = [
        f"default: {default}" if default else "",
        "" if choice else describe_choices(field),
        f"env: STREAM_RNN_{name.upper()}",
    ]
    note = f"  [{'; '.join(note for note in notes if note)}]"
    declaration = _option_name(name) + (f"/--no-{name.replace('_', '-')}" if is_flag else "")
    return click.option(
        declaration,
        name,
        type=click.Choice(get_args(kind))
        if choice
        else None
        if is_flag
        else _click_type(name, kind),
        default=None,
        help=(field.description or "").replace("`", "") + note,
    )


def describe_default(field: FieldInfo) -> str:
    """Return a setting's default as text; empty for none."""
    value = field.default
    if isinstance(value, SecretStr):
        return str(value.get_secret_value())
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def describe_choices(field: FieldInfo) -> str:
    """Return between which numbers a setting may be, or which words; empty for free text."""
    kind = _plain_type(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    bounds = {type(bound).__name__: bound for bound in field.metadata}
    if "Le" not in bounds:
        return ""
    low = f"above {bounds['Gt'].gt:,}" if "Gt" in bounds else f"{bounds['Ge'].ge:,}"
    return f"{low} to {bounds['Le'].le:,.0f}"


def _option_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def _plain_type(annotation: Any) -> Any:
    """Return the type inside of ``X | None`` and of ``Annotated``."""
    if get_origin(annotation) in (Union, UnionType):
        return _plain_type(next(a for a in get_args(annotation) if a is not type(None)))
    if hasattr(annotation, "__metadata__"):
        return _plain_type(get_args(annotation)[0])
    return annotation


def _click_type(name: str, kind: Any) -> Any:
    return click.Path() if name in PATHS else {int: int, float: float}.get(kind, str)
