"""Local times in the hour that exists twice, at the end of summer time, in ``spec init``."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from stream_rnn import propose_spec


def _autumn_night(path, step_min, late=False):
    """Write local times of Berlin with the doubled hour, of two devices; return the path."""
    start = datetime(2024, 10, 26, 12, tzinfo=UTC)
    moments = [start + timedelta(minutes=step_min * i) for i in range(24 * 60 // step_min)]
    texts = [m.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M") for m in moments]
    if late:
        texts[5], texts[6] = texts[6], texts[5]
    rows = [f"{text},d{d},{i % 7}.5" for i, text in enumerate(texts) for d in range(2)]
    path.write_text("\n".join(["ts,dev,v", *rows, ""]))
    return path


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("step_min", [5, 15, 20])
def test_a_doubled_hour_keeps_the_order_of_the_file(tmp_path, step_min, zone):
    """A sort would mix the two passes of the hour; rows that are late otherwise are still sorted."""
    log = _autumn_night(tmp_path / "log.csv", step_min)
    proposed = propose_spec(log, zone=zone, target="v", key="dev")
    text = proposed.toml.replace("\n# ", " ")
    assert not proposed.sort_by_time
    assert "so they keep the order of the file. Do not give --sort-by-time" in text
    assert "so give it --sort-by-time" not in text
    late = _autumn_night(tmp_path / "late.csv", step_min, late=True)
    proposed = propose_spec(late, zone=zone, target="v", key="dev")
    assert proposed.sort_by_time
    assert "keep the order of the file" not in proposed.toml.replace("\n# ", " ")
