"""The comparison of ``stream-rnn rollout status`` and ``report``."""

from pathlib import Path
from typing import Any

from rich.console import Console

from stream_rnn.cli.shared.printing import output_console, print_json, print_table, print_text
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.fold_comparison import FoldComparison
from stream_rnn.evaluation.report import rollout_sentences
from stream_rnn.evaluation.report.figures import format_difference, format_metric, interval
from stream_rnn.evaluation.rollout_options import RolloutOptions
from stream_rnn.notebook.log import LabelOptions
from stream_rnn.notebook.rollout import RolloutComparison, compare_predictions
from stream_rnn.options import build_options
from stream_rnn.overwriting import check_report
from stream_rnn.settings import FoldSettings

KEYS_SHOWN = 3


def show(
    settings: FoldSettings, content: dict[str, Any], as_json: bool, options: dict[str, Any]
) -> bool:
    """Print a comparison, or add it to the content of the status; return whether there is one."""
    try:
        comparison = _compare(settings, options).comparison
    except ConfigError as error:
        content |= {"comparison": None, "not_compared": str(error)}
        if not as_json:
            print_text(output_console(), f"not compared: {error}")
        return False
    content["comparison"] = comparison
    if not as_json:
        _print(output_console(), comparison)
    return True


def write(settings: FoldSettings, out: Path, as_json: bool, options: dict[str, Any]) -> None:
    """Write the report, and print the comparison."""
    check_report(out)
    result = _compare(settings, options)
    result.write_report(out)
    if as_json:
        print_json(result.comparison)
        return
    console = output_console()
    _print(console, result.comparison)
    print_text(console, f"wrote {out}")


def _compare(settings: FoldSettings, options: dict[str, Any]) -> RolloutComparison:
    labels = LabelOptions(options.pop("labels"), options.pop("labels_by"))
    given = {name: value for name, value in options.items() if value != ()}
    with RecordBars() as bars:
        return compare_predictions(settings, build_options(RolloutOptions, **given), labels, bars)


def _print(console: Console, it: FoldComparison) -> None:
    print_text(
        console,
        f"{it.events:,} events of {it.keys:,} keys that both folds predict; old alone predicts "
        f"{it.only_old:,}, new alone {it.only_new:,}",
    )
    rows = []
    for name, head in it.heads.items():
        row, measure = head.metrics.get(head.metric), (head.metric, head.unit)
        rows.append(
            [
                name,
                rollout_sentences.format_gap(head.differences.mean, head),
                rollout_sentences.format_gap(head.differences.largest, head),
                str(head.scored),
                head.metric,
                format_metric(row.first if row else None, *measure),
                format_metric(row.second if row else None, *measure),
                format_difference(row.difference.value if row else None, *measure),
                interval(row.difference if row else None, *measure) or "-",
            ]
        )
    titles = ["head", "mean difference", "largest", "scored", "metric"]
    print_table(console, [*titles, "old", "new", "new - old", "95 %"], rows)
    for name, head in it.heads.items():
        verdict, sentence = rollout_sentences.quality(head)
        parts = rollout_sentences.differences(head), rollout_sentences.flips(head, it.events)
        text = " ".join(part for part in (*parts, sentence) if part)
        print_text(console, f"{name}: {verdict}. {text}", "  ")
        for one in head.differences.keys[:KEYS_SHOWN]:
            print_text(
                console,
                f"  key {one.key}: {one.events:,} events, mean difference "
                f"{rollout_sentences.format_gap(one.mean, head)}, largest "
                f"{rollout_sentences.format_gap(one.largest, head)}",
                "    ",
            )
    for note in rollout_sentences.join_notes(it):
        print_text(console, note)
