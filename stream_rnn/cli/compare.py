"""``stream-rnn compare``: two bundles on the same log."""

import sys
from collections.abc import Callable
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from stream_rnn.cli.shared.log_options import LogChoice
from stream_rnn.cli.shared.progress import RecordBars
from stream_rnn.evaluation.compare import Comparison, compare
from stream_rnn.evaluation.evaluate import Scored
from stream_rnn.fold.gc_tuning import calm_collector
from stream_rnn.model.bundle import read_bundle
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import pin_numerics
from stream_rnn.replay.labels import Labels
from stream_rnn.settings import Settings


def run(
    settings: Settings,
    where: LogChoice,
    words: tuple[str, ...],
    labels: Callable[[FeatureSpec], Labels],
    scored: Callable[[], Scored],
    as_json: bool,
) -> None:
    """Hold two bundles against each other on the same log."""
    pin_numerics()
    calm_collector()
    path, names = where.split(words, "DIR", "DIR")
    first, second = Path(names[0]), Path(names[1])
    spec = read_bundle(first).spec
    log = where.make(settings, spec, path)
    settings = settings.replace(source=log.name)
    with RecordBars(Console(stderr=True)) as bars:
        found = compare(
            log,
            (first, second),
            settings,
            scored(),
            labels(spec),
            bars,
        )
    if as_json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    else:
        _show(Console(), found)


def _show(console: Console, found: Comparison) -> None:
    console.print(f"A {found.first}\nB {found.second}\n{found.events} events of {found.log}")
    for name, head in found.heads.items():
        table = Table(
            box=None, header_style="", pad_edge=False, title=f"{name}: {head.events} scored"
        )
        for column in ("metric", "A", "B", "B - A", "95 %"):
            table.add_column(column, justify="left" if column == "metric" else "right")
        for metric, row in head.metrics.items():
            low, high = row.difference.low, row.difference.high
            interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
            cells = (f"{row.first:.4f}", f"{row.second:.4f}", f"{row.difference.value:+.4f}")
            table.add_row(metric, *cells, interval)
        console.print(table)
        for event in head.differ:
            console.print(
                f"  {event.key} partition {event.partition} offset {event.offset}: "
                f"A {event.first}, B {event.second}, came {event.actual}",
                highlight=False,
            )
