"""The Faust app that ``stream-rnn worker`` runs, for users without an app of their own."""

import faust

from stream_rnn.kafka.connection import connection_options, faust_credentials
from stream_rnn.settings import Settings
from stream_rnn.worker.plugin import StreamRNN


def make_app(settings: Settings) -> StreamRNN:
    """Make a Faust app with one fold.

    Returns:
        The plugin, whose ``app`` is ready to run.

    Raises:
        ConfigError: A setting that a worker needs is missing or invalid.
    """
    settings = settings.of_fold()
    connection = connection_options(settings)
    options = {"broker_client_id": connection["client_id"]} if "client_id" in connection else {}
    app = faust.App(
        settings.app,
        broker=[f"kafka://{server}" for server in connection["bootstrap_servers"]],
        broker_credentials=faust_credentials(connection["credentials"]),
        autodiscover=False,
        **options,
    )
    return StreamRNN(
        app,
        source=settings.source,
        predictions=settings.predictions,
        bundle=settings.bundle,
        settings=settings,
    )
