"""The command ``stream-rnn spec``, run within the process, and logs for it."""

import json

from click.testing import CliRunner

from stream_rnn.cli.verbs.spec import command


def run(*arguments, status=0):
    """Run the verb; return what it printed."""
    result = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.stdout


def write_lines(path, rows):
    """Write rows as lines of JSON, a text as it is."""
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return path
