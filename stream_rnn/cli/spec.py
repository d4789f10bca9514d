"""``stream-rnn spec``: propose a feature spec for a log, and check a feature spec."""

import sys
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.console import Console

from stream_rnn.cli.shared.printing import output_console, print_json, print_table, print_text
from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.options import SpecOptions
from stream_rnn.notebook.spec import propose_for_topic, propose_with
from stream_rnn.options import build_options
from stream_rnn.overwriting import cannot_write, write_whole
from stream_rnn.settings import Settings
from stream_rnn.spec.questions import Ask, Question, refuse_to_choose
from stream_rnn.spec.spec_check import SpecCheck, check_log
from stream_rnn.text import visible

CLASSES_SHOWN = 5


def init(
    log: Path | None,
    topic: str | None,
    settings: Settings,
    out: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Propose a feature spec for a log."""

    def check_overwriting(path: Path) -> None:
        if not force:
            _require_absent(path)

    if (log is None) == (topic is None):
        raise ConfigError("name either a LOG file or a --topic")
    if out is not None:
        check_overwriting(out)
    choices = build_options(SpecOptions, **options)
    if topic is not None:
        proposed = propose_for_topic(settings, topic, choices, _choose_asker())
    else:
        proposed = propose_with(log, choices, _choose_asker())
    if out is None:
        sys.stdout.write(proposed.toml)
        return
    write_whole(out, proposed.toml, "the spec", check_overwriting)
    place = quote(str(log)) if topic is None else f"--topic {quote(topic)}"
    sort = " --sort-by-time" * proposed.sort_by_time
    click.echo(
        f"spec written to {out}; read its comments, then run: "
        f"stream-rnn train {place} --spec {quote(str(out))}{sort} --out BUNDLE"
    )


def _choose_asker() -> Ask:
    """Return the function that answers questions: the user at a terminal, or nobody."""
    is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    return _ask_at_terminal if is_terminal else refuse_to_choose


def _ask_at_terminal(question: Question) -> str:
    """Ask the user to choose a candidate by its number, or to name another value.

    The prompt is written to standard error, because standard output may be the file of the spec.
    """
    click.echo(question.text, err=True)
    for number, candidate in enumerate(question.candidates, 1):
        click.echo(f"  {number}) {candidate.line}", err=True)
    if question.hint:
        click.echo(question.hint, err=True)
    count = len(question.candidates)
    while True:
        click.echo(f"Number, or a value of {question.option}: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:  # the end of standard input
            raise click.Abort
        reply = line.strip()
        if reply and not reply.isdecimal():
            try:
                question.check(reply)
            except ConfigError as error:
                click.echo(visible(str(error)), err=True)
                continue
            return reply
        if reply and 1 <= int(reply) <= count:
            return question.candidates[int(reply) - 1].answer
        click.echo(f"Give a number from 1 to {count}, or a value of {question.option}.", err=True)


def _require_absent(out: Path) -> None:
    try:
        exists = out.exists()
    except OSError as error:
        raise cannot_write(out, "the spec", error) from error
    if exists:
        raise ConfigError(f"{out} exists; give --force to overwrite it")


def check(
    settings: Settings,
    spec: Path,
    log: Path | None,
    rows: int,
    as_json: bool,
    sort_by_time: bool | None,
) -> int:
    """Check a feature spec, and count the rows of a log that are valid events of the spec."""
    features = FeatureSpec.read(spec)
    fit = (
        None if log is None else check_log(log, features, settings, rows, sort_by_time=sort_by_time)
    )
    if as_json:
        print_json(_as_json(features, fit))
    else:
        _print(output_console(), spec, features, fit)
    return 1 if fit is not None and not fit.events else 0


def _as_json(spec: FeatureSpec, fit: SpecCheck | None) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": spec.name,
        "features": len(spec.features),
        "heads": [head.name for head in spec.heads],
    }
    if fit is None:
        return content
    fields = {
        count.field.path: {
            "has": count.has,
            "lacks": count.lacks,
            "wrong_type": count.wrong,
            "required": count.field.required,
            "unknown": dict(count.unknown) if count.classes else {},
            "never_seen": count.never_seen,
        }
        for count in fit.fields
    }
    counts = {"rows": fit.rows, "events": fit.events, "skips": fit.skips}
    counts |= {"filtered": fit.filtered, "forgets": fit.forgets}
    if fit.times is not None:
        counts |= {"first_time_ms": fit.times.first_ms, "last_time_ms": fit.times.last_ms}
        counts |= {"time_warning": fit.times.warning}
    return content | counts | {"fields": fields, "notes": fit.notes, "problem": fit.problem}


def _print(console: Console, path: Path, spec: FeatureSpec, fit: SpecCheck | None) -> None:
    heads = ", ".join(f"{head.name} ({head.kind})" for head in spec.heads)
    print_text(console, f"{path} is valid: {len(spec.features)} features; heads: {heads}")
    if fit is None:
        return
    skips = ", ".join(f"{code} {n}" for code, n in fit.skips.most_common())
    others = {"filtered by event.only": fit.filtered, "forgets": fit.forgets}
    more = "".join(f"; {what}: {count:,}" for what, count in others.items() if count)
    print_text(
        console, f"{fit.rows:,} rows: {fit.events:,} events; skipped: {skips or 'none'}{more}"
    )
    about_time = [fit.times.line, fit.times.warning] if fit.times is not None else []
    for text in filter(None, (*about_time, fit.problem)):
        print_text(console, visible(text))
    rows = []
    for count in fit.fields:
        cells = [count.has, count.lacks, count.wrong]
        if count.classes:
            cells += [count.unknown_rows, len(count.never_seen)]
        rows.append([visible(count.field.path), *map(str, cells), *"-" * (5 - len(cells))])
    titles = ("field", "has", "lacks", "wrong type", "unknown", "never seen")
    print_table(console, titles, rows)
    for note in fit.notes:
        print_text(console, visible(note))
    for count in fit.fields:
        if count.classes:
            _print_classes(
                console, count.field.path, "no class", [name for name, _ in count.unknown]
            )
            _print_classes(console, count.field.path, "never seen", count.never_seen)


def _print_classes(console: Console, path: str, title: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - CLASSES_SHOWN} more" if len(names) > CLASSES_SHOWN else ""
        text = ", ".join(map(visible, names[:CLASSES_SHOWN]))
        print_text(console, f"{visible(path)}: {title}: {text}{more}", "  ")
