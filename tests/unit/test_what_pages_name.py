"""What the pages name is there: commands, tests and files."""

import re
import shlex

import click
import pytest

from stream_rnn.cli.program import group
from tests.generate_pages import PAGES as GENERATED
from tests.generate_pages import commands
from tests.pages import PAGES, ROOT, code_lines, read


def parse_command(line: str) -> None:
    """Parse a line ``stream-rnn VERB ...`` as the program does, and run nothing.

    A line with ``...`` or with alternatives, as ``show|get``, is looked at for its options only.

    Raises:
        click.UsageError: a verb, an option or an argument is not one of the program's.
    """
    words = [word.split("|")[0] for word in shlex.split(line, comments=True)[1:]]
    context: click.Context = click.Context(group, info_name="stream-rnn")
    command: click.Command = group
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"{name} is no verb: {line}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    if "..." not in line and "|" not in line:
        command.make_context(command.name, words, parent=context.parent)
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    unknown = {word.split("=")[0] for word in words if word.startswith("--")} - known - {"--help"}
    if unknown:
        raise click.UsageError(f"{', '.join(sorted(unknown))}: no option of {line}")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page):
    """A promise names the test that shows it."""
    for path, function in re.findall(
        r"`(tests/[\w/]+\.py)(?:::(\w+)(?:\[[\w.-]+\])?)?`", read(page)
    ):
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{path}::{function}"


def test_the_promises_name_their_tests():
    """Each row of the table has at least one."""
    table = read("tests/README.md").partition("| promise | shown by |\n|---|---|\n")[2]
    rows = table.partition("\n\n")[0].splitlines()
    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py", row.split("|")[2])] == []


def without_test(table):
    """Return the rows of reports that have not three cells, or whose last cell names no test."""
    test = r"`tests/[\w/]+\.py::\w+(?:\[[\w.-]+\])?`"
    return [row for row in table if not re.fullmatch(rf"\| .+ \| .+ \| .*{test}.* \|", row)]


def test_the_reports_name_their_tests():
    """Each row has the function that shows what happens; a file alone is too much to read."""
    head = r"^\| report \| what happens \| test \|\n\|---\|---\|---\|\n"
    (table,) = re.findall(rf"{head}((?:\|.*\n)*)\n", read("tests/README.md"), re.MULTILINE)
    assert without_test(table.splitlines()) == []


@pytest.mark.parametrize(
    "row", ["| a | b | `tests/unit/test_a.py` |", "| a | `tests/unit/test_a.py::test_b` |", "a"]
)
def test_a_report_without_a_test_is_found(row):
    """A table that names none would pass otherwise."""
    right = "| a | b | `tests/unit/test_a.py::test_b` |"
    assert without_test([row, right]) == [row]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    """A relative link names a file or a folder of the tree."""
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", read(page)):
        assert (folder / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_are_shown_can_be_given(page):
    """Verb, arguments and options are the program's."""
    for line in code_lines(read(page)):
        if re.match(r"(\.venv/bin/)?stream-rnn [a-z]", line) and page not in GENERATED:
            parse_command(line)


def test_every_command_has_an_example_of_itself():
    """Below its help, with verb, arguments and options as they are parsed."""
    for context in commands():
        if not isinstance(context.command, click.Group):
            head, _, line = (context.command.epilog or "").partition("Example:\n  ")
            assert (head, line.startswith(context.command_path)) == ("\b\n", True), line
            parse_command(line.replace("\\\n", ""))


@pytest.mark.parametrize(
    "line", ["stream-rnn bogus", "stream-rnn tail", "stream-rnn state show|get --bogus ..."]
)
def test_a_command_that_cannot_be_given_is_found(line):
    """A verb, an argument or an option that is not there."""
    with pytest.raises(click.UsageError):
        parse_command(line)
