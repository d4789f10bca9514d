"""``stream-rnn bundle``: the content of a bundle, and a bundle of weights from elsewhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from stream_rnn.cli.shared.printing import print_json
from stream_rnn.model.bundle import describe
from stream_rnn.notebook.import_weights import ImportedBundle, import_weights
from stream_rnn.text import printable


def show(directory: Path, as_json: bool) -> None:
    """Show cell, parameters, features, heads and fingerprint of a bundle."""
    description = describe(directory)
    if as_json:
        print_json(description)
        return
    print(f"name          {description['name']}")
    print(f"fingerprint   {description['fingerprint']}")
    print(f"cell          {description['cell_description']}")
    print(f"parameters    {description['parameters']}")
    print(f"state         {description['state_bytes_per_key']} bytes per key")
    print("features")
    for name, feature in description["features"].items():
        feature.pop("fitted", None)
        feature["vocabulary"] = len(feature.get("vocabulary", ())) or None
        _print_fields(name, feature)
    print("heads")
    for name, head in description["heads"].items():
        head.pop("fitted", None)
        _print_fields(name, head)
    for title in ("provenance", "metrics"):
        print(title)
        for name, value in description[title].items():
            print(f"  {name:12} {orjson.dumps(value).decode()}")


def _print_fields(name: str, fields: dict[str, Any]) -> None:
    texts = (f"{field} {value}" for field, value in fields.items() if value is not None)
    print(f"  {name:12} " + ", ".join(texts))


def import_bundle(
    mapping: Sequence[str], inputs: str, as_json: bool, out: Path, **options: Any
) -> None:
    """Make a bundle of the weights of a network that was trained elsewhere."""
    pairs = []
    for pair in mapping:
        ours, is_pair, theirs = pair.partition("=")
        if not (is_pair and ours and theirs):
            raise click.UsageError(f"--map {pair!r} is not OURS=THEIRS")
        pairs.append((ours.strip(), theirs.strip()))
    columns = [name.strip() for name in inputs.split(",") if name.strip()]
    bundle = import_weights(out=out, mapping=pairs, inputs=columns, **options)
    (_print_import_json if as_json else _print_import)(bundle)


def _print_import_json(bundle: ImportedBundle) -> None:
    comparison = bundle.comparison
    print_json(
        {
            "out": str(bundle.out),
            "fingerprint": bundle.model.fingerprint,
            "cell": bundle.model.cell.model_dump(),
            "mapping": bundle.names,
            "notes": bundle.notes,
            "compared": comparison and comparison.compared,
            "largest_difference": comparison and comparison.largest,
        }
    )


def _print_import(bundle: ImportedBundle) -> None:
    print(f"cell          {bundle.model.cell.description}")
    for ours, theirs in bundle.names.items():
        print(f"  {ours} = {printable(theirs)}")
    for note in bundle.notes:
        print(note)
    if bundle.comparison is None:
        print("nothing was compared with your own code; --check REFERENCE does")
    else:
        print(
            f"{bundle.comparison.compared:,} outputs are those of your own code; largest difference "
            f"{bundle.comparison.largest:.2g}"
        )
    print(f"wrote {bundle.out}, fingerprint {bundle.model.fingerprint[:16]}")
