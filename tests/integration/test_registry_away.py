"""A registry that is away: each verb that reads framed records ends in order, with its own message."""

import logging

import pytest

from stream_rnn.formats import open_schemas
from tests.integration.streams import Stream, run
from tests.integration.test_kept_schemas import SCHEMA, events
from tests.registry_server import RegistryServer

pytestmark = pytest.mark.timeout(120)
EVALUATED = ("--bundle={bundle}", "--topic={source}", "--schema-registry-url={registry}")
SPEC = """format = 1
name = "small"
[event]
key = ["key"]
[[features]]
name = "x"
kind = "numeric"
path = "x"
[[heads]]
name = "next"
kind = "regression"
of = "next"
path = "x"
"""
VERBS = {
    "replay": ("replay", *EVALUATED, "--out={out}", "--processes=1"),
    "replay by processes": ("replay", *EVALUATED, "--out={out}", "--processes=2"),
    "replay to standard output": ("replay", *EVALUATED, "--out=-"),
    "evaluate": ("evaluate", *EVALUATED),
    "trace": ("trace", "k1", *EVALUATED),
    "train": (
        *("train", "--spec={spec}", "--out={out}", "--topic={source}"),
        "--schema-registry-url={registry}",
    ),
    "tail": (
        *("tail", "{source}", "--from-beginning", "--max=1"),
        "--schema-registry-url={registry}",
    ),
    "spec init": ("spec", "init", "--topic={source}", "--schema-registry-url={registry}"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_ends_with_status_4_and_one_message(
    verb, app_id, bootstrap_servers, redis_url, create_topic, tmp_path, monkeypatch, caplog
):
    """A person need not read a traceback of readers that were left open."""
    monkeypatch.setenv("STREAM_RNN_SCHEMA_REGISTRY_RETRY_S", "0")
    with RegistryServer() as registry:
        registry.register(7, SCHEMA)
    stream = Stream(app_id, bootstrap_servers, redis_url, tmp_path)
    await create_topic(stream.settings.source, 2)
    await stream.produce(events(200))
    open_schemas._open.cache_clear()
    places = {
        "bundle": stream.bundle,
        "source": stream.settings.source,
        "registry": registry.url,
        "out": tmp_path / "out.jsonl",
        "spec": tmp_path / "spec.toml",
    }
    places["spec"].write_text(SPEC)
    words = [word.format(**places) for word in VERBS[verb]]
    with caplog.at_level(logging.WARNING):
        said = await run(*words, f"--bootstrap-servers={bootstrap_servers}", status=4)
    assert "does not answer" in said
    assert registry.url in said
    assert "Traceback" not in said
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []
