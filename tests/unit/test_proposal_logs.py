"""Proposals for logs of any shape, for files of every format, and for published data sets."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.paths import split_path
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import frame_sample, read_sample
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from tests.bench import real_logs
from tests.unit.test_proposal import events_of, features_of, frame, proposed

NAMES = st.one_of(
    st.sampled_from(["id", "time", "user id", "a.b", "Größe", "x", "x_missing", "🙂", "when", ""]),
    st.text(max_size=6),
)
VALUES = st.sampled_from(
    [
        st.integers(-5, 5),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(1_700_000_000_000, 1_700_900_000_000),
        st.floats(),
        st.floats(-1e3, 1e3),
        st.booleans(),
        st.text(max_size=5),
        st.sampled_from(["a", "b", 'c"\\\x00', ""]),
        st.integers(10**9, 10**10).map(lambda s: datetime.fromtimestamp(s, UTC)),
        st.dates(),
        st.lists(st.integers(0, 3), max_size=2),
        st.fixed_dictionaries({"a": st.integers(0, 3), "b.c": st.booleans()}),
        st.none(),
    ]
)


@st.composite
def logs(draw):
    """Draw a frame of any columns."""
    rows = draw(st.integers(2, 30))
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    some = {}
    for name in names:
        values = draw(VALUES)
        if draw(st.booleans()):
            values = st.none() | values
        some[name] = draw(st.lists(values, min_size=rows, max_size=rows))
    keys = st.sampled_from(["k", "l", None])
    some["key"] = ["k", *draw(st.lists(keys, min_size=rows - 1, max_size=rows - 1))]
    some["amount"] = [i / 2 for i in range(rows)]
    if draw(st.booleans()):
        times = st.integers(1_700_000_000_000, 1_700_900_000_000)
        some["when"] = draw(st.lists(st.none() | times, min_size=rows, max_size=rows))
    return pl.DataFrame(some, strict=False)


def lacks_time(log, spec):
    """Count the rows that have no event time, as JSON has them."""
    if spec.event.time is None:
        return 0
    rows = [json.loads(line) for line in log.write_ndjson().split("\n") if line]
    for part in split_path(spec.event.time.path):
        rows = [None if row is None else row.get(part) for row in rows]
    return rows.count(None)


@settings(max_examples=150, deadline=None)
@given(logs(), st.sampled_from([("key",), ("amount", "key")]))
def test_of_any_log_every_row_that_has_its_time_is_an_event(log, key):
    """By the spec as it is proposed, and after scalings are fitted."""
    if "amount" in key:
        log = log.with_columns(other=pl.col("amount"))
    spec, _ = proposed(log, key=key)
    events = events_of(log, spec)
    assert sum(events.skips.values()) == lacks_time(log, spec)
    if events.keys:
        fitted = fit(spec, events.examples)
        _, errors = Encoder(fitted).encode(events.examples.columns, events.examples.time_ms)
        assert errors == {}


def test_a_message_of_candidates_is_a_line():
    """Whatever their names are: a column may be called by the end of a line."""
    log = pl.DataFrame({"\n": ["a", "a", "b", "b"], "key": ["k", "k", "l", None]})
    with pytest.raises(ConfigError) as got:
        propose(frame_sample(log), "log", ProposalOptions())
    assert [line.split("  ")[1] for line in str(got.value).splitlines()[1:3]] == [
        "--key '\\n'",
        "--key key",
    ]


@settings(max_examples=50, deadline=None)
@given(logs())
def test_of_any_log_a_key_is_guessed_or_the_candidates_are_named(log):
    """There is no other end."""
    try:
        spec, _ = proposed(log)
    except ConfigError as error:
        assert str(error).startswith("no field looks like a key: a key has many values")  # noqa: PT017
    else:
        assert sum(events_of(log, spec).skips.values()) == lacks_time(log, spec)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_format_gives_a_spec_that_reads_its_own_file(tmp_path, suffix):
    """Keys and times of the file's own reader, too."""
    log, path = frame(), tmp_path / f"log{suffix}"
    {".csv": log.write_csv, ".jsonl": log.write_ndjson, ".parquet": log.write_parquet}[suffix](path)
    spec, _ = proposed(read_sample(path, 1000))
    events = make_events(read_batches(path, spec), spec, Settings.build())
    assert (len(events.keys), events.skips) == (600, {})
    assert len(set(events.keys)) == 20


def test_a_help_desk_is_read_as_its_authors_do(tmp_path):
    """A case has activities at times; the next activity and the wait are asked for."""
    log = real_logs.helpdesk(real_logs.folder(real_logs.HELPDESK)).drop("part")
    log.write_csv(tmp_path / "helpdesk.csv")
    spec, text = proposed(read_sample(tmp_path / "helpdesk.csv", 100_000))
    assert spec.event.key == ("CaseID",)
    assert (spec.event.time.path, spec.event.time.unit) == ("CompleteTimestamp", "iso8601")
    assert list(features_of(spec)) == ["ActivityID", "since", "hour", "weekday"]
    assert [(h.kind, h.path) for h in spec.heads] == [
        ("multiclass", "ActivityID"),
        ("time_to_next", None),
    ]
    assert len(spec.heads[0].classes) == 9
    assert "earlier than the row before" not in text


def test_engines_are_read_as_their_authors_do(tmp_path):
    """A unit has cycles and sensors; what never changes is left out, what is left is asked for."""
    log = real_logs.engines(real_logs.folder(real_logs.ENGINES)).drop("part")
    log.write_csv(tmp_path / "engines.csv")
    spec, _ = proposed(read_sample(tmp_path / "engines.csv", 100_000), targets=("rul",), of="now")
    assert spec.event.key == ("unit",)
    assert (spec.event.time.path, spec.event.time.unit) == ("cycle", "s")
    named = features_of(spec)
    assert {"s2", "s3", "s4", "s7", "s11", "s12", "s15", "s20", "s21"} <= set(named)
    assert not {"s1", "s10", "s18", "s19", "rul", "since", "hour"} & set(named)
    assert [(h.kind, h.path, h.of) for h in spec.heads] == [("regression", "rul", "now")]
