"""Notes about the settings of a command: what has no effect, and what other users could read."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import click
from click.core import ParameterSource

from stream_rnn.errors import ConfigError
from stream_rnn.settings import Settings


class Note(NamedTuple):
    """A note for the person who starts a command.

    Attributes:
        level: Level of the note in a log.
        text: One line without a secret.
    """

    level: int
    text: str


def startup_notes(settings: Settings) -> Iterator[Note]:
    """Yield the notes about the settings of the current command."""
    if settings.kafka_config is not None:
        from stream_rnn.kafka.connection import config_notes  # noqa: PLC0415  # imports aiokafka

        with suppress(ConfigError):  # raised by what reads the config, if anything does
            ignored, conflict = config_notes(settings)
            if ignored:
                yield Note(logging.INFO, ignored)
            if conflict:
                yield Note(logging.WARNING, conflict)
    yield from _registry_notes(settings)
    if _is_on_command_line("redis_url"):
        from stream_rnn.store.connection import has_password  # noqa: PLC0415  # needs the extra

        url = settings.redis_url.get_secret_value()
        if has_password(url):
            yield Note(
                logging.WARNING,
                "--redis-url has a password, which other users of this machine see in the list of "
                "processes: write the URL into a file and use --redis-url-file, or set "
                "STREAM_RNN_REDIS_URL",
            )


def _registry_notes(settings: Settings) -> Iterator[Note]:
    """Yield the notes about the address of the schema registry."""
    url, path = settings.schema_registry_url, settings.schema_registry_config
    if url is not None and path is not None:
        from stream_rnn.formats.registry_config import read_registry_config  # noqa: PLC0415  # slow

        with suppress(ConfigError):  # raised by what asks the registry
            config = read_registry_config(settings)
            if config is not None and config.is_url_overridden:
                yield Note(
                    logging.WARNING,
                    f"--schema-registry-url {config.place} takes precedence over "
                    f"schema.registry.url of {path}",
                )
    has_login = url is not None and "@" in url.get_secret_value()
    if has_login and _is_on_command_line("schema_registry_url"):
        yield Note(
            logging.WARNING,
            "--schema-registry-url has a password, which other users of this machine see in the "
            "list of processes: write basic.auth.user.info into a file and use "
            "--schema-registry-config, or set STREAM_RNN_SCHEMA_REGISTRY_URL",
        )


def _is_on_command_line(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def print_startup_notes(settings: Settings) -> None:
    """Print the notes on standard error, unless the command is the worker, which logs them."""
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != "worker":
        for note in startup_notes(settings):
            click.echo(note.text, err=True)
