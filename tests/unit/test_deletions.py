"""Records that mark deletions: ``spec init`` lets them forget their key."""

import tomllib

import pytest

from tests.unit.spec_command import run, write_lines

ROWS = 400


def _row(i):
    return {"id": f"r{i % 9}", "v": i * i % 89 / 4}


def _time(i):
    return f"2024-01-{2 + i // 24:02}T{i % 24:02}:00:00Z"


def _golden_gate(i, op):
    return {
        "table": "T",
        "op_type": {"insert": "I", "update": "U", "delete": "D"}[op],
        "op_ts": _time(i),
        "before": None if op == "insert" else _row(i),
        "after": None if op == "delete" else _row(i),
    }


def _dms(i, op):
    kind = "control" if op == "create-table" else "data"
    metadata = {"timestamp": _time(i), "record-type": kind, "operation": op}
    return {"data": _row(i), "metadata": metadata}


def _flat(i, op):
    return _row(i) | {"at": _time(i), "operation": op.upper()}


def _kinds(i, op):
    start = {"type": f"machine.{op}d", "at": _time(i)}
    return start | ({"machine_ref": f"r{i % 9}"} if op == "delete" else _row(i))


@pytest.mark.parametrize(
    ("record", "forget_when", "count"),
    [
        (_golden_gate, {"path": "op_type", "equals": "D"}, 40),
        (_dms, {"path": "metadata.operation", "equals": "delete"}, 40),
        (_flat, {"path": "operation", "equals": "DELETE"}, 40),
        (_kinds, {"path": "type", "equals": "machine.deleted"}, 0),
    ],
)
def test_a_deletion_forgets_its_key(tmp_path, record, forget_when, count):
    """Oracle's GoldenGate, AWS DMS, a field of operations, and kinds of which one is a deletion."""
    rows = [record(i, "delete" if i % 10 == 9 else "update") for i in range(ROWS)]
    log, spec = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "spec.toml"
    run("init", log, "--key", "id", "--target", "v", "--out", spec)
    event = tomllib.loads(spec.read_text())["event"]
    assert event["forget_when"] == forget_when
    assert all(forget_when["equals"] in only["in"] for only in event.get("only", []))
    said = run("check", spec, log)
    assert f"{ROWS * 9 // 10} events" in said
    assert count == 0 or f"forgets: {count}" in said


def test_a_control_record_is_no_change_of_a_row(tmp_path):
    """AWS DMS writes such records; they are filtered."""
    rows = [_dms(i, "create-table" if i == 0 else "insert") for i in range(ROWS)]
    log, spec = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "spec.toml"
    run("init", log, "--key", "id", "--target", "v", "--out", spec)
    assert f"{ROWS - 1} events; skipped: none; filtered by event.only: 1" in run("check", spec, log)


def test_an_action_that_removes_is_a_remark_only(tmp_path):
    """To remove an article from a cart ends no key."""
    rows = [
        _row(i) | {"at": _time(i), "type": "remove" if i % 5 == 0 else "add"} for i in range(ROWS)
    ]
    log, spec = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "spec.toml"
    run("init", log, "--key", "id", "--target", "v", "--out", spec)
    text = spec.read_text().replace("\n# ", " ")
    assert "forget_when" not in tomllib.loads(spec.read_text())["event"]
    assert "If remove ends its key, so that its memory is deleted, write forget_when = {" in text
