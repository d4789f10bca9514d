"""What ``propose_spec`` says of the index of a frame of pandas, which is no column."""

import pytest

from stream_rnn import propose_spec

pandas = pytest.importorskip("pandas")


def frame():
    """Make a frame of 5 devices."""
    rows = [
        {"device": f"d{i % 5}", "at": 1_767_225_600 + 60 * i, "mode": "abc"[i * i % 3]}
        for i in range(300)
    ]
    return pandas.DataFrame(rows)


def test_an_index_with_a_name_is_named():
    """Also if the spec can be proposed without it."""
    proposed = propose_spec(frame().set_index("at"))
    assert proposed.spec.event.time is None
    text = proposed.toml.replace("\n# ", " ")
    assert "The index at of the frame is no column: to read it, call reset_index()." in text
    assert propose_spec(frame().set_index("at").reset_index()).spec.event.time.path == "at"


def test_row_numbers_are_no_index_to_read():
    """The default index is not named."""
    assert "reset_index" not in propose_spec(frame()).toml
