"""The tables of managed services in ``deploy/README.md``: what they tell to set is accepted."""

import re
from pathlib import Path

import pytest

from stream_rnn.kafka.connection import config_notes, kafka_options
from stream_rnn.settings import Settings
from stream_rnn.store.connection import connect_redis

PAGE = (Path(__file__).parents[2] / "deploy/README.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Managed Kafka and Redis\n")[1].split("\n## ")[0]
CONFIGS = re.findall(r"```properties\n(.*?)```", SECTION, re.DOTALL)
REDIS_ROWS = SECTION.split("| Redis | ")[1]
URLS = sorted(set(re.findall(r"`(rediss?(?:\+cluster)?://[^`]+)`", REDIS_ROWS)))
SETTINGS = sorted(set(re.findall(r"STREAM_RNN_(\w+)=(\w+)", SECTION)))


@pytest.mark.parametrize("text", CONFIGS)
def test_a_config_of_the_page_is_accepted_without_a_note(text, tmp_path):
    """As it stands there."""
    path = tmp_path / "client.properties"
    path.write_text(text, encoding="utf-8")
    assert kafka_options(None, str(path))["bootstrap_servers"][0] in text
    assert config_notes(Settings(kafka_config=str(path))) == (None, None)


@pytest.mark.parametrize("url", URLS)
def test_a_redis_url_of_the_page_is_accepted(url, tmp_path, monkeypatch):
    """With a number for the port; a certificate is read at the first connection."""
    monkeypatch.chdir(tmp_path)
    assert connect_redis(url.replace(":PORT/", ":6378/"), 1.0) is not None


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_of_the_page_exists_and_takes_the_value(name, value, monkeypatch):
    """In the environment, as the page writes it."""
    monkeypatch.setenv(f"STREAM_RNN_{name}", value)
    assert str(getattr(Settings(), name.lower())).removesuffix(".0") == value


def test_the_page_has_rows_of_each_kind():
    """The patterns above find something."""
    assert len(CONFIGS) == 2
    assert len(URLS) >= 8
    assert ("KAFKA_TIMEOUT_S", "60") in SETTINGS
