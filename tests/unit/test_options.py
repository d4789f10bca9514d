"""Options of functions and of the command line: their bounds and types."""

import math

import click
import numpy as np
import pytest
from click.testing import CliRunner

from stream_rnn import compare, evaluate, propose_spec, replay, trace, train
from stream_rnn.cli.program import group
from stream_rnn.cli.shared.options import Integer
from stream_rnn.errors import ConfigError
from stream_rnn.evaluation.scoring_options import ScoringOptions
from stream_rnn.model.features import FeatureSpec
from stream_rnn.notebook.example import example_bundle, machines
from stream_rnn.notebook.options import (
    LogOptions,
    ReplayOptions,
    SpecOptions,
    TraceOptions,
    TrainOptions,
)
from stream_rnn.options import INT64_MAX, build_options
from stream_rnn.training.training_settings import TrainingSettings

FRAME = machines(3, 8)
BUNDLE = example_bundle()
SPEC = propose_spec(FRAME, target="failed")
GROUPS = {
    "train": (LogOptions, TrainOptions, TrainingSettings),
    "evaluate": (LogOptions, ScoringOptions),
    "compare": (LogOptions, ScoringOptions),
    "trace": (LogOptions, TraceOptions),
    "replay": (LogOptions, ReplayOptions),
    "spec init": (SpecOptions,),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partitions", 0),
        ("partitions", 2.5),
        ("part", "tset"),
        ("warm_up", [0.2]),
        ("steps_min", 0),
        ("split", True),
        ("bootstrap_samples", -1),
        ("seed", -1),
        ("seed", INT64_MAX + 1),
    ],
)
def test_evaluate_and_compare_reject_an_option_out_of_bounds(name, value):
    """The message has the name of the keyword and its value."""
    for call in (
        lambda: evaluate(FRAME, BUNDLE, **{name: value}),
        lambda: compare(FRAME, BUNDLE, BUNDLE, **{name: value}),
    ):
        with pytest.raises(ConfigError) as raised:
            call()
        assert str(raised.value).startswith(f"option {name}: Input should be")
        assert str(raised.value).endswith(f", not {value!r}")


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        {"layers": 0},
        {"seeds": 0},
        {"threads": 0},
        {"search": -1},
        {"split": 0.8},
        {"seed": 2**70},
        {"learning_rate": math.nan},
    ],
)
def test_train_rejects_an_option_out_of_bounds_before_it_reads_the_log(options, tmp_path):
    """The log does not exist, and the message is about the option."""
    with pytest.raises(ConfigError, match=f"option {next(iter(options))}: Input should be"):
        train(tmp_path / "missing.csv", SPEC, tmp_path / "b", **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cell": "GRU"}, "no installed package has a cell GRU: choose elman, gru, lstm, mingru, "),
        ({"cell": "none"}, "no installed package has a cell none"),
        (
            {"cell": "decay_gru", "layers": 2},
            "option layers: the cell decay_gru has no such option",
        ),
        ({"cell": "mingru", "hidden": 50}, "option hidden of the cell mingru: .* multiple of 8"),
        (
            {"cell": "mingru", "cell_options": {"width": 9}},
            "mingru has no option width: its options",
        ),
        ({"cell": "gru", "cell_options": ["width=9"]}, "option cell_options: gru has none"),
        ({"cell": "mingru", "cell_options": ["width"]}, "option cell_options: .* not NAME=VALUE"),
    ],
)
def test_train_rejects_a_cell_that_there_is_not_before_it_reads_the_log(options, says, tmp_path):
    """And a size or an option that the cell does not have."""
    with pytest.raises(ConfigError, match=says):
        train(tmp_path / "missing.csv", SPEC, tmp_path / "b", **options)


@pytest.mark.parametrize(
    "options", [{"last": 0}, {"last": -5}, {"until": -1}, {"partition": -1}, {"last": 10_001}]
)
def test_trace_rejects_an_option_out_of_bounds(options):
    """A trace has at least one step."""
    with pytest.raises(ConfigError, match=f"option {next(iter(options))}: Input should be"):
        trace(FRAME, "m-1", BUNDLE, **options)


def test_trace_rejects_a_key_that_is_no_text():
    """A number is ambiguous: 7 and 7.0 are two keys."""
    with pytest.raises(ConfigError, match="a key is text or bytes, not int"):
        trace(FRAME, 5, BUNDLE)


@pytest.mark.parametrize(
    "options",
    [{"rows": 1}, {"classes": 0}, {"of": "x"}, {"target": 5}, {"key": 5}, {"time": 5}],
)
def test_propose_spec_rejects_an_option_out_of_bounds(options):
    """A value of a wrong type, too."""
    with pytest.raises(ConfigError, match=f"option {next(iter(options))}: Input should be"):
        propose_spec(FRAME, **options)


def test_write_rejects_a_number_of_processes_below_one(tmp_path):
    """Nothing is written."""
    with pytest.raises(ConfigError, match=r"option processes: Input should be .* 1, not 0"):
        replay(FRAME, BUNDLE).write(tmp_path / "p.jsonl", processes=0)
    assert list(tmp_path.iterdir()) == []


def test_a_share_may_be_a_number():
    """The page about evaluation names 0.2."""
    for share in (0.5, np.float64(0.5), np.float32(0.5)):
        assert build_options(ScoringOptions, warm_up=share).warm_up == "0.5"
    by_number, by_text = (
        evaluate(FRAME, BUNDLE, warm_up=share, with_pictures=False).is_scored
        for share in (0.5, "0.5")
    )
    assert by_number.tolist() == by_text.tolist()
    assert 0 < by_number.sum() < len(FRAME)


def test_numbers_of_numpy_are_numbers():
    """A notebook counts with numpy."""
    assert build_options(LogOptions, partitions=np.int64(4), from_=7) == LogOptions(
        None, "7", None, 4
    )


def test_a_group_of_another_class_is_a_type_error():
    """It is not silently ignored."""
    with pytest.raises(TypeError, match=r"replay\(\): options must be a LogOptions, not int"):
        replay(FRAME, BUNDLE, options=3)
    with pytest.raises(TypeError, match=r"replay\(\): settings must be a Settings, not dict"):
        replay(FRAME, BUNDLE, settings={})


def test_a_keyword_replaces_a_field_of_its_group():
    """As a setting replaces that of ``settings``."""
    result = replay(FRAME, BUNDLE, options=LogOptions(partitions=2), partitions=3)
    assert result.log.partitions == 3
    assert replay(FRAME, BUNDLE, options=LogOptions(partitions=2)).log.partitions == 2


@pytest.mark.parametrize("verb", GROUPS)
def test_the_command_line_has_the_bounds_and_defaults_of_the_functions(verb):
    """Each option is made from the field of a group."""
    command = group
    for word in verb.split():
        command = command.get_command(click.Context(command), word)
    by_name = {parameter.name: parameter for parameter in command.params}
    for kind in GROUPS[verb]:
        for name, field in kind.__pydantic_fields__.items():
            bounds = {type(bound).__name__: bound for bound in field.metadata}
            parameter = by_name[name]
            if isinstance(parameter.type, Integer):
                assert parameter.type.min == bounds["Ge"].ge
                assert parameter.type.max == (bounds["Le"].le if "Le" in bounds else None)
            if kind is not TrainingSettings and name not in ("processes", "key", "time", "target"):
                assert parameter.default == field.default


@pytest.mark.parametrize(
    "words",
    [
        ["train", "missing.csv", "--spec=s.toml", "--out=b", "--seed=99999999999999999999999"],
        ["evaluate", "missing.csv", "--bundle=b", "--seed=-1"],
        ["compare", "missing.csv", "a", "b", "--seed=-5"],
    ],
)
def test_a_seed_out_of_bounds_is_a_usage_error(words):
    """Before the log is read."""
    result = CliRunner().invoke(group, words)
    assert result.exit_code == 2
    assert "seed" in result.output


def test_the_largest_seed_trains(tmp_path):
    """The seed after it is 0."""
    result = train(
        FRAME, SPEC, tmp_path / "b", hidden=8, epochs=1, seeds=2, seed=INT64_MAX, search=1
    )
    assert [seed["seed"] for seed in result.scores.seeds] == [INT64_MAX, 0]
    evaluate(FRAME, BUNDLE, seed=INT64_MAX, with_pictures=False)


@pytest.mark.parametrize("options", [{"only_last": True}, {"warm_up": 1}, {"steps_min": 10**6}])
def test_predictions_without_a_target_are_an_error_with_the_reason(options):
    """The last event of a key has no next one, so nothing would be scored."""
    count = 3 if "only_last" in options or "warm_up" in options else 0
    message = f"none of 24 predictions is scored: {count} are chosen, and 21 have a target, which"
    for call in (
        lambda: evaluate(FRAME, BUNDLE, **options),
        lambda: compare(FRAME, BUNDLE, BUNDLE, **options),
    ):
        with pytest.raises(ConfigError, match=message):
            call()


def test_the_command_line_ends_with_the_reason(tmp_path):
    """Not with status 0."""
    FRAME.write_csv(tmp_path / "log.csv")
    words = ["evaluate", str(tmp_path / "log.csv"), f"--bundle={BUNDLE}", "--only-last"]
    result = CliRunner().invoke(group, words)
    assert "3 are chosen, and 21 have a target" in str(result.exception)
    assert result.exit_code != 0


@pytest.mark.parametrize("verb", ["evaluate", "compare"])
def test_a_head_without_a_label_has_its_reason(verb, tmp_path):
    """The other head is scored: its target is of the event itself."""
    content = SPEC.spec.model_dump(mode="json", exclude_none=True)
    spec = FeatureSpec.parse(
        {
            **content,
            "features": [f for f in content["features"] if f["path"] != "failed"],
            "heads": [
                {"name": "now", "kind": "binary", "path": "failed", "of": "now"},
                {"name": "next", "kind": "binary", "path": "failed", "of": "next"},
            ],
        },
        "test",
    )
    FRAME.write_csv(tmp_path / "log.csv")
    train(FRAME, spec, tmp_path / "b", hidden=8, epochs=1)
    log, bundle = str(tmp_path / "log.csv"), str(tmp_path / "b")
    bundles = [f"--bundle={bundle}"] if verb == "evaluate" else [bundle, bundle]
    result = CliRunner().invoke(group, [verb, log, *bundles, "--only-last"])
    assert result.exit_code == 0, result.exception
    head = result.stdout[result.stdout.index("\nnext: ") :]
    assert "0 predictions scored" in head
    assert head.rstrip().endswith("No scored event has a label.")
    assert result.stdout.count("No scored event has a label.") == 1
