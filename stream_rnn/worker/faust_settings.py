"""The settings that the plugin changes in a Faust app, and the apps that it refuses.

Some defaults of Faust do not fit a fold; *Not obvious* in ``stream_rnn/README.md`` says why.  The
plugin does not change a setting that the app's owner has set by an argument or in the environment.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import faust
from mode import CrashingSupervisor

from stream_rnn.errors import ConfigError
from stream_rnn.kafka.config_names import STATIC_MEMBERSHIP

YEAR_S = 31_536_000.0

DEFAULTS: dict[str, Any] = {
    # A restarted agent skips the event that failed; a fold must not skip it.
    "agent_supervisor": CrashingSupervisor,
    # Only the client applies this limit: an idle worker would leave its group for ever.  The
    # watchdog does this job instead.
    "broker_max_poll_interval": YEAR_S,
    "broker_session_timeout": 10.0,
    "broker_heartbeat_interval": 3.0,
    # A broker that has just started may not know the source yet.  The group leader then assigns
    # no partition to any member until it refreshes its metadata.
    "consumer_metadata_max_age_ms": 10_000,
    # A fold has no tables, so it needs no standby replicas (aiokafka then assigns the partitions)
    # and no leader topic.
    "table_standby_replicas": 0,
    "topic_disable_leader": True,
    # Faust's web server listens on every address, without authentication, on one fixed port.
    "web_enabled": False,
}


def set_defaults(app: faust.App) -> None:
    """Set the settings that the plugin needs and the app's owner has not set."""
    datadir = os.path.join(tempfile.gettempdir(), f"stream-rnn-{os.getuid()}")  # noqa: PTH118  # faust wants a string
    for name, value in {**DEFAULTS, "datadir": datadir}.items():
        if not _is_set(app, name):
            set_option(app, name, value)


def check_app(app: faust.App, source: str, fold_agent: str) -> None:
    """Refuse an app in which the fold would lose or duplicate records.

    Args:
        app: Faust app that the plugin was added to.
        source: Source topic of the fold.
        fold_agent: Name of the agent that reads the source for the fold.

    Raises:
        ConfigError: The app has such a feature; the message says what to change.
    """
    for conflict in _conflicts(app, source, fold_agent):
        raise ConfigError(f"app {app.conf.id}: {conflict}")


def _conflicts(app: faust.App, source: str, fold_agent: str) -> Iterator[str]:
    conf = app.conf
    if len(app.tables):
        yield (
            "it has tables, and with tables Faust delivers records before the fold is positioned; "
            "give the fold a faust.App of its own"
        )
    if (
        str(getattr(conf.processing_guarantee, "value", conf.processing_guarantee))
        == "exactly_once"
    ):
        yield (
            'processing_guarantee="exactly_once" publishes outside of any transaction; leave it '
            'out: the fold is exactly-once by delivery="exactly_once" of StreamRNN'
        )
    if conf.table_standby_replicas:
        yield (
            f"table_standby_replicas={conf.table_standby_replicas} selects Faust's own assignor; "
            "leave it out"
        )
    if conf.consumer_group_instance_id:
        yield (
            f"consumer_group_instance_id={conf.consumer_group_instance_id} (static membership): "
            f"{STATIC_MEMBERSHIP}; leave it and CONSUMER_GROUP_INSTANCE_ID out"
        )
    if "PartitionAssignor" in app._default_options[1]:  # noqa: SLF001  # where Faust keeps the owner's options
        yield "it sets PartitionAssignor, which a fold does not use; leave it out"
    for name, agent in app.agents.items():
        topics = getattr(agent.channel, "topics", None) or ()
        if source in topics and name != fold_agent:
            yield (
                f"agent {name} reads {source} too, and a fold's topic has one reader; give it a "
                "faust.App of its own"
            )


def _is_set(app: faust.App, name: str) -> bool:
    options = app._default_options[1]  # noqa: SLF001  # where Faust keeps the owner's options
    setting = app.Settings.SETTINGS[name]
    env_name = getattr(setting, "env_name", None)
    prefix = options.get("env_prefix") or os.environ.get("APP_ENV_PREFIX") or ""
    return name in options or bool(env_name and os.environ.get(f"{prefix}{env_name}"))


def set_option(app: faust.App, name: str, value: Any) -> None:
    """Set a setting of an app, also after Faust has read it."""
    if app.configured:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Faust warns when a setting that was read is changed
            setattr(app.conf, name, value)
    else:
        options: dict[str, Any] = app._default_options[1]  # type: ignore[assignment]  # noqa: SLF001  # the dict that Faust reads when it configures the app
        options[name] = value
