"""One frozen object for every setting."""

import math
import typing

import click
import pytest
from click.testing import CliRunner
from pydantic import SecretStr, ValidationError

from stream_rnn.cli.program import group
from stream_rnn.cli.shared.settings_options import describe_choices, settings_options
from stream_rnn.cli.verbs.train import command
from stream_rnn.errors import ConfigError
from stream_rnn.options import build_options
from stream_rnn.settings import FoldSettings, Settings
from stream_rnn.store.connection import read_redis_url
from stream_rnn.training.training_settings import TrainingSettings

NUMBERS = (int, float)
FIELDS = Settings.model_fields | TrainingSettings.__pydantic_fields__


def types_of(annotation):
    """Return the plain types inside of an annotation."""
    inner = typing.get_args(annotation)
    return {t for part in inner for t in types_of(part)} if inner else {annotation}


def test_an_argument_wins_over_the_environment_over_the_default(monkeypatch):
    """One name each, in three places."""
    assert Settings.build().batch_events_max == 16_384
    monkeypatch.setenv("STREAM_RNN_BATCH_EVENTS_MAX", "17")
    assert Settings.build().batch_events_max == 17
    assert Settings.build(batch_events_max=None).batch_events_max == 17
    assert Settings.build(batch_events_max=18).batch_events_max == 18


def test_settings_do_not_change():
    """They are built once and passed down."""
    with pytest.raises(ValidationError):
        Settings.build().app = "another"


def test_a_copy_keeps_what_was_given_and_is_validated():
    """``replace`` knows no other rules than ``build``."""
    first = Settings.build(app="one", top_k=3)
    assert first.replace(top_k=4).model_dump() == {**first.model_dump(), "top_k": 4}
    assert first.replace(top_k=None, delivery=None) == first
    with pytest.raises(ConfigError, match="top_k"):
        first.replace(top_k=0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"top_k": 0}, "setting top_k: .* set --top-k or STREAM_RNN_TOP_K"),
        ({"delivery": "at_most_once"}, "exactly_once"),
        ({"app": "with space"}, "setting app"),
        ({"state_ttl": 0}, "greater than 0"),
        ({"no_such": 1}, "no_such"),
        ({"batch_events_max": "many"}, "integer"),
    ],
)
def test_a_value_out_of_bounds_names_the_setting_and_both_ways_to_set_it(values, said):
    """The first thing that a person needs is what to change."""
    with pytest.raises(ConfigError, match=said):
        Settings.build(**values)


def test_the_password_is_never_shown():
    """Not by printing the settings, and not by an error about them."""
    settings = Settings.build(redis_url="redis://u:s3cret@cache")
    assert "s3cret" not in repr(settings)
    with pytest.raises(ConfigError) as error:
        Settings.build(redis_url="redis://u:s3cret@cache", top_k=0)
    assert "s3cret" not in str(error.value)


def test_dead_letters_are_named_after_the_predictions():
    """Unless they are named."""
    assert Settings.build(predictions="delays").dead_letters_topic == "delays.dead-letters"
    assert Settings.build(predictions="d", dead_letters="bad").dead_letters_topic == "bad"


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_line_of_description(name):
    """The table of deploy/SETTINGS.md and the options of commands are made of it."""
    description = FIELDS[name].description
    assert description
    assert "\n" not in description


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_number_has_a_lower_and_an_upper_bound(name):
    """A limit on everything."""
    field = FIELDS[name]
    if types_of(field.annotation) & set(NUMBERS):
        kinds = {type(bound).__name__ for bound in field.metadata}
        assert kinds & {"Ge", "Gt"}
        assert kinds & {"Le", "Lt"}
        assert " to " in describe_choices(field)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ema_decay": 1}, "option ema_decay: .* less than 1, not 1"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"schedule": "linear"}, "'cosine' or 'constant'"),
    ],
)
def test_a_training_setting_out_of_bounds_names_its_option(values, said):
    """NaN fails both comparisons."""
    with pytest.raises(ConfigError, match=said):
        build_options(TrainingSettings, **values)
    option, value = next(iter(values.items()))
    words = ["train", "log.csv", "--out=b", f"--{option.replace('_', '-')}={value}"]
    assert CliRunner().invoke(group, words).exit_code == 2


def test_every_training_setting_is_an_option_of_train_with_its_own_default():
    """What the help names as the default is what training takes."""
    options = {option.name: option for option in command.params}
    for name, field in TrainingSettings.__pydantic_fields__.items():
        assert options[name].opts == [f"--{name.replace('_', '-')}"]
        assert options[name].help.startswith(field.description)
        assert f"[default: {getattr(TrainingSettings(), name)}" in options[name].help


def test_only_urls_with_a_login_are_secrets():
    """Passwords of Kafka stand in a file of their own."""
    secrets = [
        name for name, f in Settings.model_fields.items() if SecretStr in types_of(f.annotation)
    ]
    assert secrets == ["redis_url", "schema_registry_url"]


def test_the_settings_of_a_fold_have_its_names():
    """What is missing is named as an option; what was given stays as it was given."""
    given = Settings.build(app="a", source="in", predictions="out", bundle="b", top_k=3)
    fold = given.of_fold()
    assert type(fold) is FoldSettings
    assert dict(fold) == dict(given)
    assert fold.model_fields_set == given.model_fields_set
    assert fold.replace(top_k=4).model_dump() == {**given.model_dump(), "top_k": 4}
    with pytest.raises(ConfigError, match="give --source, or set STREAM_RNN_SOURCE"):
        Settings.build(app="a").of_fold()
    replayed = Settings.build(source="in").of_fold(needs=())
    assert (replayed.app, replayed.source, replayed.bundle) == ("", "in", "")


@pytest.mark.parametrize(
    "names", [{"predictions": "in"}, {"dead_letters": "in"}, {"dead_letters": "out"}]
)
def test_a_fold_has_three_topics(names):
    """A worker would read what it writes."""
    given = {"app": "a", "source": "in", "predictions": "out", "bundle": "b", **names}
    with pytest.raises(ConfigError, match="must be three topics"):
        Settings.build(**given).of_fold()


def test_the_redis_url_may_be_in_a_file(tmp_path, monkeypatch):
    """Named by an option or in the environment; it is read again each time."""
    path = tmp_path / "redis-url"
    path.write_text("redis://u:s3cret@cache/0\n")
    settings = Settings.build(redis_url_file=str(path))
    assert read_redis_url(settings) == "redis://u:s3cret@cache/0"
    path.write_text("redis://u:newer@cache/0\n")
    assert read_redis_url(settings.replace(top_k=3)) == "redis://u:newer@cache/0"
    monkeypatch.setenv("STREAM_RNN_REDIS_URL", "redis://environment/0")
    assert read_redis_url(settings) == "redis://u:newer@cache/0"
    monkeypatch.setenv("STREAM_RNN_REDIS_URL_FILE", str(path))
    assert read_redis_url(Settings.build()) == "redis://u:newer@cache/0"
    explicit = Settings.build(redis_url="redis://argument/0")
    assert read_redis_url(explicit.replace(top_k=3)) == "redis://argument/0"
    assert read_redis_url(Settings.build().replace(redis_url="redis://b/0")) == "redis://b/0"


def test_a_redis_url_in_two_places_or_in_no_file_is_refused(tmp_path):
    """The message has no part of the URL."""
    with pytest.raises(ConfigError, match="set either --redis-url or --redis-url-file, not both"):
        Settings.build(redis_url="redis://u:s3cret@a", redis_url_file="f")
    path = tmp_path / "f"
    settings = Settings.build(redis_url_file=str(path))
    with pytest.raises(ConfigError, match=f"cannot read redis_url_file {path}"):
        read_redis_url(settings)
    for text in ("", "\n", "redis://u:s3cret@a\nredis://u:s3cret@b\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="must have one line") as error:
            read_redis_url(settings)
        assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "is_warned"), [("redis://u:s3cret@cache", True), ("redis://cache", False)]
)
def test_a_password_on_the_command_line_is_warned_of(url, is_warned, monkeypatch):
    """Other users see it in the list of processes; in the environment it is not seen."""

    @click.command()
    @settings_options("redis_url")
    def command(settings):
        assert read_redis_url(settings) == url

    result = CliRunner().invoke(command, [f"--redis-url={url}"], catch_exceptions=False)
    assert ("--redis-url has a password" in result.stderr) == is_warned
    assert "s3cret" not in result.output
    monkeypatch.setenv("STREAM_RNN_REDIS_URL", url)
    assert not CliRunner().invoke(command, [], catch_exceptions=False).output


def test_a_login_of_the_registry_on_the_command_line_is_warned_of(monkeypatch, tmp_path):
    """Not in the environment; a URL that replaces the one of the file is named without its login."""

    @click.command()
    @settings_options("schema_registry_url", "schema_registry_config")
    def command(settings):
        assert settings.reads_frames

    file, url = tmp_path / "registry.properties", "https://u:s3cret@registry"
    file.write_text("schema.registry.url=https://other\n")

    def said(*words):
        result = CliRunner().invoke(command, words, catch_exceptions=False)
        assert "s3cret" not in result.output
        return result.stderr

    assert "--schema-registry-url has a password" in said(f"--schema-registry-url={url}")
    monkeypatch.setenv("STREAM_RNN_SCHEMA_REGISTRY_URL", url)
    assert not said()
    note = "--schema-registry-url https://registry takes precedence over schema.registry.url"
    assert note in said(f"--schema-registry-config={file}")
