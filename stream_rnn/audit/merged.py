"""One result of several audited folds."""

from collections.abc import Mapping

from stream_rnn.audit.result import AuditResult, CutOver


def merge(results: Mapping[str, AuditResult]) -> AuditResult:
    """Return the result of all audited folds: sums, and each sentence once.

    The first result contains what does not belong to one fold: the ranges, predictions of folds
    that are not audited, and the cut-overs.

    Args:
        results: Result of each fold, by its id.
    """
    if len(results) == 1:
        return next(iter(results.values()))
    parts = list(results.values())
    first, total = parts[0], AuditResult(folds=dict(results))
    for part in parts:
        for kind, count in part.counts.items():
            total.counts[kind] += count
        for reason, count in part.why_not_comparable.items():
            total.why_not_comparable[reason] += count
        total.dead_letters_compared += part.dead_letters_compared
        total.other_numerics += part.other_numerics
        total.filtered = max(total.filtered, part.filtered)
        total.examples += part.examples
        pairs = (total.warnings, part.warnings), (total.problems, part.problems)
        for sentences, more in (*pairs, (total.notes, part.notes)):
            sentences += [sentence for sentence in more if sentence not in sentences]
    total.ranges, total.cut_overs = first.ranges, first.cut_overs
    total.add_other_folds(first.other_folds, first.other_folds_by_id)
    for fold, part in results.items():
        if not part.counts["compared"] and not part.counts["not_comparable"]:
            total.notes.append(
                f"fold {fold}: the range has no prediction of it; check the bundle, or the range"
            )
    return total


def describe_cut_over(cut_over: CutOver) -> str:
    """Return a cut-over as a phrase for people."""
    one, name = cut_over, f"cut-over {cut_over.number}"
    if not one.number:
        name = "another bundle without a roll-out"
    what = f"fold {one.before} to {one.fold}" if one.before else f"fold {one.fold}"
    if one.before == one.fold:
        name, what = f"request {one.number}", f"fold {one.fold} stays in charge"
    if not one.has_output:
        return f"{name}: {what}, at or before group offset {one.offset}, with no output since"
    if one.before is None:
        return f"{name}: {what}, before offset {one.offset}, the first output in the topic"
    if one.last_before is None or one.last_before >= one.offset - 1:
        return f"{name} at offset {one.offset}: {what}"
    return (
        f"{name} at offset {one.last_before + 1} to {one.offset}: {what}; the records between have "
        "no output"
    )
