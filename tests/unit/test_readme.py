"""The README does what it says, and stays as short as it is."""

import re

import pytest

from stream_rnn import StreamRNN
from tests.pages import ROOT, blocks, marked, prose_lines, read

README = read("README.md")
LINES = (150, 200)
LINE_CHARACTERS_MAX = 160

COMMANDS = (
    "    python3 -m venv .venv && .venv/bin/pip install -q '.[demo]' && .venv/bin/stream-rnn demo\n",
    "    python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest\n",
)


def section(title: str) -> str:
    """Return a section without its title."""
    (part,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return part


def test_it_is_read_in_ten_minutes():
    """What is longer has a page of its own."""
    assert LINES[0] <= len(README.splitlines()) <= LINES[1]
    assert [line for line in prose_lines(README) if len(line) > LINE_CHARACTERS_MAX] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_two_commands_stand_as_they_are_run(command):
    """Each of the two commands is one line of its own, once."""
    assert README.count(command) == 1


def test_the_demo_output_is_shown_whole():
    """The first screen shows what the demo prints, with nothing missing, doubled or different."""
    (shown,) = blocks(marked(README, "demo"), "text")
    figures = dict(re.findall(r"^(\S.*?)  +(.*)$", shown, re.MULTILINE))
    assert figures["events"] == figures["predictions"] == "328,521"
    assert figures["missing"] == figures["duplicated"] == "0"
    assert figures["different"].startswith("0 ")


def test_the_plugin_is_a_dozen_lines_of_python():
    """They compile, and import what exists."""
    plugin, _ = blocks(README, "python")
    names: dict[str, object] = {}
    exec(plugin.partition("\n\n")[0], names)  # the imports
    compile(plugin, "README.md", "exec")
    assert names["StreamRNN"] is StreamRNN
    assert len(plugin.splitlines()) <= 12


def test_each_of_three_readers_has_a_way_in():
    """Ten lines at most and one command, and at least one page to go on with."""
    ways = re.split(r"^(?=\*\*I )", section("Which are you\\?"), flags=re.MULTILINE)[1:]
    assert [way.split("**")[1] for way in ways] == [
        "I run it.", "I consume predictions.", "I train a model.",
    ]  # fmt: skip
    for way in ways:
        assert len(way.strip().splitlines()) <= 10
        assert len(re.findall(r"^ {4}stream-rnn ", way, re.MULTILINE)) == 1
        assert re.search(r"Next: .*?\]\(\w+/", way, re.DOTALL)


def test_each_guarantee_names_the_test_that_shows_it():
    """Five bullets, each with a link to a test that exists."""
    bullets = re.findall(r"^- .*?(?=^- |^$)", section("Guarantees"), re.DOTALL | re.MULTILINE)
    assert len(bullets) == 5
    for bullet in bullets:
        shown = re.findall(r"\[`(test_\w+)`\]\((tests/[\w/]+\.py)\)", bullet)
        assert shown, bullet
        for name, path in shown:
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), bullet


def test_the_figures_of_speed_are_those_of_the_bench():
    """Rounded, as the bench's own table has them."""
    shown = re.findall(r"\| ([\d,]+) \|$", section("Speed"), re.MULTILINE)
    measured = re.findall(r"^\| [^|]+ \| ([\d,]+) \(", read("tests/bench/README.md"), re.MULTILINE)
    assert len(shown) == 3
    for number in shown:
        value = float(number.replace(",", ""))
        near = [abs(float(one.replace(",", "")) / value - 1) < 0.005 for one in measured]
        assert any(near), number
