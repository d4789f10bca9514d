"""The generated pages are those of the code."""

import re

import click
import pytest
from click.testing import CliRunner

from stream_rnn import cli
from stream_rnn.cli.verbs import audit
from stream_rnn.settings import Settings
from tests import generate_pages
from tests.pages import read


@pytest.mark.parametrize("page", sorted(generate_pages.PAGES))
def test_generated_pages_are_up_to_date(page):
    """``python -m tests.generate_pages`` would change nothing."""
    assert generate_pages.rewrite(read(page), page) == read(page)


def test_the_table_of_settings_has_a_row_for_each():
    """Name, default, bounds, description."""
    rows = generate_pages.settings_table().splitlines()
    assert len(rows) == len(Settings.model_fields) + 2
    classes = "Number of likeliest classes in the output of a multi-class head."
    assert f"| `top_k` | `5` | 1 to 100 | {classes} |" in rows
    assert any(
        row.startswith("| `state_ttl` |  | above 0 to 3,200,000,000 | Seconds") for row in rows
    )
    assert any(row.startswith("| `delivery` | `exactly_once` | exactly_once, at_") for row in rows)
    assert all(row.count("|") - row.count("\\|") == 5 for row in rows)


def test_the_synopsis_has_every_verb():
    """With the arguments and options that it requires."""
    text = generate_pages.synopsis()
    assert all(f"stream-rnn {verb}" in text for verb in cli.VERBS)
    assert "stream-rnn tail TOPIC\n" in text
    assert "stream-rnn bundle show DIRECTORY\n" in text


def test_the_help_of_every_command_is_whole(monkeypatch):
    """Each option of each command, at any width of the terminal."""
    text = generate_pages.help_pages()
    section = re.compile(r"^###? (stream-rnn [\w ]+)\n(.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
    sections = dict(section.findall(text))
    assert {"stream-rnn worker", "stream-rnn state", "stream-rnn state show"} <= set(sections)
    for context in generate_pages.commands():
        for parameter in context.command.params:
            hidden = isinstance(parameter, click.Argument) or getattr(parameter, "hidden", False)
            assert hidden or parameter.opts[0] in sections[context.command_path]
    CliRunner().invoke(audit.command, ["--help"])  # as its own program: click keeps its --help
    monkeypatch.setenv("COLUMNS", "40")
    assert generate_pages.help_pages() == text


def test_a_page_is_rewritten_between_its_marks_only(tmp_path):
    """Running it again changes nothing."""
    (tmp_path / "deploy").mkdir()
    settings, commands = (tmp_path / name for name in ("deploy/SETTINGS.md", "deploy/COMMANDS.md"))
    settings.write_text("a\n<!-- settings -->\nstale\n<!-- /settings -->\nb\n")
    commands.write_text("<!-- synopsis --><!-- /synopsis -->\nc\n<!-- help --><!-- /help -->\nd\n")
    generate_pages.main(tmp_path)
    once = settings.read_text(), commands.read_text()
    generate_pages.main(tmp_path)

    assert (settings.read_text(), commands.read_text()) == once
    assert once[0].startswith("a\n<!-- settings -->\n| setting |")
    assert "stale" not in once[0]
    assert once[0].endswith("\n<!-- /settings -->\nb\n")
    assert "<!-- /synopsis -->\nc\n<!-- help -->" in once[1]


@pytest.mark.parametrize("text", ["nothing", "<!-- settings --><!-- /settings -->" * 2])
def test_a_page_without_the_marks_is_refused(text):
    """A part that went missing must not go unnoticed."""
    with pytest.raises(ValueError, match="<!-- settings -->"):
        generate_pages.rewrite(text, "deploy/SETTINGS.md")
