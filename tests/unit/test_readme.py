"""The README is held by what it talks about."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from stream_rnn.cli.docs import rewrite
from stream_rnn.model.features import FeatureSpec
from stream_rnn.predictions import Prediction

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMANDS = (
    "    python3 -m venv .venv && .venv/bin/pip install -q '.[demo]' && .venv/bin/stream-rnn demo\n",
    "    python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest\n",
)


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_settings_and_verbs_are_those_of_the_code():
    """Rewriting the generated blocks changes nothing."""
    assert rewrite(README, "README.md") == README


@pytest.mark.parametrize("command", COMMANDS)
def test_the_two_commands_stand_as_they_are_run(command):
    """Each of the two commands is one line of its own, once."""
    assert README.count(command) == 1


def test_every_test_that_is_named_exists():
    """A promise names the test that shows it."""
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README)
    assert len(named) >= 8
    for path, function in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{path}::{function}"


def test_the_feature_spec_by_example_is_one():
    """The example parses, and is the spec that it shows."""
    (example,) = blocks("toml")
    spec = FeatureSpec.parse(tomllib.loads(example), "README.md")
    assert [feature.kind for feature in spec.features] == [
        "numeric", "categorical", "since_previous", "calendar",
    ]  # fmt: skip


def test_the_prediction_by_example_is_one():
    """The example parses as what readers get."""
    (example,) = blocks("json")
    prediction = Prediction.parse(example.strip().encode())
    assert prediction.steps == 17


def test_python_examples_compile_and_import_what_exists():
    """Every import of an example is a name of the package."""
    examples = [example for example in blocks("python") if "stream_rnn" in example]
    assert len(examples) == 3
    for example in examples:
        imports = [n for n in ast.walk(ast.parse(example)) if isinstance(n, ast.ImportFrom)]
        assert imports
        for node in imports:
            module = __import__(node.module, fromlist=["x"])
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_links_lead_to_files():
    """A relative link names a file of the tree."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_demo_output_is_shown_whole():
    """The first screen shows what the demo prints, with nothing missing, doubled or different."""
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```\n<!-- /demo -->", README, re.DOTALL)
    assert shown is not None
    figures = dict(re.findall(r"^(\S.*?)  +(.*)$", shown[1], re.MULTILINE))
    assert figures["events"] == figures["predictions"] == "328,521"
    assert figures["missing"] == figures["duplicated"] == "0"
    assert figures["different"].startswith("0 ")
