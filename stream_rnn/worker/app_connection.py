"""How the clients of a Faust app connect to its brokers: Faust's own, and those of its folds."""

import asyncio
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import AbstractTokenProvider
from faust.auth import SSLCredentials
from faust.transport.drivers import aiokafka as driver

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.client import Client
from stream_rnn.kafka.clients import set_connections
from stream_rnn.kafka.connection import faust_credentials, token_credentials
from stream_rnn.kafka.credentials import Credentials
from stream_rnn.kafka.group_members import WorkerAssignor
from stream_rnn.kafka.tokens import OwnTokens
from stream_rnn.worker.faust_settings import set_option


class CurrentProducer(driver.Producer):
    """Faust's producer, for the other agents of an app, with the current credentials."""

    mundane_level = "debug"

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        producer = super()._new_producer(transactional_id)
        return set_connections(producer, app_credentials(self.app), Client)


def connect_app(app: faust.App, token_provider: AbstractTokenProvider | None) -> Credentials:
    """Give an app's clients one place of credentials, and return it.

    Args:
        app: Faust app.
        token_provider: Provider of tokens with which the app logs in over TLS; ``None`` for the
            login of the app.

    Raises:
        ConfigError: The app has another login.
    """
    conf, transport = app.conf, cast("Any", app.transport)
    if transport.Producer is driver.Producer:
        transport.Producer = CurrentProducer
    if token_provider is not None:
        login: Any = conf.broker_credentials
        context = conf.ssl_context
        if isinstance(login, SSLCredentials):
            login, context = None, login.context
        if login is not None:
            message = "set either token_provider or broker_credentials, not both"
            raise ConfigError(f"app {conf.id}: {message}")
        made = faust_credentials(token_credentials(OwnTokens(token_provider), context))
        set_option(app, "broker_credentials", made)
    return app_credentials(app)


def connect_consumer(consumer: AIOKafkaConsumer, app: Any) -> AIOKafkaConsumer:
    """Make Faust's consumer read committed records only, over connections of ours, as a worker."""
    # Faust sets this only together with its own transactions, which the plugin refuses.
    consumer._isolation_level = "read_committed"  # noqa: SLF001  # no public way
    consumer._partition_assignment_strategy = [WorkerAssignor]  # noqa: SLF001  # no public way
    return set_connections(consumer, app_credentials(app))


def app_credentials(app: Any) -> Credentials:
    """Return the credentials that all clients of an app share."""
    made: Any = app.conf.broker_credentials
    credentials: Credentials | None = getattr(made, "source", None)
    if credentials is None:
        options = driver.credentials_to_aiokafka_auth(made, app.conf.ssl_context)
        credentials = Credentials(options)
        if made is not None:
            made.source = credentials
    return credentials


def client_options(app: faust.App) -> dict[str, Any]:
    """Return the options with which a Kafka client connects to the brokers of the app."""
    transport, credentials = cast("driver.Transport", app.transport), app_credentials(app)
    credentials.use_loop(asyncio.get_running_loop())
    return {
        "bootstrap_servers": driver.server_list(transport.url, transport.default_port),
        "client_id": app.conf.broker_client_id,
        **credentials.options(),
        "credentials": credentials,
    }
