"""What ``spec init`` takes for a missing key: what the reader takes, the empty text alone."""

import pytest

from stream_rnn import propose_spec
from stream_rnn.replay.files import read_batches


@pytest.mark.parametrize("word", ["NA", "null"])
@pytest.mark.parametrize("options", [{}, {"key": "device"}])
@pytest.mark.parametrize("others", ["DE", "7"])
def test_a_word_for_a_missing_value_is_a_key(tmp_path, word, options, others):
    """The number of keys and rows is that of the fold, and a comment warns."""
    path = tmp_path / "log.csv"
    names = [word if i % 3 == 0 else others + str(i % 3) for i in range(300)]
    names[-2:] = ["", ""]
    lines = [f"{name},{1_767_225_600 + 60 * i},{i * 7 % 11}.5" for i, name in enumerate(names)]
    path.write_text("device,at,v\n" + "\n".join(lines) + "\n")
    proposed = propose_spec(path, **options)
    assert proposed.spec.event.key == ("device",)
    text = proposed.toml.replace("\n# ", " ")
    assert "3 keys in 298 rows" in text
    assert f"{word} is the key of 100 rows" in text
    records = [record for batch in read_batches(path, proposed.spec) for record in batch]
    keys = [record.key for record in records]
    assert keys.count(word.encode()) == 100
    assert len(set(keys) - {None}) == 3
