"""The Faust app that ``stream-rnn worker`` runs, for users without an app of their own."""

import faust

from stream_rnn.kafka.connection import faust_credentials, parse_servers
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
    app = faust.App(
        settings.app,
        broker=[f"kafka://{server}" for server in parse_servers(settings.bootstrap_servers)],
        broker_credentials=faust_credentials(settings.kafka_config),
        autodiscover=False,
    )
    return StreamRNN(
        app,
        source=settings.source,
        predictions=settings.predictions,
        bundle=settings.bundle,
        redis_url=settings.redis_url.get_secret_value(),
        settings=settings,
    )
