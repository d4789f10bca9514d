"""``stream-rnn spec``: what it writes and prints, and when it refuses."""

import errno
import json

import polars as pl
import pytest

from stream_rnn.errors import ConfigError, SpecError
from stream_rnn.model.features import FeatureSpec
from tests.unit.spec_command import run, write_lines

ROWS = [
    {"user": f"u{i % 3}", "at": 1_700_000_000_000 + i * i * 1000, "act": "abc"[i % 2], "x": i / 2}
    for i in range(60)
]
SPEC = """
name = "t"
[event]
key = ["user"]
time = {path = "at"}
[[features]]
name = "act"
kind = "categorical"
path = "act"
vocabulary = ["a", "z"]
[[features]]
name = "x"
kind = "numeric"
path = "in.x"
missing = "error"
[[heads]]
name = "wait"
kind = "time_to_next"
"""


@pytest.fixture
def log(tmp_path):
    """Path of a log."""
    pl.DataFrame(ROWS).write_csv(tmp_path / "log.csv")
    return tmp_path / "log.csv"


@pytest.fixture
def spec(tmp_path):
    """Path of a spec."""
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path / "spec.toml"


def test_init_prints_a_spec_that_can_be_read(log, tmp_path):
    """Standard output holds the spec and nothing else."""
    (tmp_path / "s.toml").write_text(run("init", log))
    assert FeatureSpec.read(tmp_path / "s.toml").event.key == ("user",)


def test_init_takes_what_it_is_told(log, tmp_path):
    """A key of two fields, a time, a target, fewer classes."""
    out = tmp_path / "s.toml"
    told = ["--key", "user,act", "--time", "at", "--target", "x", "--of", "now", "--rows", "50"]
    assert "written to" in run("init", log, "--out", out, *told)
    found = FeatureSpec.read(out)
    assert found.event.key == ("user", "act")
    assert [(head.path, head.of) for head in found.heads] == [("x", "now")]
    assert "from 50 rows of log.csv" in out.read_text()


def test_init_overwrites_only_by_force(log, tmp_path):
    """What somebody wrote stays, and nothing is left beside it."""
    out = tmp_path / "s.toml"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="give --force to overwrite it"):
        run("init", log, "--out", out)
    assert out.read_text() == "mine"
    run("init", log, "--out", out, "--force")
    assert FeatureSpec.read(out)
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "s.toml"}


def test_init_into_nowhere_is_a_clear_error(log, tmp_path):
    """It names the file."""
    with pytest.raises(ConfigError, match=r"cannot write .*s\.toml"):
        run("init", log, "--out", tmp_path / "no" / "s.toml")


def test_check_of_a_spec_alone_says_what_it_has(spec):
    """Or what is wrong with it."""
    assert "is valid: 2 features; heads: wait (time_to_next)" in run("check", spec)
    spec.write_text(SPEC.replace("categorical", "categoric"))
    with pytest.raises(SpecError, match="features"):
        run("check", spec)


def test_check_counts_what_each_field_has(spec, tmp_path):
    """Values, gaps, other types, values of no class, classes that never come, and what is skipped."""
    good = {"user": "u", "at": 1000, "act": "a", "in": {"x": 1.5}}
    rows = [good, good | {"act": "b"}, good | {"act": None}, good | {"in": {"x": "1.5"}}]
    rows += [good | {"in": {}}, good | {"in": 3.0, "act": ["a"]}, '{"torn": ']
    log = write_lines(tmp_path / "log.jsonl", rows)
    found = json.loads(run("check", spec, log, "--json"))
    assert (found["rows"], found["events"]) == (7, 3)
    assert found["skips"] == {"wrong_schema": 2, "missing": 1, "not_json": 1}
    act, x = found["fields"]["act"], found["fields"]["in.x"]
    assert [act[name] for name in ("has", "lacks", "wrong_type")] == [4, 2, 1]
    assert (act["unknown"], act["never_seen"]) == ({"b": 1}, ["z"])
    assert [x[name] for name in ("has", "lacks", "wrong_type", "required")] == [3, 2, 2, True]


def test_check_for_people_says_the_same(spec, tmp_path):
    """What comes from a log cannot steer the terminal."""
    good = {"user": "u", "at": 1000, "act": "\x1b[2J", "in": {"x": 1.5}}
    text = run("check", spec, write_lines(tmp_path / "log.jsonl", [good]))
    assert "1 rows: 1 events; skipped: none" in text
    assert r"act: no class: \x1b[2J" in text
    assert "act: never seen: a, z" in text


def test_check_looks_at_so_many_rows_only(spec, tmp_path):
    """The first ones."""
    good = {"user": "u", "at": 1000, "act": "a", "in": {"x": 1.5}}
    log = write_lines(tmp_path / "log.jsonl", [good] * 9)
    assert json.loads(run("check", spec, log, "--rows", 4, "--json"))["rows"] == 4


def test_check_where_no_row_is_an_event_is_a_bad_answer(spec, log):
    """Exit status 1, with the reasons."""
    assert "skipped: missing 60" in run("check", spec, log, status=1)


def test_check_with_a_log_needs_a_key(spec, log):
    """As training from a file does."""
    spec.write_text(SPEC.replace('key = ["user"]', ""))
    with pytest.raises(SpecError, match=r"a file needs event\.key"):
        run("check", spec, log)


def test_init_says_that_keys_have_one_event(tmp_path):
    """There is no next one; of now there is something to learn, and the spec is one."""
    rows = [
        {"id": f"u{i}", "at": 1_700_000_000_000 + i, "x": i % 7, "bad": i % 5 == 0}
        for i in range(50)
    ]
    log = write_lines(tmp_path / "log.jsonl", rows)
    out = tmp_path / "s.toml"
    run("init", log, "--key", "id", "--target", "bad", "--of", "now", "--out", out)
    assert "Each key has a single event" in out.read_text().replace("\n# ", " ")
    assert [head.of for head in FeatureSpec.read(out).heads] == ["now"]


def test_init_takes_a_target_of_thousands_of_classes(tmp_path):
    """All of them up to the bound, and says how many events that leaves out."""
    rows = [
        {"user": f"u{i % 40}", "at": 1_700_000_000_000 + i, "item": f"i{i * i % 7001}"}
        for i in range(9000)
    ]
    log, out = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "s.toml"
    run("init", log, "--target", "item", "--classes", "2000", "--out", out)
    (head,) = FeatureSpec.read(out).heads
    assert head.kind == "multiclass"
    assert len(head.classes) == 2000
    assert len(set(head.classes)) == 2000


def test_a_spec_that_cannot_be_written_is_called_by_its_own_name(log, tmp_path, monkeypatch):
    """With the directory that is missing, or with what keeps one out of it."""
    out = tmp_path / "no" / "x.toml"
    with pytest.raises(ConfigError, match=r"the spec .*no/x\.toml: there is no directory .*no;"):
        run("init", log, "--out", str(out))

    def refuse(_self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(out), "exists", refuse)
    with pytest.raises(ConfigError, match=r"cannot write the spec .*x\.toml: Permission denied;"):
        run("init", log, "--out", str(out))


def test_check_counts_what_an_envelope_leaves_out(tmp_path):
    """Filtered rows and forgets are no events; fields are counted in the unwrapped ones."""
    (tmp_path / "s.toml").write_text(
        """
name = "orders"
[event]
key = [["payload.after.id", "payload.before.id"]]
unwrap = "payload.after"
forget_when = {path = "payload.op", equals = "d"}
only = [{path = "payload.source.table", in = ["orders"]}]
time = {path = "payload.ts_us", unit = "us"}
[[features]]
name = "amount"
kind = "numeric"
path = "amount"
parse = true
[[heads]]
name = "paid"
kind = "binary"
path = "paid"
"""
    )

    def change(op, after, table="orders"):
        inner = {"before": {"id": 7}, "after": after, "op": op, "ts_us": 1_767_225_600_000_000}
        return {"payload": {**inner, "source": {"table": table}}}

    rows = [
        change("c", {"id": 7, "amount": "1.5", "paid": True}),
        change("u", {"id": 7, "paid": 1}),
    ]
    rows += [change("u", {"id": 7, "amount": "1,5"}), change("d", None)]
    rows += [change("c", {"id": 7, "amount": True}, "customers"), {"beat": 1}]
    log = write_lines(tmp_path / "log.jsonl", rows)

    found = json.loads(run("check", tmp_path / "s.toml", log, "--json"))

    assert (found["rows"], found["events"], found["filtered"], found["forgets"]) == (6, 2, 2, 1)
    assert found["skips"] == {"wrong_schema": 1}
    amount, paid = found["fields"]["amount"], found["fields"]["paid"]
    assert [amount[name] for name in ("has", "lacks", "wrong_type")] == [1, 1, 1]
    assert [paid[name] for name in ("has", "lacks", "wrong_type")] == [1, 1, 1]
    text = run("check", tmp_path / "s.toml", log)
    assert "skipped: wrong_schema 1; filtered by event.only: 2; forgets: 1" in " ".join(
        text.split()
    )


def test_check_parses_the_texts_that_a_head_parses(tmp_path):
    """As training does; other texts are of a wrong type."""
    (tmp_path / "s.toml").write_text(
        """
name = "t"
event = {key = ["k"]}
features = [{name = "x", kind = "numeric", path = "x"}]
heads = [
    {name = "q", kind = "quantile", path = "y", parse = true},
    {name = "b", kind = "binary", path = "z", parse = true, surprise = true},
    {name = "r", kind = "regression", path = "w"},
]
"""
    )
    row = {"k": 1, "x": 1, "y": "0.5", "z": "1", "w": "0.5"}
    log = write_lines(tmp_path / "log.jsonl", [row, row | {"y": "half", "z": "often"}])
    fields = json.loads(run("check", tmp_path / "s.toml", log, "--json"))["fields"]
    counts = {path: (field["has"], field["wrong_type"]) for path, field in fields.items()}
    assert counts == {"x": (2, 0), "y": (1, 1), "z": (1, 1), "w": (0, 2)}


def test_check_says_which_paths_no_record_can_have(spec, tmp_path):
    """An element of an array has no path; another spelling is named."""
    rows = [{"user": "u", "at": 1000, "act": "a", "in": [1.5], "X": 2} for _ in range(3)]
    log = write_lines(tmp_path / "log.jsonl", rows)
    spec.write_text(SPEC.replace("in.x", "in.0"))
    text = run("check", spec, log, status=1)
    assert (
        "in.0: no record can have it, for in is an array, of which no path reads an element" in text
    )
    spec.write_text(SPEC.replace("in.x", "x"))
    assert "x: no record has it; records have X" in run("check", spec, log, status=1)
    spec.write_text(SPEC.replace("in.x", "y.7"))
    text = run("check", spec, log, status=1)
    assert "y.7: no record has it, and 7 does not read an element of an array" in text
    spec.write_text(SPEC.replace('["user"]', '["User"]'))
    assert "User: no record has it; records have user" in run("check", spec, log, status=1)


def test_check_names_a_field_a_reason_and_a_value_where_no_record_is_an_event(spec, tmp_path):
    """The commonest reason first, and how often each occurs."""
    good = {"user": "u", "at": 1000, "act": "a", "in": {"x": "1,5"}}
    rows = [good, good, good, good | {"in": {}}, '{"torn": ']
    log = write_lines(tmp_path / "log.jsonl", rows)
    found = json.loads(run("check", spec, log, "--json", status=1))
    assert found["problem"].startswith(
        f"no record of {log} is a valid event: 3 of 5 are skipped because of wrong_schema: in.x: "
    )
    assert 'in record 0, in.x is "1,5"; besides not_json 1, missing 1 at in.x' in found["problem"]
    text = run("check", spec, log, status=1)
    assert 'in record 0, in.x is "1,5"' in text


def test_init_takes_the_format_of_a_file_from_its_options(tmp_path):
    """What is given is not guessed, and the spec contains it."""
    log, out = tmp_path / "log.csv", tmp_path / "s.toml"
    rows = "".join(f"d{i % 9};01|02|2024 {i // 60:02}:{i % 60:02};{i % 7},5\n" for i in range(600))
    log.write_text(rows)
    options = ["--columns", "device,when,v", "--delimiter", ";", "--decimal", ","]
    options += ["--time", "when", "--time-format", "%m|%d|%Y %H:%M", "--zone", "America/New_York"]
    run("init", log, "--out", out, *options)
    spec = FeatureSpec.read(out)
    assert (spec.file.columns, spec.file.delimiter, spec.file.decimal) == (
        ("device", "when", "v"),
        ";",
        ",",
    )
    assert (spec.event.time.format, spec.event.time.zone) == ("%m|%d|%Y %H:%M", "America/New_York")
    assert [(head.kind, head.path) for head in spec.heads] == [("regression", "v")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--delimiter", "ab"], "--delimiter 'ab' is no delimiter"),
        (["--encoding", "klingon"], "--encoding 'klingon' is no encoding"),
        (["--zone", "Mars/Base"], "--zone Mars/Base: .* is no time zone"),
        (["--zone", "Europe/Berlin"], "--zone Europe/Berlin: it is for times in texts, but at is"),
        (["--time", "at", "--time-format", "%d.%m.%Y"], "it does not read the texts of at"),
    ],
)
def test_init_refuses_an_option_that_the_log_does_not_fit(log, options, says):
    """It names the option."""
    with pytest.raises(ConfigError, match=says):
        run("init", log, *options)


def test_init_refuses_options_of_text_files_for_others(tmp_path):
    """JSON has no delimiter."""
    with pytest.raises(ConfigError, match="delimiter is for delimited text files"):
        run("init", write_lines(tmp_path / "log.jsonl", ROWS), "--delimiter", ";")
