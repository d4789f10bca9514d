"""``stream-rnn audit``: published predictions, compared with a replay of their source."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from stream_rnn.audit.audit import audit
from stream_rnn.audit.merged import describe_cut_over
from stream_rnn.audit.result import (
    CUT_OVER_KINDS,
    KINDS,
    WHY_NOT_COMPARABLE,
    AuditOptions,
    AuditResult,
    Finding,
)
from stream_rnn.cli.shared.printing import output_console, print_json, print_text
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.fold.fold_id import fold_id_of
from stream_rnn.fold.gc_tuning import tune_garbage_collector
from stream_rnn.keys import parse_key
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model, pin_numerics
from stream_rnn.operate.kept_schemas import take_kept_schemas
from stream_rnn.replay.logs import TopicLog
from stream_rnn.settings import FoldSettings


def run(
    settings: FoldSettings,
    bundles: tuple[str, ...],
    first: str | None,
    last: str | None,
    partitions: tuple[int, ...],
    keys: tuple[str, ...],
    sample: float,
    examples: int,
    as_json: bool,
) -> int:
    """Compare published predictions with a replay of their source."""
    pin_numerics()
    tune_garbage_collector()
    names = bundles or (settings.bundle,)
    models = [load_bundle(name) for name in names]
    options = AuditOptions(frozenset(parse_key(key) for key in keys), sample, examples)
    log = TopicLog(settings, settings.source, first, last)
    with RecordBars() as bars:

        async def compare() -> AuditResult:
            await take_kept_schemas(settings)
            async with log:
                return await audit(log, models, settings, options, partitions, bars)

        result = asyncio.run(compare())
    folds = {fold_id_of(model, settings): name for model, name in zip(models, names, strict=True)}
    if as_json:
        print_json(_as_json(result, models[0], settings, folds))
    else:
        _print(output_console(), result, settings, folds)
    return 0 if result.is_fine(settings.delivery) else 1


def _as_json(
    result: AuditResult, model: Model, settings: FoldSettings, folds: Mapping[str, str]
) -> dict[str, Any]:
    found = {
        **{kind: result.counts[kind] for kind in KINDS},
        "dead_letters_compared": result.dead_letters_compared,
        "filtered": result.filtered,
        "why_not_comparable": result.why_not_comparable,
        "other_folds": result.other_folds,
        "other_folds_by_id": result.other_folds_by_id,
        "other_numerics": result.other_numerics,
        "fold": next(iter(folds)),
        "numerics": model.numerics(),
        "ranges": {str(partition): list(ends) for partition, ends in result.ranges.items()},
        "is_fine": result.is_fine(settings.delivery),
        "keys": result.keys,
        "keys_in_several_partitions": result.keys_in_several_partitions,
        "keys_are_estimates": result.keys_are_estimates,
        "split_keys": [asdict(key) for key in result.split_keys],
        "warnings": result.warnings,
        "problems": result.problems,
        "notes": result.notes,
        "examples": [asdict(finding) for finding in result.examples],
    }
    if len(folds) == 1:
        return found
    return {
        **found,
        **{kind: result.counts[kind] for kind in CUT_OVER_KINDS},
        "folds": {
            fold: {"bundle": folds[fold], **{kind: one.counts[kind] for kind in KINDS}}
            for fold, one in result.folds.items()
        },
        "cut_overs": [asdict(one) for one in result.cut_overs],
    }


def _print(
    console: Console, result: AuditResult, settings: FoldSettings, folds: Mapping[str, str]
) -> None:
    lines = []
    for partition, (start, end) in result.ranges.items():
        offsets = f"offsets {start} to {end - 1}" if end > start else "no offsets"
        lines.append(f"{settings.source}[{partition}]: {offsets}")
        lines += _cut_overs(result, partition)
    kinds = KINDS if len(folds) == 1 else (*KINDS, *CUT_OVER_KINDS)
    lines += [f"{kind.replace('_', ' '):24} {result.counts[kind]}" for kind in kinds]
    lines += [f"{'filtered':24} {result.filtered}"] if result.filtered else []
    for fold, one in result.folds.items():
        lines.append(f"fold {fold}, {folds[fold]}: compared {one.counts['compared']}")
    notes = (*_limits(result, folds), *_dropped(result, settings), *result.notes)
    lines += [f"note: {note}" for note in notes]
    lines += [f"warning: {warning}" for warning in result.warnings]
    lines += [f"problem: {problem}" for problem in result.problems]
    for line in lines:
        print_text(console, line, "  ")
    for line in (line for finding in result.examples for line in _example(finding)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print_text(console, _verdict(result, settings), "  ")


def _cut_overs(result: AuditResult, partition: int) -> list[str]:
    """Return a line for each cut-over of a partition; none if one bundle was audited."""
    found = [one for one in result.cut_overs if one.partition == partition]
    if result.folds and not found:
        return ["  no cut-over"]
    return [f"  {describe_cut_over(one)}" for one in found]


def _dropped(result: AuditResult, settings: FoldSettings) -> list[str]:
    count = result.counts["number_falls"] + result.counts["not_in_charge"]
    if not count or settings.delivery == "exactly_once":
        return []
    text = "predictions with a lower number than one before them"
    return [f"{text} {count}: at_least_once allows them, and readers drop them"]


def _example(finding: Finding) -> list[str]:
    key = f" key {finding.key}" if finding.key else ""
    lines = [f"{finding.kind} partition {finding.partition} offset {finding.offset}{key}"]
    texts = {"published": finding.published, "replayed": finding.replayed}
    return [*lines, *(f"  {name:9} {text}" for name, text in texts.items() if text is not None)]


def _limits(result: AuditResult, folds: Mapping[str, str]) -> list[str]:
    """Return sentences about predictions that were not compared, or not byte for byte."""
    notes = [
        f"not comparable {count}: {WHY_NOT_COMPARABLE[reason]}"
        for reason, count in result.why_not_comparable.items()
        if count
    ]
    if result.other_folds:
        counts = ", ".join(f"{fold} {count}" for fold, count in result.other_folds_by_id.items())
        notes.append(
            f"predictions of other folds {result.other_folds} ({counts}), "
            f"{'this is fold' if len(folds) == 1 else 'these are the folds'} {', '.join(folds)}: "
            "give --bundle again for the bundle of each of them; if state_ttl or limits differ, "
            "audit it alone, with its own"
        )
    if result.other_numerics:
        notes.append(
            f"compared by value {result.other_numerics}: another kind of machine computed them, or "
            "a part of their memory"
        )
    return notes


def _verdict(result: AuditResult, settings: FoldSettings) -> str:
    if result.is_fine(settings.delivery):
        return "every compared record is correct"
    kinds = result.fault_kinds(settings.delivery)
    faults = [f"{kind.replace('_', ' ')} {result.counts[kind]}" for kind in kinds]
    if result.problems:
        faults.append(f"problems {len(result.problems)}")
    return f"faults: {', '.join(faults)}" if faults else "nothing could be compared"
