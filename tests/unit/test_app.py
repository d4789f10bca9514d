"""The app behind ``stream-rnn worker``: the fold has the settings that the app gets."""

import ssl
import typing

import faust
import pytest
from aiokafka.abc import AbstractTokenProvider
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from stream_rnn.errors import BundleError, ConfigError, FencedError
from stream_rnn.model.bundle import save_bundle
from stream_rnn.settings import Settings
from stream_rnn.worker.app import make_app
from stream_rnn.worker.app_connection import client_options
from stream_rnn.worker.plugin import StreamRNN
from tests import models

NEEDED = {"app": "a", "source": "s", "predictions": "p", "bundle": ""}


def another(field):
    """Return a valid value of a setting that is not its default."""
    words = [w for part in typing.get_args(field.annotation) or () for w in typing.get_args(part)]
    choices = [c for c in (*typing.get_args(field.annotation), *words) if isinstance(c, str)]
    if choices:
        return next(choice for choice in choices if choice != field.default)
    if isinstance(field.default, bool):
        return not field.default
    if isinstance(field.default, SecretStr):
        return "redis://127.0.0.1:1/3"
    if isinstance(field.default, int | float):
        return max(1, int(field.default * 0.9)) if field.annotation is int else field.default * 0.9
    kinds = typing.get_args(field.annotation)
    return 3600.0 if float in kinds else 2100 if int in kinds else "other"


@pytest.mark.parametrize("name", [n for n in Settings.model_fields if n not in NEEDED])
def test_every_setting_reaches_the_fold(name, tmp_path, monkeypatch):
    """What the command line says is what the worker does."""
    save_bundle(models.small(), tmp_path / "b")
    properties = tmp_path / "kafka.properties"
    properties.write_text("security.protocol=PLAINTEXT\n")
    value = str(properties) if name == "kafka_config" else another(Settings.model_fields[name])
    given = {**NEEDED, "bundle": str(tmp_path / "b"), name: value}
    settings = Settings.build(**given)
    assert getattr(settings, name) != Settings.model_fields[name].default
    monkeypatch.setenv("STREAM_RNN_APP", "unused")
    found = make_app(settings).settings
    assert found == settings.of_fold()


def test_a_broker_with_an_impossible_port_is_refused(tmp_path):
    """Faust would raise an error of its own."""
    settings = Settings.build(**{**NEEDED, "bundle": str(tmp_path)}, bootstrap_servers="a:abc")
    with pytest.raises(ConfigError, match="bootstrap_servers has 'a:abc', which is not host:port"):
        make_app(settings)


async def test_what_fails_while_a_worker_ends_is_no_failure(tmp_path):
    """Asked to end while it joins its group, it finds the consumer gone under its partitions."""
    save_bundle(models.small(), tmp_path / "b")
    rnn = make_app(Settings.build(**{**NEEDED, "bundle": str(tmp_path / "b")}))
    assert rnn._watchdog._end_status() is None
    rnn.app._stopped.set()
    rnn._fail(RuntimeError("Event loop is closed"))
    assert (rnn.failure, rnn.exit_status, rnn._watchdog._end_status()) == (None, 0, 0)


async def test_what_fails_after_a_crash_of_fausts_own_says_why(tmp_path):
    """Faust's error ends the worker first; ours is clearer, and its status is the right one."""
    save_bundle(models.small(), tmp_path / "b")
    rnn = make_app(Settings.build(**{**NEEDED, "bundle": str(tmp_path / "b")}))
    rnn.app._crash(RuntimeError("Faust's"))
    assert (rnn.exit_status, rnn._end_status()) == (0, 3)
    rnn._fail(FencedError("generation 3 of the group is over"))
    assert (rnn.exit_status, rnn._end_status()) == (4, 4)


async def test_a_program_that_starts_a_plugin_alone_is_not_ended_by_it(tmp_path, monkeypatch):
    """It can read what failed, and continues; for a worker, the watchdog ends the process."""
    armed = []
    for has_app in (False, True):
        rnn = make_app(Settings.build(**{**NEEDED, "bundle": str(tmp_path / "none")}))
        monkeypatch.setattr(rnn._watchdog, "end_within", lambda *given: armed.append(given))
        if has_app:
            rnn.app._started.set()
        with pytest.raises(BundleError):
            await rnn.on_start()
        await rnn.on_stop()
    assert armed == [(5.0, 3)]


async def test_what_fails_at_start_after_a_signal_is_no_failure(tmp_path):
    """The stop waits for the start meanwhile."""
    rnn = make_app(Settings.build(**{**NEEDED, "bundle": str(tmp_path / "none")}))
    rnn.stop_requested = True
    with pytest.raises(BundleError):
        await rnn.on_start()
    assert (rnn.failure, rnn.exit_status) == (None, 0)
    rnn._fail(RuntimeError("no matter"))
    assert rnn.failure is None
    await rnn.on_stop()


class Tokens(AbstractTokenProvider):
    """A provider of a user."""

    async def token(self):
        return "t"


async def test_a_token_provider_is_the_login_of_every_client_of_an_app(tmp_path):
    """Over TLS with the app's own context, or else the system's; for Faust's clients, too."""
    save_bundle(models.small("gru"), tmp_path / "b")
    context, own = ssl.create_default_context(), Tokens()
    for login in (None, faust.SSLCredentials(context)):
        app = faust.App("a", broker="kafka://b:9093", broker_credentials=login)
        place = {"source": "in", "predictions": "out", "bundle": tmp_path / "b"}
        StreamRNN(app, **place, token_provider=own)
        for options in (
            client_options(app),
            credentials_to_aiokafka_auth(app.conf.broker_credentials),
        ):
            assert (options["security_protocol"], options["sasl_mechanism"]) == (
                "SASL_SSL",
                "OAUTHBEARER",
            )
            assert (options["ssl_context"] is context) == (login is not None)
            assert await options["sasl_oauth_token_provider"].token() == "t"
    app = faust.App("a", broker_credentials=faust.SASLCredentials(username="u", password="p"))
    with pytest.raises(ConfigError, match="app a: set either token_provider or broker_cred"):
        StreamRNN(app, **place, token_provider=own)
