"""``stream-rnn bundle``: the content of a bundle."""

from pathlib import Path
from typing import Any

import orjson

from stream_rnn.cli.shared.printing import print_json
from stream_rnn.model.bundle import describe


def show(directory: Path, as_json: bool) -> None:
    """Show cell, parameters, features, heads and fingerprint of a bundle."""
    description = describe(directory)
    if as_json:
        print_json(description)
        return
    cell = description["cell"]
    print(f"name          {description['name']}")
    print(f"fingerprint   {description['fingerprint']}")
    print(f"cell          {cell['kind']}, hidden {cell['hidden']}, layers {cell['layers']}")
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
