"""Output of the verbs that need no server."""

import json

import pytest
from click.testing import CliRunner

from stream_rnn.cli.tail import describe_output
from stream_rnn.cli.verbs.bundle import command as bundle
from stream_rnn.cli.verbs.tail import command as tail
from stream_rnn.errors import BundleError, ConfigError
from stream_rnn.model.bundle import load_bundle, save_bundle
from stream_rnn.predictions.schema import BinaryOutput, ClassOutput, NumberOutput
from tests import models


@pytest.fixture
def directory(tmp_path):
    """Return the path of a small bundle."""
    save_bundle(models.small(), tmp_path, {"seed": 7}, {"auc": 0.76})
    return str(tmp_path)


def test_bundle_show_says_what_the_bundle_computes(directory):
    """It prints cell, parameters, features, heads, bytes, fingerprint, provenance and metrics."""
    text = CliRunner().invoke(bundle, ["show", directory], catch_exceptions=False).output
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()}
    model = load_bundle(directory)
    assert lines["fingerprint"] == model.fingerprint
    assert lines["cell"] == "gru, hidden 8, layers 1"
    assert lines["state"] == f"{16 + 4 * 8} bytes per key"
    assert lines["parameters"] == str(sum(p.numel() for p in model.network.parameters()))
    assert {"since", "hour", "big", "wait", "next"} < set(lines)
    assert lines["seed"] == "7"
    assert lines["auc"] == "0.76"


def test_bundle_show_as_json_is_one_object(directory):
    """Programs read the output of --json."""
    result = CliRunner().invoke(bundle, ["show", directory, "--json"], catch_exceptions=False)
    description = json.loads(result.output)
    assert description["cell"]["kind"] == "gru"
    assert description["state_bytes_per_key"] == 48
    assert set(description["heads"]) == {"big", "wait", "next"}


def test_bundle_show_of_nothing_is_a_clear_error(tmp_path):
    """The message names the path."""
    with pytest.raises(BundleError, match="no bundle at"):
        CliRunner().invoke(bundle, ["show", str(tmp_path / "no")], catch_exceptions=False)


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (BinaryOutput(probability=0.12345), "0.123"),
        (NumberOutput(value=812.5), "812.5"),
        (
            ClassOutput.model_validate({"class": "B", "probability": 0.7, "top": [["B", 0.7]]}),
            "B 0.700",
        ),
        (
            ClassOutput.model_validate({"class": "\x1b[2J", "probability": 1, "top": [["B", 1]]}),
            r"\x1b[2J 1.000",
        ),
    ],
)
def test_tail_shows_an_output_in_a_few_characters(output, text):
    """Text from a topic cannot send control characters to the terminal."""
    assert describe_output(output) == text


def test_tail_with_a_bad_kafka_config_is_a_clear_error(tmp_path):
    """The error appears before the reader connects."""
    with pytest.raises(ConfigError, match="cannot read the Kafka config"):
        CliRunner().invoke(
            tail, ["t", "--kafka-config", str(tmp_path / "no")], catch_exceptions=False
        )
