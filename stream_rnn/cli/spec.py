"""``stream-rnn spec``: propose a feature spec from a log, and check one."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from stream_rnn.cli.shared.tables import output, show_table, show_text
from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.spec import propose_spec
from stream_rnn.overwriting import cannot_write, write_whole
from stream_rnn.settings import Settings
from stream_rnn.spec.spec_check import Fit, count_fields
from stream_rnn.text import visible

SHOWN_WORDS = 5


def init(log: Path, out: Path | None, force: bool, **given: Any) -> None:
    """Propose a feature spec for LOG, a .csv, .jsonl or .parquet file."""

    def check_out(path: Path) -> None:
        if not force:
            _check_free(path)

    if out is not None:
        check_out(out)
    text = propose_spec(log, **given).toml
    if out is None:
        sys.stdout.write(text)
        return
    write_whole(out, text, "the spec", check_out)
    click.echo(
        f"written to {out}; read its comments, then: stream-rnn train {log} --spec {out} --out BUNDLE"
    )


def _check_free(out: Path) -> None:
    try:
        is_there = out.exists()
    except OSError as error:
        raise cannot_write(out, "the spec", error) from error
    if is_there:
        raise ConfigError(f"{out} is there already; --force overwrites it")


def check(settings: Settings, spec: Path, log: Path | None, rows: int, as_json: bool) -> int:
    """Say whether SPEC is valid, and what of LOG is an event by it."""
    found = FeatureSpec.read(spec)
    fit = None if log is None else count_fields(log, found, settings, rows)
    if as_json:
        print(orjson.dumps(_as_json(found, fit)).decode())
    else:
        _print(output(), spec, found, fit)
    return 1 if fit is not None and not fit.events else 0


def _as_json(spec: FeatureSpec, fit: Fit | None) -> dict[str, Any]:
    said: dict[str, Any] = {
        "name": spec.name,
        "features": len(spec.features),
        "heads": [head.name for head in spec.heads],
    }
    if fit is None:
        return said
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
    return said | {"rows": fit.rows, "events": fit.events, "skips": fit.skips, "fields": fields}


def _print(console: Console, path: Path, spec: FeatureSpec, fit: Fit | None) -> None:
    heads = ", ".join(f"{head.name} ({head.kind})" for head in spec.heads)
    show_text(console, f"{path} is valid: {len(spec.features)} features; heads: {heads}")
    if fit is None:
        return
    skips = ", ".join(f"{code} {n}" for code, n in fit.skips.most_common())
    show_text(console, f"{fit.rows:,} rows: {fit.events:,} events; skipped: {skips or 'none'}")
    rows = []
    for count in fit.fields:
        rare = (sum(n for _, n in count.unknown), len(count.never_seen)) if count.classes else "--"
        cells = (count.has, count.lacks, count.wrong, *rare)
        rows.append([visible(count.field.path), *map(str, cells)])
    titles = ("field", "has", "lacks", "wrong type", "unknown", "never seen")
    show_table(console, titles, rows)
    for count in fit.fields:
        if count.classes:
            _print_words(console, count.field.path, "no class", [word for word, _ in count.unknown])
            _print_words(console, count.field.path, "never seen", count.never_seen)


def _print_words(console: Console, path: str, what: str, words: list[str]) -> None:
    if words:
        more = f" and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else ""
        shown = ", ".join(map(visible, words[:SHOWN_WORDS]))
        show_text(console, f"{visible(path)}: {what}: {shown}{more}", "  ")
