"""Surprise from training to a report: the same numbers in replay, evaluate and trace."""

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from stream_rnn import evaluate, propose_spec, replay, trace, train
from stream_rnn.cli.verbs.evaluate import command as evaluate_command
from stream_rnn.evaluation.predictions_with_targets import PredictionsWithTargets
from stream_rnn.evaluation.surprise import KEY_EVENTS_MIN, summarize_surprise
from stream_rnn.model.features import FeatureSpec
from stream_rnn.predictions.frames import to_polars

ROWS, KEYS, ODD = 3000, 20, 7


def frame():
    """Make a log in which a word follows the one before, but in one key any word does."""
    rng = np.random.default_rng(5)
    word, words = [0] * KEYS, []
    for row in range(ROWS):
        key = row % KEYS
        is_free = key == ODD and row > ROWS // 2
        word[key] = int(rng.integers(3)) if is_free else (word[key] + 1) % 3
        words.append("ABC"[word[key]])
    return pl.DataFrame(
        {
            "k": [f"k{row % KEYS}" for row in range(ROWS)],
            "at": [1_700_000_000 + row for row in range(ROWS)],
            "word": words,
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train with a surprise, for which training needs nothing."""
    log, out = frame(), tmp_path_factory.mktemp("surprise") / "bundle"
    proposed = propose_spec(log, key=["k"], time="at", target=["word"])
    content = proposed.spec.model_dump(mode="json")
    content["heads"][0] |= {"surprise": True, "name": "word"}
    content["heads"].append({"name": "wait", "kind": "time_to_next"})
    train(log, FeatureSpec.parse(content, "t"), out, hidden=8, epochs=3, threads=1)
    return log, out


def test_every_view_of_a_surprise_has_the_same_numbers(trained, tmp_path):
    """Those of the predictions, and those that follow from the probabilities before."""
    log, out = trained
    result = evaluate(log, out, report=tmp_path / "report.html")
    table = result.to_polars()
    replayed, published = replay(log, out), to_polars(replay(log, out))
    assert table["word.surprise"].equals(published["word.surprise"])
    assert replayed.to_polars()["word.surprise"].equals(table["word.surprise"])
    assert replayed.write(tmp_path / "p.parquet") == ROWS
    in_file = pl.read_parquet(tmp_path / "p.parquet")
    assert in_file.sort("offset")["word.surprise"].equals(table["word.surprise"])
    of_key = table.filter(pl.col("key") == "k7")
    steps = trace(log, "k7", out, last=1000).to_polars()
    assert steps["word.surprise"].equals(of_key["word.surprise"])

    one = [p for p in replay(log, out) if p.key == "k7"]
    words = of_key["word.target"].to_list()[:-1]  # of the event after each prediction
    expected = [-np.log(dict(p.outputs["word"].top)[w]) for p, w in zip(one, words, strict=False)]
    found = [p.surprise["word"] for p in one]
    assert found[0] is None
    assert found[1:] == pytest.approx(expected, rel=1e-4)
    assert {head for p in one for head in p.surprise} == {"word"}


def test_the_report_names_the_keys_with_the_highest(trained, tmp_path):
    """In the page, on the terminal and as JSON; a head without has none."""
    log, out = trained
    path = tmp_path / "log.csv"
    log.write_csv(path)
    report = tmp_path / "report.html"
    evaluation = evaluate(log, out, report=report).evaluation
    summary = evaluation.heads["word"].surprise
    assert summary.keys[0].key == f"k{ODD}"
    assert summary.events == ROWS - KEYS
    assert summary.unit == "nats"
    assert summary.quantiles["largest"] == summary.highest[0].surprise
    page = report.read_text()
    assert "Surprise of 2,980 events, in nats: mean" in page
    assert "Keys with the highest mean surprise" in page
    heads = evaluation.as_json()["heads"]
    assert heads["word"]["surprise"]["keys"][0]["key"] == f"k{ODD}"
    assert "surprise" not in heads["wait"]
    shown = CliRunner().invoke(
        evaluate_command, [str(path), f"--bundle={out}"], catch_exceptions=False
    )
    assert "Surprise of 2,980 events, in nats" in shown.output
    assert "most surprising keys" in shown.output


def summary_of(values, key):
    """Summarize the surprise of some events, by the number of their key."""
    (head,) = FeatureSpec.parse(
        {
            "name": "m",
            "features": [{"name": "x", "kind": "numeric", "path": "x"}],
            "heads": [{"name": "n", "kind": "regression", "path": "x", "surprise": True}],
        },
        "m",
    ).heads
    count = np.arange(len(values))
    predictions = PredictionsWithTargets(
        keys=[b"a", b"b", b"c"],
        key=np.array(key, np.int64),
        partition=count * 0,
        offset=count,
        time_ms=count,
        steps=count + 1,
        outputs={},
        surprises={"n": np.array(values, np.float32)},
        own_targets={},
        targets={},
        skips={},
        split_values=[],
    )
    return summarize_surprise(head, predictions, count >= 1)


def test_a_key_of_few_events_is_ranked_only_among_its_like():
    """One surprising event is among the events; events that are not scored count nowhere."""
    many = [1.0] * KEY_EVENTS_MIN
    summary = summary_of([99.0, *many, 9.0, np.nan], [0, *[1] * KEY_EVENTS_MIN, 2, 2])
    assert [(one.key, one.events, one.mean) for one in summary.keys] == [("b", KEY_EVENTS_MIN, 1.0)]
    assert [one.surprise for one in summary.highest][:2] == [9.0, 1.0]
    few = summary_of([0.0, 1.0, 9.0], [0, 1, 2])
    assert [one.key for one in few.keys] == ["c", "b"]
    assert few.unit == "standard deviations of the target"
    none = summary_of([np.nan, np.nan], [0, 1])
    assert (none.events, none.keys, none.quantiles) == (0, (), {})


def test_a_proposal_offers_a_surprise_once():
    """At the first head that can have one; a head of the event itself cannot."""
    log = frame().with_columns(x=pl.int_range(ROWS) * 7 % 11)
    text = propose_spec(log, key=["k"], time="at", target=["word", "x"]).toml
    assert text.count("# surprise = true adds to each prediction") == 1
    assert "surprise" not in propose_spec(log, key=["k"], time="at", target=["word"], of="now").toml
