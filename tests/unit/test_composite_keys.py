"""When ``spec init`` asks whether two fields are the key."""

import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError


def test_numbers_that_count_within_each_site_are_no_key_alone(tmp_path):
    """Each of 9 units sends every 90 s, 10 s after the one before it: unit 1 is three units."""
    lines = []
    for i in range(900):
        site, unit = [(s, u) for u in (1, 2, 3) for s in "ABC"][i % 9]
        time = 1_767_225_600 + 90 * (i // 9) + 7 * (i % 9)
        lines.append(f"{site},{unit},{time},{20 + i * 7 % 13 / 10}")
    (tmp_path / "log.csv").write_text("site,unit,at,temp\n" + "\n".join(lines) + "\n")
    with pytest.raises(ConfigError) as caught:
        propose_spec(tmp_path / "log.csv")
    message = str(caught.value)
    assert "Which field is the key?" in message
    assert "--key 'unit,site'" in message or "--key 'site,unit'" in message
    assert "steps of 90 s; 9 keys in 900 rows" in message
