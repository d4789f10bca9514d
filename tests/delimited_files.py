"""Delimited text files for tests: write one, and read its rows."""

import json

import pytest

from stream_rnn.errors import ConfigError
from stream_rnn.model.features import FeatureSpec
from tests.file_records import read_records

WAIT = {"kind": "time_to_next", "name": "wait"}


def spec_of(*features, key=("id",), time=None, heads=(WAIT,), **file):
    """Make a spec; a feature is the name of a number, or a table."""
    tables = [
        f if isinstance(f, dict) else {"kind": "numeric", "name": f, "path": f}
        for f in features or ("x",)
    ]
    content = {"name": "t", "file": file, "event": {"key": list(key)}, "features": tables}
    if time:
        content["event"]["time"] = time
    return FeatureSpec.parse(content | {"heads": list(heads)}, "t")


def read(tmp_path, content, spec, name="log.csv"):
    """Return the keys and the values of a file with a content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(r.key, json.loads(r.value)) for _, r in read_records(path, spec)]


def values(*arguments, **named):
    """Return the values alone."""
    return [value for _, value in read(*arguments, **named)]


def error(*arguments, **named):
    """Return the message of the error."""
    with pytest.raises(ConfigError) as caught:
        read(*arguments, **named)
    return str(caught.value)
