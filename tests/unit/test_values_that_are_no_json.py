"""NaN and Infinity, which Python's ``json.dumps`` writes although they are no JSON."""

import json

import pytest

from tests.unit.spec_command import run, write_lines

SKIPPED = 20


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_bare_nan_is_named_and_its_rows_are_counted_as_skipped(tmp_path, value):
    """``spec init`` states what the fold does with such rows, and ``spec check`` names the field."""
    rows = [
        {
            "dev": f"d{i % 5}",
            "at": 1_704_203_100 + 60 * i + i % 3,
            "v": float(value) if i % 40 == 0 else i % 13 / 4,
            "w": i * i % 89 / 4,
        }
        for i in range(40 * SKIPPED)
    ]
    log, spec = write_lines(tmp_path / "log.jsonl", rows), tmp_path / "spec.toml"
    run("init", log, "--target", "w", "--out", spec)
    text = spec.read_text().replace("\n# ", " ")
    assert f"is no JSON: {SKIPPED} rows with it are skipped; write null (in Python, None)" in text
    assert "missing in" not in text
    said = run("check", spec, log)
    assert f"v: {SKIPPED} rows have NaN or Infinity, which is no JSON, so they are skipped" in said
    counted = json.loads(run("check", spec, log, "--json"))
    assert counted["fields"]["v"]["wrong_type"] == counted["skips"]["wrong_schema"] == SKIPPED
