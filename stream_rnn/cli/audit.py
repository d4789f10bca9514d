"""``stream-rnn audit``: what production published, held against a replay of its source."""

import asyncio
import sys
from dataclasses import asdict
from typing import Any

import orjson
from rich.console import Console

from stream_rnn.audit.audit import audit
from stream_rnn.audit.result import KINDS, WHY_NOT_COMPARABLE, AuditOptions, AuditResult, Finding
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.cli.shared.tables import output, show_text
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.keys import parse_key
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.replay.logs import TopicLog
from stream_rnn.settings import FoldSettings


def run(
    settings: FoldSettings,
    first: str | None,
    last: str | None,
    partitions: tuple[int, ...],
    keys: tuple[str, ...],
    sample: float,
    examples: int,
    as_json: bool,
) -> int:
    """Hold a predictions topic against a replay of its source."""
    pin_numerics()
    calm_collector()
    model = load_bundle(settings.bundle)
    choice = AuditOptions(frozenset(parse_key(key) for key in keys), sample, examples)
    log = TopicLog(settings, settings.source, first, last)
    with RecordBars(Console(stderr=True)) as bars:

        async def run() -> AuditResult:
            async with log:
                return await audit(log, model, settings, choice, partitions, bars)

        found = asyncio.run(run())
    if as_json:
        sys.stdout.write(orjson.dumps(_as_json(found, model, settings)).decode() + "\n")
    else:
        _show(output(), found, model, settings)
    return 0 if found.is_fine(settings.delivery) else 1


def _as_json(found: AuditResult, model: Model, settings: FoldSettings) -> dict[str, Any]:
    return {
        **{kind: found.counts[kind] for kind in KINDS},
        "dead_letters_compared": found.dead_letters_compared,
        "why_not_comparable": found.why_not_comparable,
        "other_folds": found.other_folds,
        "other_folds_by_id": found.other_folds_by_id,
        "other_numerics": found.other_numerics,
        "fold": fold_id(model.fingerprint, settings),
        "numerics": model.numerics(),
        "ranges": {str(partition): list(ends) for partition, ends in found.ranges.items()},
        "is_fine": found.is_fine(settings.delivery),
        "problems": found.problems,
        "notes": found.notes,
        "examples": [asdict(finding) for finding in found.examples],
    }


def _show(console: Console, found: AuditResult, model: Model, settings: FoldSettings) -> None:
    lines = []
    for partition, (start, end) in found.ranges.items():
        what = f"offsets {start} to {end - 1}" if end > start else "no offset"
        lines.append(f"{settings.source}[{partition}]: {what}")
    lines += [f"{kind.replace('_', ' '):24} {found.counts[kind]}" for kind in KINDS]
    lines += [f"note: {note}" for note in (*_left_out(found, model, settings), *found.notes)]
    lines += [f"problem: {problem}" for problem in found.problems]
    for line in lines:
        show_text(console, line, "  ")
    for line in (line for finding in found.examples for line in _example(finding)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    show_text(console, _verdict(found, settings), "  ")


def _example(finding: Finding) -> list[str]:
    key = f" key {finding.key}" if finding.key else ""
    lines = [f"{finding.kind} partition {finding.partition} offset {finding.offset}{key}"]
    said = {"published": finding.published, "replayed": finding.replayed}
    return [*lines, *(f"  {name:9} {text}" for name, text in said.items() if text is not None)]


def _left_out(found: AuditResult, model: Model, settings: FoldSettings) -> list[str]:
    """Say what was not compared, or not byte for byte."""
    notes = [
        f"not comparable {count}: {WHY_NOT_COMPARABLE[reason]}"
        for reason, count in found.why_not_comparable.items()
        if count
    ]
    if found.other_folds:
        named = ", ".join(f"{fold} {count}" for fold, count in found.other_folds_by_id.items())
        notes.append(
            f"predictions of other folds {found.other_folds} ({named}), this is fold "
            f"{fold_id(model.fingerprint, settings)}: audit them with the bundle, state_ttl and "
            "limits that they were made with"
        )
    if found.other_numerics:
        notes.append(
            f"compared by value {found.other_numerics}: another kind of machine computed them, or "
            "a part of what their memory holds"
        )
    return notes


def _verdict(found: AuditResult, settings: FoldSettings) -> str:
    if found.is_fine(settings.delivery):
        return "all that was compared is as it should be"
    kinds = found.fault_kinds(settings.delivery)
    wrong = [f"{kind.replace('_', ' ')} {found.counts[kind]}" for kind in kinds]
    if found.problems:
        wrong.append(f"problems {len(found.problems)}")
    return f"not as it should be: {', '.join(wrong)}"
