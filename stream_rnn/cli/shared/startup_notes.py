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
    context = click.get_current_context(silent=True)
    source = context and context.get_parameter_source("redis_url")
    if source is ParameterSource.COMMANDLINE:
        from stream_rnn.store.connection import has_password  # noqa: PLC0415  # needs the extra

        url = settings.redis_url.get_secret_value()
        if has_password(url):
            yield Note(
                logging.WARNING,
                "--redis-url has a password, which other users of this machine see in the list of "
                "processes: write the URL into a file and use --redis-url-file, or set "
                "STREAM_RNN_REDIS_URL",
            )


def print_startup_notes(settings: Settings) -> None:
    """Print the notes on standard error, unless the command is the worker, which logs them."""
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != "worker":
        for note in startup_notes(settings):
            click.echo(note.text, err=True)
