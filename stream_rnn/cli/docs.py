"""The README's generated blocks: the table of settings and the verbs of the command line.

``python -m stream_rnn.cli.docs README.md`` rewrites what stands between ``<!-- settings -->`` and
``<!-- /settings -->``, and between ``<!-- cli -->`` and ``<!-- /cli -->``.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from stream_rnn.cli import VERBS
from stream_rnn.cli.program import group
from stream_rnn.cli.shared.settings_options import describe_choices, describe_default
from stream_rnn.errors import ConfigError
from stream_rnn.settings import Settings


def settings_table() -> str:
    """Render every setting as a row of a Markdown table."""
    rows = ["| setting | default | may be | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = describe_default(field)
        shown = f"`{default}`" if default else ""
        what = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {shown} | {describe_choices(field)} | {what} |")
    return "\n".join(rows)


def synopsis() -> str:
    """Render every verb with its usage and its first sentence as Markdown."""
    context = click.Context(group, info_name="stream-rnn")
    lines: list[str] = []
    for verb in VERBS:
        command = group.get_command(context, verb)
        assert command is not None, "the table lists what exists"
        lines += _usages(command, click.Context(command, info_name=verb, parent=context))
    return "\n".join(["```text", *lines, "```"])


def _usages(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _usages(child, click.Context(child, info_name=name, parent=context))
        return
    words = [context.command_path]
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Argument):
            words.append(parameter.make_metavar(context))
        elif parameter.required and isinstance(parameter, click.Option):
            words.append(f"{parameter.opts[0]} {parameter.make_metavar(context)}")
    yield " ".join(words)
    yield "    " + command.get_short_help_str(limit=100)


BLOCKS = {"settings": settings_table, "cli": synopsis}


def rewrite(text: str, place: str) -> str:
    """Return a page with its generated blocks made anew.

    Raises:
        ConfigError: a block's marks are missing.
    """
    for name, render in BLOCKS.items():
        first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
        block = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
        if len(block.findall(text)) != 1:
            raise ConfigError(f"{place} must hold one block {first} ... {last}")
        replacement = f"{first}\n{render()}\n{last}"
        text = block.sub(lambda _found, new=replacement: new, text)  # type: ignore[misc]  # binds new
    return text


def main(arguments: list[str]) -> None:
    """Rewrite a page."""
    page = Path(arguments[0])
    page.write_text(rewrite(page.read_text(encoding="utf-8"), str(page)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
