"""A row of a file is an event under its own key if its bytes are one in a topic."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.files import read_batches
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings
from stream_rnn.training.labels import value_at

SETTINGS = Settings.build(app="a", source="s", predictions="p")
NOW = 1_700_000_000_000
ENVELOPE = {
    "unwrap": "event",
    "only": [{"path": "type", "in": ["a", 1]}],
    "forget_when": {"path": "op", "equals": "d"},
}
TEXTS = [  # of a field that no spec names
    *("NaN", "Infinity", "-Infinity", "1e999", "-NaN", "nan", "1" * 30, "9" * 400, "9" * 5000),
    *("[" * depth + "]" * depth for depth in (150, 198, 250, 1000, 1100)),
    *('"\\ud800"', '"\\ud83d\\ude00"', '{"k": NaN}', "0.1", "01", "null", '"', "}"),
]
KEYS = [*('"a"', '"007"', "7", "12345678901234567890123", "1.10", "1e999", "true", "null", "NaN")]
numbers = st.sampled_from(["1", "2.5", "NaN", '"1"', "null"])


def spec_of(**event):
    return FeatureSpec.parse(
        {
            "name": "t",
            "event": {"key": ["k"], "time": {"path": "t"}, **event},
            "features": [{"kind": "numeric", "name": "x", "path": "x"}],
            "heads": [{"kind": "time_to_next", "name": "wait"}],
        },
        "t",
    )


PLAIN, ENVELOPED = spec_of(), spec_of(**ENVELOPE)


@st.composite
def lines(draw):
    """Draw a line that is nearly JSON, with the texts on which parsers differ."""
    inner = f'"x":{draw(numbers)},"unused":{draw(st.sampled_from(TEXTS))}'
    outer = (
        f'"k":{draw(st.sampled_from(KEYS))},"t":{NOW},"type":{draw(st.sampled_from(["1", "NaN"]))}'
    )
    body = f'{outer},{inner},"event":{{{inner}}}'.encode()
    broken = draw(st.binary(max_size=3))
    at = draw(st.integers(0, len(body)))
    body = body[:at] + broken + body[at:] if draw(st.booleans()) else body
    return b"{" + body.replace(b"\n", b"").replace(b"\r", b"") + b"}"


def record_of(line, spec):
    """Return the record of a line of a file, the first line of which is another."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.jsonl"
        path.write_bytes(b"{}\n" + line + b"\n")
        (_, record), *_ = read_batches(path, spec, sort_by_time=False)
    return record


def key_of(line):
    """Return the key of a line that is an event, by Python's own parser."""
    row = json.loads(line, parse_int=str, parse_float=str, parse_constant=lambda _: None)
    key = row.get("k") if isinstance(row, dict) else None
    return {True: b"true", False: b"false"}.get(key) or (
        key.encode() if isinstance(key, str) else None
    )


@pytest.mark.parametrize("spec", [PLAIN, ENVELOPED], ids=["plain", "enveloped"])
@settings(max_examples=150, deadline=None)
@given(line=lines() | st.binary(min_size=1).map(lambda b: b"{" + b.replace(b"\n", b"") + b"}"))
@example(line=b'{"k":"a","t":1700000000000,"x":1,"type":1,"event":{"x":1},"unused":NaN}')
@example(
    line=b'{"k":7,"t":1700000000000,"x":1,"type":1,"event":{"x":1},"unused":' + b"9" * 400 + b"}"
)
@example(line=b'{"k":"a","t":11700000000000,"x":1,"type":1,"event":{"x":1}}')  # far ahead of NOW
@example(line=b'{"k":1.5,"t":1700000000000,"x":1,"unused":' + b"[" * 1000 + b"]" * 1000 + b"}")
def test_what_the_decoder_reads_has_the_key_and_the_time_of_its_row(spec, line):
    """The reader of files knows the key of every row that is an event, and of no other JSON."""
    decoder, record = Decoder(spec, SETTINGS), record_of(line, spec)
    timestamp = NOW if record.timestamp < 0 else record.timestamp
    in_topic = decoder.decode([LogRecord(0, timestamp, b"of the topic", record.value)])
    in_file = decoder.decode([record])
    if len(in_topic.rows) == 0 and 0 not in in_topic.forgets:
        assert len(in_file.rows) == 0
        return
    assert record.key == key_of(record.value)
    if record.key is None:
        assert in_file.skips[0].code == "no_key"
    elif len(in_topic.rows):
        assert record.timestamp == in_topic.time_ms[0] == in_file.time_ms[0]
        assert in_file.keys == [record.key]


@settings(max_examples=150, deadline=None)
@given(lines())
def test_the_id_of_an_event_for_its_labels_is_that_of_its_row(line):
    """A label reaches every event that the decoder reads."""
    if len(Decoder(PLAIN, SETTINGS).decode([LogRecord(0, NOW, b"k", line)]).rows):
        assert value_at(parse_json(line), "t") == json.loads(line)["t"]
