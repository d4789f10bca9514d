"""Fields of Kafka Connect that a spec would misread: ``spec init`` names the cause."""

import base64
import json

import pytest

from stream_rnn.errors import ConfigError
from tests.unit.spec_command import run, write_lines

FIELDS = [
    {"field": "id", "type": "string"},
    {"field": "v", "type": "double"},
    {"field": "price", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal"},
    {"field": "built", "type": "int32", "name": "io.debezium.time.Date"},
]
SCHEMA = {
    "type": "struct",
    "fields": [{"field": "after", "type": "struct", "name": "t.Value", "fields": FIELDS}],
}


def _record(i):
    price = base64.b64encode((i * i % 89 + 1).to_bytes(2, "big")).decode()
    after = {"id": f"r{i % 9}", "v": i * i % 83 / 4, "price": price, "built": 19_700 + i % 5}
    source = {"ts_ms": 1_704_203_100_000 + 60_000 * i}
    return {"before": None, "after": after, "op": "u", "source": source}


def test_types_of_the_records_schema_are_named(tmp_path):
    """Decimals in base64, and dates as days: neither is a category."""
    rows = [{"schema": SCHEMA, "payload": _record(i)} for i in range(300)]
    log, spec = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "spec.toml"
    run("init", log, "--key", "id", "--target", "v", "--out", spec)
    text = spec.read_text().replace("\n# ", " ")
    assert "price is left out: its texts are decimal numbers in base64" in text
    assert "decimal.handling.mode=string" in text
    assert "built is left out: its numbers are days since 1970 (io.debezium.time.Date)" in text
    assert 'path = "price"' not in text
    assert 'path = "built"' not in text


def test_json_within_a_text_is_named(tmp_path):
    """The connector of MongoDB writes the document as a text."""
    rows = [_record(i) for i in range(300)]
    rows = [row | {"after": json.dumps(row["after"])} for row in rows]
    with pytest.raises(ConfigError, match="its texts are JSON within a text"):
        run("init", write_lines(tmp_path / "log.jsonl", rows))
