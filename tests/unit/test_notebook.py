"""The verbs as Python functions: files and frames, inside of a running event loop, as polars."""

import inspect
import io
import math
import pydoc
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import islice

import click
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

import stream_rnn
from stream_rnn import compare, evaluate, propose_spec, replay, trace, train
from stream_rnn.cli.program import group
from stream_rnn.errors import ConfigError, MissingExtraError
from stream_rnn.model.bundle import load_bundle
from stream_rnn.notebook import progress
from stream_rnn.notebook.columns import PLACE
from stream_rnn.notebook.example import example_bundle, machines
from stream_rnn.notebook.html import framed, page, table
from stream_rnn.notebook.log import LabelOptions
from stream_rnn.notebook.options import keywords
from stream_rnn.replay.logs import FileLog
from stream_rnn.settings import CLUSTER, FOLD, Settings
from stream_rnn.training.training_settings import TrainingSettings

QUICK = {"hidden": 8, "epochs": 2, "threads": 1}
FRAME = machines()
SPEC = propose_spec(FRAME, target="failed")
TRAINING = TrainingSettings.__dataclass_fields__
VERBS = {  # and which of their options a function has as methods, or as what it returns
    "train": {"as_json"},
    "evaluate": {"as_json"},
    "compare": {"as_json"},
    "trace": {"as_json"},
    "replay": {"as_json", "out", "processes"},
    "spec": {"out", "force", "topic", "app", "kafka_timeout_s", *CLUSTER, *FOLD},
}


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    """Write the events as a file."""
    path = tmp_path_factory.mktemp("log") / "frame.csv"
    FRAME.write_csv(path)
    return path


@pytest.fixture
def pandas_frame():
    """Return the events as a frame of pandas."""
    return pd.DataFrame(FRAME.to_dict(as_series=False))


@pytest.mark.parametrize("verb", VERBS)
def test_the_keywords_are_the_options_of_the_verb(verb):
    """With the same names and defaults."""
    command = group.commands.get(verb) or group.get_command(None, verb)
    command = command.commands["init"] if isinstance(command, click.Group) else command
    function = propose_spec if verb == "spec" else getattr(stream_rnn, verb)
    keywords = inspect.signature(function).parameters
    defaults = command.make_context(verb, [], resilient_parsing=True).params
    options = {p.name: p for p in command.params if isinstance(p, click.Option)}
    assert set(options) - VERBS[verb] <= set(keywords)
    for name in set(options) - VERBS[verb]:
        has_default = not options[name].required and (verb, name) != ("train", "spec")
        is_generated = "env: STREAM_RNN_" in (options[name].help or "") or name in TRAINING
        if has_default and not is_generated:
            is_repeated = options[name].multiple and keywords[name].default is None
            assert keywords[name].default == (None if is_repeated else defaults[name]), name
            assert not is_repeated or defaults[name] == ()


@pytest.mark.parametrize("name", ["train", "evaluate", "compare", "trace", "replay"])
def test_help_describes_each_keyword_in_the_order_of_the_signature(name):
    """By the descriptions of the options; a group of options is no keyword that callers need."""
    function = getattr(stream_rnn, name)
    shown = pydoc.plain(pydoc.render_doc(function)).replace("pathlib._local.", "pathlib.")  # 3.13
    arguments = inspect.getdoc(function).partition("Args:\n")[2].partition("\n\n")[0]
    described = re.findall(r"^ {4}(\w+): \S", arguments, re.MULTILINE)
    assert described == list(inspect.signature(function).parameters)
    assert re.search(r"Annotated|FieldInfo|<function", shown) is None
    assert max(map(len, shown.splitlines())) < 120
    top_k = Settings.model_fields["top_k"].description
    assert f"top_k: {top_k}" in " ".join(arguments.split())
    if name == "train":
        assert "    epochs: int = 12,\n" in shown
        assert f"epochs: {TRAINING['epochs'].default.description}\n" in arguments


def test_an_unknown_keyword_names_the_nearest():
    """Before anything is read."""
    with pytest.raises(TypeError, match=r"train\(\) has no keyword 'epoch'; did you mean 'epochs'"):
        train("nothing.csv", SPEC, "nowhere", epoch=3)
    with pytest.raises(TypeError, match="did you mean 'state_ttl'"):
        replay("nothing.csv", "nowhere", state_tl=3)


def test_a_search_without_optuna_is_refused_before_the_log_is_read(tmp_path, monkeypatch):
    """The log may be long; here it does not even exist."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match="--search needs"):
        train(tmp_path / "missing.csv", tmp_path / "t.toml", tmp_path / "bundle", search=2)


def test_a_frame_and_a_file_train_the_same_bundle(csv, tmp_path, pandas_frame):
    """The fingerprint is of every weight and of the spec."""
    prints = set()
    for number, log in enumerate((csv, FRAME, FRAME.lazy(), pandas_frame)):
        result = train(log, SPEC, tmp_path / f"{number}", **QUICK)
        prints.add(load_bundle(result.out).fingerprint)
    assert len(prints) == 1


def test_a_frame_and_a_file_give_the_same_predictions_and_states(csv, pandas_frame):
    """By every function that folds."""
    bundle = example_bundle()
    for frame in (FRAME, pandas_frame):
        pairs = [
            (
                evaluate(log, bundle, with_pictures=False, bootstrap_samples=0)
                for log in (csv, frame)
            ),
            (replay(log, bundle) for log in (csv, frame)),
            (trace(log, "m-7", bundle) for log in (csv, frame)),
            (compare(log, bundle, bundle, bootstrap_samples=0) for log in (csv, frame)),
        ]
        for of_file, of_frame in pairs:
            assert_frame_equal(of_file.to_polars(), of_frame.to_polars(), check_exact=True)
            assert of_file.to_polars().height > 0


def test_predictions_stand_in_log_order_whatever_the_partitions():
    """With the values that a worker publishes, and what came."""
    bundle = example_bundle()
    replayed = replay(FRAME, bundle, partitions=3).to_polars()
    evaluated = evaluate(FRAME, bundle, partitions=3, with_pictures=False).to_polars()
    names = [*PLACE, "next_failed.probability"]
    assert replayed.columns == names
    assert evaluated.columns == [*names, "next_failed.target", "is_scored"]
    assert_frame_equal(replayed, evaluated.select(names), check_exact=True)
    assert replayed["offset"].to_list() == list(range(len(FRAME)))
    assert replayed["key"].to_list() == FRAME["machine"].to_list()
    assert (replayed["event_time_ms"] // 1000).to_list() == FRAME["at"].to_list()
    later = FRAME.select(pl.col("failed").shift(-1).over("machine")).to_series()
    assert evaluated["next_failed.target"].to_list() == later.to_list()
    assert evaluated["is_scored"].to_list() == [True] * len(FRAME)
    assert [p.source.offset for p in replay(FRAME, bundle)] == replayed["offset"].to_list()


def test_a_trace_has_a_row_for_each_step():
    """With what a replay says of the same events."""
    steps = trace(FRAME, "m-7", example_bundle(), last=5).to_polars()
    said = replay(FRAME, example_bundle()).to_polars().filter(key="m-7").tail(5)
    names = ["offset", "event_time_ms", "steps", "next_failed.probability"]
    assert_frame_equal(steps.select(names), said.select(names), check_exact=True)
    assert steps.schema["h"] == pl.Array(pl.Float32, 8)
    assert steps.schema["gate.r"] == pl.Float32
    assert set(steps.schema) >= {"since_previous_ms", "x.vibration", "update_norm"}


def test_training_has_a_row_for_each_epoch(tmp_path):
    """Of both networks, with the losses; a network that starts again has rows of its own."""
    found = train(FRAME, SPEC, tmp_path / "b", patience=9, **QUICK)
    losses = found.to_polars()
    assert losses["network"].to_list() == ["gru"] * 2 + ["memoryless"] * 6 + ["gru-restarted"] * 2
    assert losses["epoch"].to_list() == [1, 2, 1, 2, 3, 4, 5, 6, 1, 2]
    assert losses.select(pl.col("training_loss", "validation_loss").is_finite().all()).row(0) == (
        True,
        True,
    )
    assert "next_failed auc: memory 0." in repr(found)


def test_training_and_evaluation_show_the_same_evidence(tmp_path):
    """What the memory is worth on the test part, with the interval of the same draws of keys."""
    trained = train(FRAME, SPEC, tmp_path / "b", split="time:0.7", **QUICK)
    (head,) = trained.spec.heads
    evaluated = evaluate(FRAME, trained.out, split="time:0.7").evaluation.heads[head.name].worth
    worth = trained.scores.worth[head.name]
    assert worth.low < worth.high
    for ours, theirs in zip(astuple(worth), astuple(evaluated), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert trained.as_json()["worth"][head.name]["low"] == worth.low


async def test_everything_works_inside_of_a_running_loop(tmp_path):
    """As in the cell of a notebook."""
    bundle = train(FRAME, SPEC, tmp_path / "b", **QUICK).out
    assert evaluate(FRAME, bundle).pictures
    assert compare(FRAME, bundle, bundle).comparison.events == len(FRAME)
    assert len(trace(FRAME, "m-1", bundle).unrolled.offsets) == 40
    predictions = replay(FRAME, bundle)
    assert predictions.head(3).height == 3
    assert predictions.write(tmp_path / "p.parquet") == len(FRAME)
    assert_frame_equal(
        pl.read_parquet(tmp_path / "p.parquet").drop("key_base64"),
        predictions.to_polars().drop("key_base64"),
    )


def test_torch_has_its_threads_again(monkeypatch):
    """A fold uses one, the person's own code what it had."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    trace(FRAME, "m-1", example_bundle())
    assert set_to[0] == 1
    assert set_to[-1] == 7


def test_a_loop_over_a_replay_leaves_torch_its_threads():
    """The fold uses one torch thread; the caller and the threads that it starts use two."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    numbers = []

    class Recorded(FileLog):
        async def batches(self, source_range):
            async for records in super().batches(source_range):
                numbers.append(torch.get_num_threads())
                yield records

    def in_new_thread():
        with ThreadPoolExecutor() as pool:
            return pool.submit(torch.get_num_threads).result()

    log = Recorded(FRAME, SPEC.spec)
    try:
        pairs = zip(replay(log, example_bundle()), replay(log, example_bundle()), strict=True)
        for first, second in islice(pairs, 3):
            assert first.key == second.key
            assert (torch.get_num_threads(), in_new_thread()) == (2, 2)
        assert numbers == [1, 1]
        del pairs
        replay(log, example_bundle()).head()
        assert (torch.get_num_threads(), in_new_thread()) == (2, 2)
    finally:
        torch.set_num_threads(before)


def test_what_a_notebook_shows_is_self_contained():
    """No script, nothing from elsewhere; style sheets stand in a frame or are of the picture alone."""
    bundle = example_bundle()
    evaluation = evaluate(FRAME, bundle)._repr_html_()
    comparison = compare(FRAME, bundle, bundle)._repr_html_()
    for html in (evaluation, comparison):
        assert html.startswith('<iframe sandbox srcdoc="&lt;!DOCTYPE html&gt;')
        assert html.endswith("</iframe>")
        assert "<style" not in html
        assert "&lt;script" not in html
    assert "what its memory is worth" in evaluation
    picture = trace(FRAME, "m-1", bundle)._repr_html_()
    sheet = picture.partition("<style>")[2].partition("</style>")[0]
    selectors = sheet.replace("@media (prefers-color-scheme:dark){", "").split("}")
    assert [one for one in selectors if one and not one.startswith(".sr-trace ")] == []
    assert replay(FRAME, bundle)._repr_html_().count("<tr>") == 11
    assert "<pre>" in SPEC._repr_html_()


def test_texts_of_a_log_are_escaped():
    """A key may be markup."""
    hostile = '"><script>alert(1)</script>'
    assert "<script" not in table(["key"], [[hostile]], hostile)
    assert "<script" not in framed(page(hostile, table(["key"], [[hostile]])), hostile)


def test_progress_is_one_line_that_does_not_flood():
    """At most twice a second, over itself, and gone at the end."""
    stream, now = io.StringIO(), [0.0]
    line = progress.ProgressLine(stream, lambda: now[0])
    for _ in range(1000):
        line("memory", 10)
        now[0] += 0.001
    line("memory", 10, 20_000)
    assert stream.getvalue().count("\r") == 3
    assert stream.getvalue().endswith("\rmemory: 10,010 records of 20,000")
    line.close()
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith(" " * 32 + "\r")


def test_progress_goes_to_the_caller(tmp_path):
    """By name, and for training epoch by epoch."""
    seen = []
    evaluate(FRAME, example_bundle(), on_progress=lambda *given: seen.append(given))
    assert sum(count for name, count in seen if name == "memory") == len(FRAME)
    losses = []
    train(
        FRAME,
        SPEC,
        tmp_path / "b",
        **QUICK,
        on_progress=lambda name, now: losses.append((name, now.epoch_loss)),
    )
    assert sum(name == "gru" and not math.isnan(loss) for name, loss in losses) == 2


def test_what_is_wrong_is_an_error_with_its_name(tmp_path):
    """Of the log, of the spec, of the options."""
    bundle = example_bundle()
    with pytest.raises(ConfigError, match="column machine is not in the frame"):
        replay(FRAME.drop("machine"), bundle)
    with pytest.raises(ConfigError, match=r"a log is a path, a data frame .* not list"):
        replay([1, 2], bundle)
    with pytest.raises(ConfigError, match="name either a LOG file or a --topic"):
        replay(None, bundle)
    with pytest.raises(ConfigError, match=r"option hidden: .* than or equal to 1, not 0"):
        train(FRAME, SPEC, tmp_path / "b", hidden=0)
    with pytest.raises(ConfigError, match="setting top_k"):
        replay(FRAME, bundle, top_k=0)
    with pytest.raises(ConfigError, match=r"option dropout: .*, not 2"):
        train(FRAME, SPEC, tmp_path / "b", dropout=2)
    with pytest.raises(ConfigError, match="training needs a spec"):
        train(FRAME, None, tmp_path / "b")


def test_a_group_and_its_field_of_the_same_name_are_told_apart():
    """``labels`` is the path of a file, or all options of labels."""

    @keywords(labels=LabelOptions)
    def read(*, labels, settings):
        return labels if settings else None

    assert read(labels="labels.csv").labels == "labels.csv"
    options = LabelOptions(labels="labels.csv", labels_by="id")
    assert read(labels=options) == options
    assert read(labels=options, labels_by="key").labels_by == "key"
