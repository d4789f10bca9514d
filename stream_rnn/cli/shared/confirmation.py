"""The question before a verb changes something."""

import sys

import click


def confirm(question: str) -> None:
    """Ask on standard error whether to continue; the answer comes from standard input.

    Raises:
        click.Abort: The answer is no, or Ctrl-C.
        click.UsageError: Standard input has no answer, as in a pod or under cron.
    """
    try:
        click.confirm(question, abort=True, err=True)
    except click.Abort as error:
        if sys.stdin is not None and (sys.stdin.isatty() or not _is_end(error)):
            raise
        click.echo(err=True)  # ends the line of the question
        raise click.UsageError(
            "nothing was changed: the question needs an answer, and standard input has none; "
            "use --yes"
        ) from error


def _is_end(error: click.Abort) -> bool:
    """Return whether standard input has ended, which click reports like Ctrl-C."""
    return isinstance(error.__context__, EOFError)
