"""Records that ``event.only`` filters: ``spec check`` names a condition that no record meets."""

import json

import pytest

from tests.unit.spec_command import run, write_lines

SPEC = """format = 1
name = "s"
[event]
{event}
[[features]]
name = "v"
kind = "numeric"
path = "v"
[[heads]]
name = "h"
kind = "regression"
of = "next"
path = "v"
"""


def check(directory, event, rows, status=0):
    """Return what ``spec check`` prints for a table ``[event]`` and rows, in one line."""
    spec = directory / "spec.toml"
    spec.write_text(SPEC.format(event=event))
    said = run("check", spec, write_lines(directory / "log.jsonl", rows), status=status)
    return " ".join(said.split())


def event(i, kind):
    """Return a record of a kind."""
    return {"id": f"d{i % 3}", "type": kind, "v": i % 7}


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ('in = ["Sensor"]', 'type is "sensor" in record 0, and event.only has "Sensor"'),
        ('in = ["meter", "x"]', 'type is "sensor" in record 0, and event.only has "meter", "x"'),
        ("in = [1]", 'type is "sensor" in record 0, and event.only has 1'),
    ],
)
def test_a_condition_that_no_record_meets_is_named_with_a_value(tmp_path, only, says):
    """The fields are not called absent, because no record was looked at."""
    text = f'key = ["id"]\nonly = [{{path = "type", {only}}}]'
    said = check(tmp_path, text, [event(i, "sensor") for i in range(50)], status=1)
    assert says in said
    assert "no record has it" not in said


def test_a_condition_on_a_field_that_no_record_has_is_named(tmp_path):
    """The path is wrong rather than the value."""
    said = check(
        tmp_path,
        'key = ["id"]\nonly = [{path = "kind", in = ["sensor"]}]',
        [event(i, "sensor") for i in range(50)],
        status=1,
    )
    assert 'kind is missing or null in record 0, and event.only has "sensor"' in said


def test_another_spelling_of_a_value_is_named_although_there_are_events(tmp_path):
    """Capitals count, so these records are filtered."""
    rows = [event(i, "sensor" if i % 2 else "meter") for i in range(50)]
    text = 'key = ["id"]\nonly = [{path = "type", in = ["sensor", "Meter"]}]'
    said = check(tmp_path, text, rows)
    assert 'type is "meter" in record 0, and event.only has "Meter": they are different' in said
    assert "is missing" not in check(tmp_path, text.replace("Meter", "meter"), rows)


def test_filtered_records_that_are_no_objects_are_counted(tmp_path):
    """An array around an event, and an event in a text: no condition can be met by them."""
    rows = [event(i, "sensor") for i in range(20)]
    rows += [json.dumps([event(1, "sensor")])] * 3 + [
        json.dumps(json.dumps(event(1, "sensor")))
    ] * 2
    said = check(tmp_path, 'key = ["id"]\nonly = [{path = "type", in = ["sensor"]}]', rows)
    assert "3 filtered records are no objects, but arrays" in said
    assert "2 filtered records are no objects, but texts with JSON inside" in said


def _change(i, op):
    row = {"id": i % 5, "v": i * i % 89}
    before = None if op in "cr" else row
    return {
        "before": before,
        "after": None if op == "d" else row,
        "op": op,
        "ts_ms": 1_704_203_100_000 + 60_000 * i,
    }


def test_a_sample_without_deletions_still_finds_the_key_of_one(tmp_path):
    """A snapshot has no row before a change; without the alternative, deletions lack their key."""
    log = write_lines(tmp_path / "log.jsonl", [_change(i, "r") for i in range(300)])
    spec = tmp_path / "spec.toml"
    run("init", log, "--key", "id", "--target", "v", "--out", spec)
    assert 'key = [["after.id", "before.id"]]' in spec.read_text()
    later = [_change(i, "d" if i % 10 == 9 else "u") for i in range(300)]
    said = run("check", spec, write_lines(tmp_path / "later.jsonl", later))
    assert "forgets: 30" in said
    spec.write_text(spec.read_text().replace('[["after.id", "before.id"]]', '["after.id"]'))
    said = run("check", spec, tmp_path / "later.jsonl")
    assert "30 of no_key meet event.forget_when" in said
