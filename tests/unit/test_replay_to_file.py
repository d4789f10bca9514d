"""A replay into a file: its rows, in one process or several, and what a failure leaves."""

import asyncio
import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from stream_rnn.cli.verbs.compare import command as compare_command
from stream_rnn.cli.verbs.replay import command as replay_command
from stream_rnn.cli.verbs.trace import command as trace_command
from stream_rnn.errors import ConfigError, UnreachableError
from stream_rnn.model.bundle import save_bundle
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.network import Model
from stream_rnn.replay import replay, to_file
from stream_rnn.replay.logs import FileLog
from stream_rnn.replay.partition import replay_partition
from stream_rnn.replay.to_file import ReplayPlan, replay_to_file
from tests.unit.evaluated_log import SPEC, models_of, settings_of

SKIPPED = {"no_event_time": 5, "not_finite": 4, "no_key": 3}  # of the evaluated log


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_replay_counts_the_records_that_the_spec_filters(evaluated, tmp_path, processes):
    """In the summary for people and in that for programs; they are part of the progress."""
    _, path, _ = evaluated
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(row | {"type": "ab"[number % 2]}) for number, row in enumerate(rows)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    event = {**SPEC["event"], "only": [{"path": "type", "in": ["a"]}]}
    spec = FeatureSpec.model_validate({**SPEC, "event": event})
    save_bundle(Model.initialize(spec, CellSpec(hidden=8)), tmp_path / "b")
    out = tmp_path / "p.jsonl"
    words = [tmp_path / "log.jsonl", "--bundle", tmp_path / "b", "--out", out]
    words += ["--processes", processes, "--app", "a", "--partitions", processes]

    for as_json in (["--json"], []):
        done = CliRunner().invoke(replay_command, [*map(str, words), *as_json])
        assert done.exit_code == 0, done.output
        predictions = len(out.read_bytes().splitlines())
        assert 100 < predictions <= 150  # some rows are no events
        if as_json:
            written = json.loads(done.stdout)
            skipped = written.pop("skipped")
            assert predictions + sum(skipped.values()) == 150
            assert written == {"out": str(out), "predictions": predictions, "filtered": 150}
        else:
            assert "150 records filtered" in " ".join(done.stderr.split())


@pytest.mark.parametrize("out", ["p.jsonl", "-"])
def test_a_replay_says_which_records_it_skips(evaluated, tmp_path, out):
    """By reason, beside the number of predictions, whether they are in a file or in a pipe."""
    _, path, directory = evaluated
    target = out if out == "-" else str(tmp_path / out)
    words = [str(path), "--bundle", str(directory / "b"), "--out", target, "--app", "a"]
    done = CliRunner().invoke(replay_command, [*words, "--processes", "1"])
    assert done.exit_code == 0, done.output
    place = "standard output" if out == "-" else target
    assert (
        f"288 predictions written to {place}; skipped 5 no_event_time, 4 not_finite, 3 no_key"
    ) in done.stderr
    lines = done.stdout if out == "-" else Path(target).read_text()
    assert len(lines.splitlines()) == 288
    if out != "-":
        written = json.loads(CliRunner().invoke(replay_command, [*words, "--json"]).stdout)
        assert written["skipped"] == SKIPPED


def test_a_comparison_and_a_trace_say_which_records_are_skipped(evaluated):
    """A comparison of each bundle, a trace of its key, in the text and in JSON."""
    _, path, directory = evaluated
    compared = [str(path), str(directory / "b"), str(directory / "other"), "--app", "a"]
    compared += ["--bootstrap-samples", "0"]
    traced = [str(path), "hot", "--bundle", str(directory / "b"), "--app", "a"]

    def run(command, words):
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 0, done.output
        return done.stdout

    text = run(compare_command, compared)
    assert text.count("; skipped 5 no_event_time, 4 not_finite, 3 no_key\n") == 2
    content = json.loads(run(compare_command, [*compared, "--json"]))
    assert content["first_skipped"] == content["second_skipped"] == SKIPPED
    skipped = json.loads(run(trace_command, [*traced, "--json"]))["skipped"]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    untimed = sum(row["at"] is None for row in rows if row["key"] == "hot")
    assert skipped["no_event_time"] == untimed > 0
    counts = ", ".join(f"{count} {code}" for code, count in skipped.items())
    assert f"skipped      {counts}, of " in run(trace_command, traced)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_replay_in_processes_is_that_of_one(evaluated, tmp_path, processes):
    """Partition by partition, byte for byte; nothing stays beside the target."""
    spec, path, directory = evaluated
    log, out = FileLog(path, spec, 3), tmp_path / "p.jsonl"
    told = {}

    def count(wanted, records):
        told[wanted.partition] = told.get(wanted.partition, 0) + records

    plan = ReplayPlan(log, directory / "b", settings_of(), out, processes)
    written = replay_to_file(plan, count)
    assert sum(told.values()) == 300
    expected = []

    async def fold():
        for wanted in await log.ranges():
            await replay_partition(
                models_of(directory / "b"),
                settings_of(),
                wanted.partition,
                0,
                log.batches(wanted),
                lambda predictions, _: expected.extend(m.value for m in predictions),
            )

    asyncio.run(fold())
    assert out.read_bytes().splitlines() == expected
    assert written == (len(expected), 0, SKIPPED)
    assert [p.name for p in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_replay_to_parquet_has_a_column_for_each_output(evaluated, tmp_path):
    """The numbers are those of the lines."""
    spec, path, directory = evaluated
    log = FileLog(path, spec)
    replay_to_file(ReplayPlan(log, directory / "b", settings_of(), tmp_path / "p.parquet"))
    frame = pl.read_parquet(tmp_path / "p.parquet")
    said = list(replay(log, directory / "b", settings_of()))
    assert frame["offset"].to_list() == [p.source.offset for p in said]
    assert frame["key"].to_list() == [p.key for p in said]
    assert frame["big.probability"].to_list() == [p.outputs["big"].probability for p in said]
    assert frame["next.class"].to_list() == [p.outputs["next"].label for p in said]
    assert json.loads(frame["next.top"][0])[0][0] == said[0].outputs["next"].label


@pytest.mark.parametrize("name", ["p.csv", "missing/../p.txt"])
def test_a_target_of_another_format_is_refused(evaluated, tmp_path, name):
    """Before anything is folded."""
    spec, path, directory = evaluated
    plan = ReplayPlan(FileLog(path, spec), directory / "b", settings_of(), tmp_path / name)
    with pytest.raises(ConfigError, match=r"go to a \.jsonl"):
        replay_to_file(plan)


def test_a_replay_that_fails_leaves_nothing(evaluated, tmp_path):
    """Neither a target nor parts of it."""
    spec, _, directory = evaluated
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 or not")
    plan = ReplayPlan(
        FileLog(torn, spec, 2), directory / "b", settings_of(), tmp_path / "p.jsonl", 2
    )
    with pytest.raises(ConfigError, match=r"partition \d: cannot read the log"):
        replay_to_file(plan)
    assert [p.name for p in tmp_path.iterdir()] == ["torn.parquet"]


def test_a_loop_over_a_replay_may_be_left(evaluated):
    """And what goes wrong in the fold is raised in the loop."""
    _, path, directory = evaluated
    for prediction in replay(path, directory / "b", settings_of(batch_events_max=7)):
        assert prediction.steps == 1
        break
    with pytest.raises(ConfigError, match="cannot read the log"):
        next(replay(directory / "nothing.jsonl", directory / "b"))


@pytest.mark.parametrize(
    ("status", "expected"), [(-9, "killed by signal 9; if the machine"), (1, "its traceback is")]
)
def test_a_process_without_a_message_is_explained_by_its_status(tmp_path, status, expected):
    """Only a killed one may have had too little memory; what another has written is not its own."""
    (tmp_path / "error-7.txt").write_text("partition 0: of another process")
    error = to_file._failure(tmp_path / "error-8.txt", status)
    assert expected in str(error)
    assert type(to_file._failure(tmp_path / "error-7.txt", 4)) is UnreachableError
