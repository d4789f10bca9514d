"""Generates parts of the pages: the table of settings, and the help of every command.

``python -m tests.generate_pages`` rewrites the text between ``<!-- NAME -->`` and
``<!-- /NAME -->`` in the pages of ``PAGES``; the rest of the pages is written by hand.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import click

from stream_rnn.cli import VERBS
from stream_rnn.cli.program import group
from stream_rnn.cli.shared.settings_options import describe_choices, describe_default
from stream_rnn.settings import Settings

ROOT = Path(__file__).parents[1]
HELP_WIDTH = 100  # columns, so that pages do not depend on the width of the terminal


def settings_table() -> str:
    """Render every setting as a row of a Markdown table."""
    rows = ["| setting | default | may be | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = describe_default(field)
        shown = f"`{default}`" if default else ""
        what = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {shown} | {describe_choices(field)} | {what} |")
    return "\n".join(rows)


def commands() -> Iterator[click.Context]:
    """Yield a context for each verb, and for each command of a verb that is a group."""
    top = click.Context(
        group, info_name="stream-rnn", terminal_width=HELP_WIDTH, **group.context_settings
    )
    for verb in VERBS:
        command = group.get_command(top, verb)
        assert command is not None, "the table of verbs lists commands that exist"
        context = click.Context(_without_cached_help(command), info_name=verb, parent=top)
        yield context
        if isinstance(command, click.Group):
            for name, child in sorted(command.commands.items()):
                yield click.Context(_without_cached_help(child), info_name=name, parent=context)


def _without_cached_help(command: click.Command) -> click.Command:
    """Return a copy of a command without the help option that click has cached."""
    copied = copy.copy(command)
    copied._help_option = None
    return copied


def synopsis() -> str:
    """Render the usage of every command and the first sentence of its help."""
    lines = []
    for context in commands():
        if not isinstance(context.command, click.Group):
            lines += [_usage(context), "    " + context.command.get_short_help_str(limit=100)]
    return "\n".join(["```text", *lines, "```"])


def _usage(context: click.Context) -> str:
    words = [context.command_path]
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Argument):
            words.append(parameter.make_metavar(context))
        elif parameter.required and isinstance(parameter, click.Option):
            words.append(f"{parameter.opts[0]} {parameter.make_metavar(context)}")
    return " ".join(words)


def help_pages() -> str:
    """Render the output of ``--help`` for every command, under a heading for each."""
    parts = []
    for context in commands():
        level = "##" if context.parent and context.parent.parent is None else "###"
        parts.append(f"{level} {context.command_path}\n\n```text\n{context.get_help()}\n```")
    return "\n\n".join(parts)


PAGES = {
    "deploy/SETTINGS.md": {"settings": settings_table},
    "deploy/COMMANDS.md": {"synopsis": synopsis, "help": help_pages},
}


def rewrite(text: str, page: str) -> str:
    """Return the text of a page with its generated parts replaced.

    Raises:
        ValueError: The marks of a part are missing or occur twice.
    """
    for name, render in PAGES[page].items():
        first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
        part = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
        if len(part.findall(text)) != 1:
            raise ValueError(f"{page} must contain {first} ... {last} once")
        replacement = f"{first}\n{render()}\n{last}"
        text = part.sub(lambda _match, new=replacement: new, text)
    return text


def main(root: Path = ROOT) -> None:
    """Rewrite all pages."""
    for name in PAGES:
        page = root / name
        page.write_text(rewrite(page.read_text(encoding="utf-8"), name), encoding="utf-8")


if __name__ == "__main__":
    main()
