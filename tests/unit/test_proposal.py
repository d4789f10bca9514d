"""Proposed feature specs: the guesses, the comments on them, and that they always work."""

import io
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import split_path
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings
from stream_rnn.spec.columns import find_pairs, frame_columns, measure_change
from stream_rnn.spec.proposal import propose
from stream_rnn.spec.proposal_options import ProposalOptions
from stream_rnn.spec.sample import Sample, frame_sample
from stream_rnn.training.dataset import make_events

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
        ([[1] * (i % 2 + 1) for i in range(600)], "an array of 1 to 2 values cannot be a feature"),
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


def test_the_previous_value_of_a_target_is_offered_as_a_feature():
    """As a comment, for a log does not show when the value was known; without its # it is one."""
    log, targets = frame(ok=np.arange(600) % 7 < 3), ("ok",)
    spec, text = proposed(log, targets=targets, of="now")
    assert not any(getattr(feature, "lag", False) for feature in spec.features)
    assert "ok in the previous event of the key: remove the # if it is known by the time" in text
    lines = [line.removeprefix("# ") for line in text.split("# [[features]]\n")[1].splitlines()]
    block = "\n".join(line for line in lines[: lines.index("")] if " = " in line)
    added = tomllib.loads(f"[[features]]\n{block}")["features"]
    content = tomllib.loads(text)
    taken = FeatureSpec.parse({**content, "features": [*content["features"], *added]}, "taken")
    lag = taken.features[-1]
    assert (lag.name, lag.path, lag.kind, lag.lag) == ("last_ok", "ok", "boolean", True)
    assert "lag" not in proposed(log, targets=targets)[1]


@pytest.mark.parametrize("of", ["next", "now"])
def test_quantiles_of_a_predicted_number_are_offered(of):
    """As a comment; without its # it is a head of the same field, with the same options."""
    log = frame(amount=[f"{i % 97}.5" for i in range(600)])
    spec, text = proposed(log, targets=("amount",), of=of)
    assert [head.kind for head in spec.heads] == ["regression"]
    lines = text.split("# [[heads]]\n")[1].splitlines()
    block = "\n".join(line.removeprefix("# ") for line in lines[: lines.index("")])
    added = tomllib.loads(f"[[heads]]\n{block}")["heads"]
    content = tomllib.loads(text)
    taken = FeatureSpec.parse({**content, "heads": [*content["heads"], *added]}, "taken")
    number, interval = taken.heads
    assert (interval.kind, interval.quantiles) == ("quantile", (0.1, 0.5, 0.9))
    for option in ("of", "path", "parse"):
        assert getattr(interval, option) == getattr(number, option)
    assert "quantile" not in proposed(log, targets=("action",), of=of)[1]


@pytest.mark.parametrize("separator", ["|", ";", ", "])
def test_texts_that_are_lists_of_words_are_named(separator):
    """Few words in many choices; the kind that the comment names reads them."""
    words = ["Comedy", "Drama", "Crime", "War"]
    texts = [
        separator.join(word for bit, word in enumerate(words) if (1 + i % 15) >> bit & 1)
        for i in range(600)
    ]
    _, text = proposed(frame(genres=texts))
    said = " ".join(text.replace("\n#", "").split())
    kind = f'kind = "multi_categorical" with separator = "{separator.strip()}"'
    assert f"its texts look like lists of up to 4 of 4 words: {kind}" in said


@pytest.mark.parametrize("column", ["A-{}, of {}", "{}", "well, that is {}; and {} | more"])
def test_other_texts_are_no_lists_of_words(column):
    """Sentences, numbers of things, and words of one value."""
    texts = [column.format(i % 200, i % 7) for i in range(600)]
    assert "look like lists" not in proposed(frame(note=texts))[1]


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
    """The last value predicts one that never changes within a key, so no head is offered for it."""
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
