"""What the plugin sets in a Faust app, and what it refuses."""

import os
from pathlib import Path

import faust
import pytest
from mode import CrashingSupervisor

from stream_rnn.errors import ConfigError
from stream_rnn.worker.faust_settings import DEFAULTS, check_app, set_defaults

FOLD_AGENT = "fold"


def app_of(**options):
    """Make an app that is not run."""
    return faust.App("demands", broker="kafka://127.0.0.1:1", **options)


def refusal(app):
    """Return the sentence with which an app is refused."""
    with pytest.raises(ConfigError) as refused:
        check_app(app, "events", FOLD_AGENT)
    return str(refused.value)


def with_agent(app, topic, name):
    """Add an agent."""

    async def agent(stream):
        async for _ in stream:
            pass

    app.agent(app.topic(topic), name=name)(agent)
    return app


def test_what_the_plugin_needs_is_set():
    """An app without opinions gets every default, and a data directory outside of the project."""
    app = app_of()
    set_defaults(app)
    for name, value in DEFAULTS.items():
        assert getattr(app.conf, name) == value, name
    assert not str(app.conf.datadir).startswith(str(Path.cwd()))
    assert str(os.getuid()) in str(app.conf.datadir)


def test_what_the_plugin_needs_is_set_in_an_app_that_was_looked_at():
    """Faust reads its configuration once; a default set later counts too."""
    app = app_of()
    assert app.conf.web_enabled
    set_defaults(app)
    for name, value in DEFAULTS.items():
        assert getattr(app.conf, name) == value, name


@pytest.mark.parametrize("is_looked_at", [False, True])
def test_an_argument_of_the_owner_wins(is_looked_at, tmp_path):
    """What was given is left alone, even where it equals Faust's own default."""
    app = app_of(
        broker_session_timeout=33.0, web_enabled=True, web_port=1, datadir=str(tmp_path / "mine")
    )
    if is_looked_at:
        assert app.conf.web_enabled
    set_defaults(app)
    assert app.conf.broker_session_timeout == 33.0
    assert app.conf.web_enabled is True
    assert "mine" in str(app.conf.datadir)
    assert app.conf.broker_heartbeat_interval == DEFAULTS["broker_heartbeat_interval"]


@pytest.mark.parametrize("is_looked_at", [False, True])
@pytest.mark.parametrize("prefix", ["", "SHOP_"])
def test_the_environment_of_the_owner_wins(monkeypatch, is_looked_at, prefix):
    """With or without the app's own prefix."""
    monkeypatch.setenv(f"{prefix}BROKER_SESSION_TIMEOUT", "33")
    app = app_of(**({"env_prefix": prefix} if prefix else {}))
    if is_looked_at:
        assert app.conf.broker_session_timeout == 33
    set_defaults(app)
    assert app.conf.broker_session_timeout == 33
    assert app.conf.agent_supervisor is CrashingSupervisor


def test_a_plain_app_is_accepted():
    """The fold's own agent may read the source, and other agents other topics."""
    app = with_agent(with_agent(app_of(), "events", FOLD_AGENT), "orders", "shop")
    set_defaults(app)
    check_app(app, "events", FOLD_AGENT)
    assert len(app.agents) == 2


def test_tables_are_refused():
    """With the way out: an app of its own."""
    app = app_of()
    app.Table("counts", default=int)
    assert "it has tables" in refusal(app)
    assert refusal(app).endswith("give the fold a faust.App of its own")


def test_fausts_exactly_once_is_refused():
    """The sentence names the one that holds."""
    app = app_of(processing_guarantee="exactly_once")
    assert 'delivery="exactly_once" of StreamRNN' in refusal(app)


@pytest.mark.parametrize("is_from_environment", [False, True])
def test_static_membership_is_refused(monkeypatch, is_from_environment):
    """Workers that share an environment would take partitions from each other without end."""
    if is_from_environment:
        monkeypatch.setenv("CONSUMER_GROUP_INSTANCE_ID", "one")
    app = app_of(**({} if is_from_environment else {"consumer_group_instance_id": "one"}))
    set_defaults(app)
    assert "consumer_group_instance_id=one (static membership)" in refusal(app)
    assert refusal(app).endswith("leave it and CONSUMER_GROUP_INSTANCE_ID out")


def test_standbys_are_refused():
    """They select an assignor that moves partitions in its own way."""
    app = app_of(table_standby_replicas=1)
    set_defaults(app)
    assert "table_standby_replicas=1 selects Faust's own assignor" in refusal(app)


def test_another_assignor_is_refused():
    """A class that the owner gave is not replaced silently."""
    from faust.assignor.partition_assignor import PartitionAssignor

    app = app_of(PartitionAssignor=PartitionAssignor, table_standby_replicas=0)
    assert "it sets PartitionAssignor" in refusal(app)


def test_a_second_agent_on_the_source_is_refused():
    """By its name and its topic."""
    app = with_agent(app_of(), "events", "nosy")
    set_defaults(app)
    said = refusal(app)
    assert "nosy reads events too" in said
    assert said.startswith("app demands: ")
