"""Proposed feature specs: the guesses, the comments on them, and that they always work."""

import io
import json
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings
from stream_rnn.spec.column_roles import UniqueNames, embedding_size
from stream_rnn.spec.columns import find_pairs, frame_columns, measure_change
from stream_rnn.spec.names import split_words
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import Sample, frame_sample, read_sample
from stream_rnn.spec.toml import Block, format_comment, format_document
from stream_rnn.training.dataset import make_events
from stream_rnn.training.examples import fit
from tests.bench import real_logs

START = datetime(2024, 1, 1, tzinfo=UTC)


def frame(rows=600, **more):
    """Make a log of 20 users with their actions, an hour apart."""
    rng = np.random.default_rng(1)
    step = np.arange(rows) // 20
    content = {
        "UserID": np.arange(rows) % 20,
        "created_at": [int((START + timedelta(hours=i)).timestamp() * 1000) for i in range(rows)],
        "action": [["look", "buy", "leave"][i % 3] for i in step],
        "amount": rng.normal(10, 2, rows),
        **more,
    }
    return pl.DataFrame(content)


def take_first(question):
    """Answer a question by its first candidate."""
    return question.candidates[0].answer


def proposed(log, *, name="log.csv", **wanted):
    """Propose a spec, with the first candidate as the answer to each question, and read it."""
    sample = log if isinstance(log, Sample) else frame_sample(log)
    text = propose(sample, name, ProposalOptions(**wanted), take_first)
    return FeatureSpec.parse(tomllib.loads(text), name), text


def features_of(spec):
    """Return the features by name."""
    return {feature.name: feature for feature in spec.features}


def events_of(log, spec):
    """Decode a log as a file's rows are decoded, and count what is skipped."""
    buffer = io.BytesIO()
    log.write_ndjson(buffer)
    lines = buffer.getvalue().splitlines()
    timestamp = 0 if spec.event.time is None else -1
    records = [LogRecord(i, timestamp, b"k", line) for i, line in enumerate(lines)]
    return make_events([records], spec, Settings.build())


def test_a_log_becomes_a_spec():
    """Key, time, classes, numbers, times of the day, and what comes next."""
    spec, text = proposed(frame())
    assert spec.event.key == ("UserID",)
    assert (spec.event.time.path, spec.event.time.unit) == ("created_at", "ms")
    kinds = {name: feature.kind for name, feature in features_of(spec).items()}
    assert kinds == {
        "action": "categorical",
        "amount": "numeric",
        "hour": "calendar",
        "weekday": "calendar",
    }
    assert [(head.kind, head.path) for head in spec.heads] == [("multiclass", "action")]
    assert "20 keys in 600 rows, 30.0 events per key" in text.replace("\n# ", " ")


def test_gaps_that_differ_are_a_feature_and_a_target():
    """Gaps that are all the same say nothing, and nothing is asked of them."""
    rng = np.random.default_rng(2)
    at = 1_700_000_000_000 + np.cumsum(rng.integers(1, 10**6, 600))
    spec, _ = proposed(frame(created_at=at))
    assert "since" in features_of(spec)
    assert spec.heads[-1].kind == "time_to_next"


@pytest.mark.parametrize(
    ("at", "unit"),
    [
        ([1_700_000_000 + i for i in range(600)], "s"),
        ([1_700_000_000.5 + i for i in range(600)], "s"),
        ([1_700_000_000_000 + i for i in range(600)], "ms"),
        ([1_700_000_000_000_000 + i for i in range(600)], "us"),
        ([1_700_000_000_000_000_000 + i for i in range(600)], "ns"),
        ([str(1_700_000_000_000_000_000 + i) for i in range(600)], "ns"),
        ([f"{START + timedelta(hours=i):%d.%m.%Y %H:%M}" for i in range(600)], "text"),
        ([(START + timedelta(hours=i)).isoformat() for i in range(600)], "iso8601"),
        ([f"{START + timedelta(hours=i):%Y-%m-%d %H:%M:%S}" for i in range(600)], "iso8601"),
        ([START + timedelta(hours=i) for i in range(600)], "iso8601"),
        ([(START + timedelta(days=i)).date() for i in range(600)], "iso8601"),
    ],
)
def test_times_are_known_by_size_and_form(at, unit):
    """Epochs by plausible years, texts by ISO 8601; each row is an event by it."""
    log = frame(created_at=at)
    spec, _ = proposed(log)
    assert spec.event.time.unit == unit
    events = events_of(log, spec)
    assert events.skips == {}
    seconds = events.examples.time_ms / 1000
    assert (seconds > 1_600_000_000).all()
    assert (seconds < 1_800_000_000).all()


def test_a_cycle_stands_for_the_time_where_there_is_no_clock():
    """It counts up within a key and starts again with each; a comment says so."""
    log = frame().drop("created_at").with_columns(cycle=pl.int_range(600) // 20)
    spec, text = proposed(log)
    assert (spec.event.time.path, spec.event.time.unit) == ("cycle", "s")
    assert "counts up within each key" in text


def test_without_any_time_the_record_keeps_its_own():
    """And a comment says what that means for a file."""
    spec, text = proposed(frame().drop("created_at"))
    assert spec.event.time is None
    assert "No field looks like a time" in text


def test_a_log_out_of_order_is_said_to_be_so():
    """Training goes by the order of rows."""
    log = frame()
    assert "earlier than the row before" not in proposed(log)[1]
    assert "earlier than the row before" in proposed(log.reverse())[1]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ([f"event {i}" for i in range(600)], "an id or free text"),
        (["same"] * 600, "the same value in every row"),
        ([None] * 600, "no value at all"),
        (list(range(600)), "only counts up"),
        ([[1]] * 600, "an array of 1 value cannot be a feature"),
        ([1e39, *[1.0] * 599], "not finite as float32"),
        ([timedelta(i) for i in range(600)], "a duration cannot be a feature"),
        ([START + timedelta(i) for i in range(600)], "it is a time"),
    ],
)
def test_what_is_of_no_use_is_left_out_with_a_reason(column, says):
    """The comment names the column."""
    spec, text = proposed(frame(other=column))
    assert "other" not in features_of(spec)
    line = next(line for line in text.splitlines() if "other is left out" in line)
    assert says in line


def test_names_with_dots_are_quoted_and_nested_ones_are_not():
    """A path with dots means an inner field."""
    log = frame(**{"a.b": np.arange(600) % 7 / 2}, who={"x": 0})
    log = log.with_columns(who=pl.struct(amount=pl.col("amount"), ok=pl.col("amount") > 10))
    spec, _ = proposed(log)
    paths = {f.path for f in spec.features if hasattr(f, "path")}
    assert paths >= {"who.amount", "who.ok", '"a.b"'}
    assert events_of(log, spec).skips == {}


def test_odd_names_keep_their_path_and_get_a_legal_name():
    """Spaces, umlauts, emoji, quotes, line ends, names that are alike."""
    rng = np.random.default_rng(3)
    names = ["Größe (cm)", "Grö e (cm)", "🙂", "🙃", '"\\', "a\nb", "2nd", "x", "x_missing"]
    log = frame(**{name: rng.normal(0, 1, 600) for name in names})
    spec, _ = proposed(log)
    paths = {split_path(f.path) for f in spec.features if hasattr(f, "path")}
    assert paths >= {(name,) for name in names}
    assert events_of(log, spec).skips == {}


def test_numbers_are_scaled_and_clipped_by_their_shape():
    """A heavy tail takes the logarithm, a wild value a clip; each with its reason."""
    rng = np.random.default_rng(4)
    rows = 5000
    wild = rng.normal(0, 1, rows)
    wild[7] = 1e6
    log = frame(
        rows,
        calm=rng.normal(0, 1, rows),
        heavy=rng.lognormal(3, 2, rows),
        wild=wild,
        holes=[None if i % 9 == 0 else float(x) for i, x in enumerate(rng.normal(0, 1, rows))],
    )
    found = features_of(proposed(log)[0])
    assert (found["calm"].scaling, found["calm"].clip) == ("standard", None)
    assert found["heavy"].scaling == "log"
    assert found["wild"].clip[1] < 100
    assert (found["calm"].missing, found["holes"].missing) == ("mean", "indicator")


def test_a_vocabulary_is_in_order_of_frequency_and_bounded():
    """Ties go by the word, so that the same log gives the same spec."""
    words = ["b"] * 300 + ["a"] * 100 + ["c"] * 100 + ["d"] * 100
    assert features_of(proposed(frame(w=words))[0])["w"].vocabulary == ("b", "a", "c", "d")
    spec, text = proposed(frame(w=words), classes_max=3)
    assert features_of(spec)["w"].vocabulary == ("b", "a", "c")
    assert "83.3% of the rows" in text


@pytest.mark.parametrize(
    ("target", "of", "kind"),
    [
        ("amount", "next", "regression"),
        ("amount", "now", "regression"),
        ("action", "now", "multiclass"),
        ("ok", "label", "binary"),
        ("elsewhere", "label", "regression"),
    ],
)
def test_a_target_is_taken_as_asked(target, of, kind):
    """What is asked of now, or of a label, is no feature."""
    spec, _ = proposed(frame(ok=np.arange(600) % 7 < 3), targets=(target,), of=of)
    assert [(head.kind, head.path, head.of) for head in spec.heads] == [(kind, target, of)]
    paths = {getattr(feature, "path", None) for feature in spec.features}
    assert (target in paths) == (of == "next")


def test_heads_that_are_offered_can_be_taken():
    """Without their ``#`` they are heads beside the proposed one."""
    log = frame(status=np.arange(600) // 20 % 4)
    spec, text = proposed(log)
    assert "# [[heads]]" in text
    head = text.index("# [[heads]]")
    lines = [
        line.removeprefix("# ")
        for line in text[head:].splitlines()
        if " = " in line or "[[" in line
    ]
    taken = FeatureSpec.parse(tomllib.loads(text[:head] + "\n".join(lines)), "taken")
    assert len(taken.heads) > len(spec.heads)


def test_what_keys_do_is_told_apart_from_what_they_are():
    """A value that never changes within a key is told by the last one, and is not asked for."""
    columns = {c.path: c for c in frame_columns(frame(home=[f"h{i % 20 % 3}" for i in range(600)]))}
    pairs = find_pairs([columns["UserID"]])
    assert (pairs.keys, len(pairs.before), pairs.rows) == (20, 580, 600)
    assert measure_change(columns["home"], pairs)[0] == 0
    changes, bits = measure_change(columns["action"], pairs)
    assert changes == 1
    assert bits == pytest.approx(np.log2(3), abs=0.01)


def test_decimal_numbers_are_proposed_and_bytes_are_left_out(tmp_path):
    """As the rows of the Parquet file are read: every row is an event of the proposed spec."""
    price = [Decimal(f"{i % 97}.50") for i in range(600)]
    log = frame(b=[b"x"] * 600, price=price)
    spec, text = proposed(log)
    assert features_of(spec)["price"].kind == "numeric"
    assert "b is left out: JSON cannot carry bytes" in text
    log.write_parquet(tmp_path / "log.parquet")
    records = [r for batch in read_batches(tmp_path / "log.parquet", spec) for r in batch]
    decoded = Decoder(spec, Settings.build()).decode(records)
    assert decoded.columns["price"] == [float(value) for value in price]
    assert not decoded.skips


@pytest.mark.parametrize(
    ("log", "wanted", "says"),
    [
        (frame().drop("UserID", "action"), {}, "no field looks like a key"),
        (pl.DataFrame({"event_id": ["a", "b", "c"]}), {}, "event_id has 3 values in 3 rows"),
        (frame().select("UserID"), {}, "no usable column is left to learn from"),
        (
            frame(),
            {"key": ("user",)},
            "--key user: the log has no such field; its fields are UserID",
        ),
        (
            frame(),
            {"time": "action"},
            "its texts, such as 'look', are of no format that is known",
        ),
        (frame(), {"targets": ("price",)}, "--target price: the log has no such field"),
        (frame(same=1), {"targets": ("same",)}, "--target same: it has the same value"),
        (frame(b=[b"x"] * 600), {"targets": ("b",)}, "--target b: JSON cannot carry bytes"),
    ],
)
def test_what_cannot_be_done_is_a_clear_error(log, wanted, says):
    """It says what to do about it."""
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        propose(frame_sample(log), "log.csv", ProposalOptions(**wanted), take_first)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.csv", "", "cannot read the log"),
        ("log.csv", "a,b\n", "has 0 rows"),
        ("log.csv", "a,b\n1,2\n", "has 1 row; a proposal needs at least 2"),
        ("log.csv", "a,b\n1,2\n1,2,3\n", "cannot read the log"),
        ("log.jsonl", "", "cannot read the log"),
        ("log.jsonl", '{"a": 1}\n{"a": ', "has 1 row"),
        ("log.jsonl", "a\nb\n", "no line is a JSON object"),
        (
            "log.csv",
            "exported by x\n\na,b\n1,2\n3,4\n",
            "the first 1 lines are no part of the table",
        ),
        ("log.parquet", "PAR1 torn", "cannot read the log"),
        ("log.xls", "a", "a log is a .jsonl, .csv, .parquet or .avro file"),
    ],
)
def test_a_file_that_says_nothing_is_a_clear_error(tmp_path, name, content, says):
    """The message names it."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_sample(path, 1000)
    assert str(path) in str(caught.value)


def test_a_sample_is_the_first_rows(tmp_path):
    """No more than were asked for."""
    frame().write_csv(tmp_path / "log.csv")
    assert read_sample(tmp_path / "log.csv", 7).columns[0].values.to_list() == list(range(7))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CaseID", {"case", "id"}),
        ("userid", {"user", "id", "userid"}),
        ("session-key", {"session", "key"}),
        ("HTTPCode2", {"http", "code"}),
        ("gerät_id", {"gerät", "id"}),
        ("valid", {"valid"}),
    ],
)
def test_a_name_is_read_word_by_word(name, said):
    """Whatever its case."""
    assert split_words(name) == said


@given(st.lists(st.text(), max_size=20))
def test_names_are_legal_and_distinct(wanted):
    """With everything that columns of x add to them."""
    names = UniqueNames()
    found = [names.add(name) for name in wanted]
    features = [{"name": n, "kind": "boolean", "path": "x"} for n in [*found, names.add("last")]]
    head = {"name": "h", "kind": "time_to_next"}
    FeatureSpec.parse({"name": "t", "features": features, "heads": [head]}, "t")
    assert len(set(found)) == len(wanted)


def test_an_embedding_grows_with_the_vocabulary():
    """Between 2 and 64."""
    assert [embedding_size(n) for n in (1, 9, 100, 1000, 100_000)] == [2, 5, 21, 64, 64]


@given(st.text(), st.text(), st.lists(st.text()), st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_is_written_is_what_toml_reads(text, said, texts, number):
    """Strings with quotes, backslashes and controls; comments never end early."""
    values = {"a": text, "b": texts, "c": number, "d": {"e": text}, "f": True}
    assert tomllib.loads(format_document([Block("[t]", values, [said])])) == {"t": values}
    assert (
        tomllib.loads(
            format_comment(said) + format_document([Block("[t]", values, is_commented_out=True)])
        )
        == {}
    )


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, 0x7F, 0x85, 0x2028, 0x202E, 0x10FFFF])
def test_every_letter_that_steers_is_escaped(code):
    """Quotes and backslashes stand with a backslash, what cannot be printed as its number."""
    written = format_document([Block(values={"x": chr(code)})])
    assert written.removesuffix("\n").isprintable()
    assert tomllib.loads(written) == {"x": chr(code)}


def test_half_of_a_surrogate_pair_is_refused():
    """No file of TOML could hold it."""
    with pytest.raises(ConfigError, match=r"U\+D800"):
        format_document([Block(values={"x": ["\ud800"]})])


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
