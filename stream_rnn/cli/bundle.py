"""``stream-rnn bundle``: look at a bundle."""

from pathlib import Path

import orjson

from stream_rnn.model.bundle import describe


def show(directory: Path, as_json: bool) -> None:
    """Show what a bundle computes: cell, parameters, features, heads, fingerprint."""
    found = describe(directory)
    if as_json:
        print(orjson.dumps(found).decode())
        return
    cell = found["cell"]
    print(f"name          {found['name']}")
    print(f"fingerprint   {found['fingerprint']}")
    print(f"cell          {cell['kind']}, hidden {cell['hidden']}, layers {cell['layers']}")
    print(f"parameters    {found['parameters']}")
    print(f"state         {found['state_bytes_per_key']} bytes per key")
    print("features")
    for name, feature in found["features"].items():
        feature.pop("fitted", None)
        feature["vocabulary"] = len(feature.get("vocabulary", ())) or None
        print(f"  {name:12} " + ", ".join(f"{k} {v}" for k, v in feature.items() if v is not None))
    print("heads")
    for name, head in found["heads"].items():
        head.pop("fitted", None)
        print(f"  {name:12} " + ", ".join(f"{k} {v}" for k, v in head.items()))
    for title in ("provenance", "metrics"):
        print(title)
        for name, value in found[title].items():
            print(f"  {name:12} {orjson.dumps(value).decode()}")
