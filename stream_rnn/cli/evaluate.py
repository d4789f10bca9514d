"""``stream-rnn evaluate``: how good a bundle is on a log, and what its memory is worth."""

import sys
from collections.abc import Callable
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from stream_rnn.cli.shared.log_options import LogChoice
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.evaluation.evaluate import Scored, evaluate
from stream_rnn.evaluation.report.example_keys import pictures
from stream_rnn.evaluation.result import MODELS, Evaluation, HeadEvaluation
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.metrics.figure import Figure
from stream_rnn.model.bundle import read_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import pin_numerics
from stream_rnn.replay.labels import Labels
from stream_rnn.replay.overwriting import check_report
from stream_rnn.settings import Settings


def run(
    settings: Settings,
    where: LogChoice,
    log: tuple[str, ...],
    bundle: Path,
    labels: Callable[[FeatureSpec], Labels],
    scored: Callable[[], Scored],
    report: Path | None,
    as_json: bool,
) -> None:
    """Say how good a bundle is on a log, and what its memory is worth."""
    pin_numerics()
    calm_collector()
    if report is not None:
        check_report(report)
    spec = read_bundle(bundle).spec
    path, _ = where.split(log)
    source = where.make(settings, spec, path)
    settings = settings.replace(source=source.name)
    with RecordBars(Console(stderr=True)) as bars:
        found = evaluate(
            source,
            bundle,
            settings,
            scored(),
            labels(spec),
            bars,
        )
    if report is not None:
        from stream_rnn.evaluation.report.html import write_report  # noqa: PLC0415  # jinja is slow to load

        write_report(found, pictures(source, bundle, settings, found), report)
    if as_json:
        sys.stdout.write(orjson.dumps(found.as_json()).decode() + "\n")
    else:
        show(Console(), found, report)


def show(console: Console, found: Evaluation, report: Path | None) -> None:
    """Print an evaluation as tables."""
    skipped = ", ".join(f"{count} {code}" for code, count in found.skipped.items()) or "none"
    console.print(
        f"{found.model} {found.fingerprint}, {found.cell}, on {found.log}: {found.events} events "
        f"of {found.keys} keys; skipped {skipped}"
    )
    for head in found.heads.values():
        console.print(f"\n{head.name}: {head.question} {head.events} scored", highlight=False)
        if not head.events:
            continue
        console.print(_metrics(head))
        console.print(worth(head), highlight=False)
        console.print(_by_memory(head))
    if report is not None:
        console.print(f"\nreport written to {report}")


def worth(head: HeadEvaluation) -> str:
    """Say what the memory is worth for a head."""
    if head.worth is None:
        return "there is no memoryless baseline beside this bundle to compare with"
    gain = head.worth.value if head.better == "higher" else -head.worth.value
    verdict = "better" if gain > 0 else "worse" if gain < 0 else "the same"
    text = f"memory makes {head.metric} {abs(gain):.4f} {verdict}"
    if head.worth.low is None or head.worth.high is None:
        return text
    sure = head.worth.low > 0 or head.worth.high < 0
    return text + (
        f" ({head.worth.low:+.4f} to {head.worth.high:+.4f})"
        + ("" if sure else ": not distinguishable from nothing")
    )


def _metrics(head: HeadEvaluation) -> Table:
    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("metric")
    names = [name for name in MODELS if name in head.models]
    for name in names:
        table.add_column(f"{name} ({head.naive})" if name == "naive" else name, justify="right")
    for metric in head.models[names[0]]:
        cells = (_cell(head.models[name].get(metric)) for name in names)
        table.add_row(metric, *cells)
    return table


def _by_memory(head: HeadEvaluation) -> Table:
    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("events in memory")
    table.add_column("scored", justify="right")
    names = [name for name in MODELS if name in head.models]
    for name in names:
        table.add_column(f"{head.metric} {name}", justify="right")
    for group in head.by_memory:
        cells = (_cell(group.figures.get(name)) for name in names)
        table.add_row(group.name, f"{group.events}", *cells)
    return table


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.value != figure.value:  # NaN
        return "-"
    text = f"{figure.value:.4f}"
    if figure.low is None or figure.high is None:
        return text
    return f"{text} ({figure.low:.4f} to {figure.high:.4f})"
