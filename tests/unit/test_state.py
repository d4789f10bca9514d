"""The bytes of a hidden state."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import CorruptStateError
from stream_rnn.store.state import Anchor, StateCodec, States, StoredPosition

CODEC = StateCodec(3)
LAYOUT = "<BBHIq3f"


def packed(version=1, flags=0, reserved=0, steps=5, last_ms=-7, hidden=(0.5, -1.0, 2.0)):
    """Write a state as the docstring of ``state.py`` says."""
    return struct.pack(LAYOUT, version, flags, reserved, steps, last_ms, *hidden)


def states(*rows):
    """Make states of (steps, last_ms, hidden)."""
    steps, last_ms, hidden = zip(*rows, strict=True)
    return States(np.array(steps), np.array(last_ms), np.array(hidden, np.float32))


def test_the_bytes_are_those_of_the_docstring():
    """Version, flags, reserved, steps, last time and the floats, little-endian, unaligned."""
    made = CODEC.encode(states((5, -7, (0.5, -1.0, 2.0)), (2**32 - 1, 2**62, (0.0, 0.0, 1.5))))
    assert made == [
        packed(),
        packed(steps=2**32 - 1, last_ms=2**62, hidden=(0.0, 0.0, 1.5)),
    ]
    assert {len(value) for value in made} == {CODEC.state_bytes} == {28}


def test_bytes_that_others_wrote_by_the_docstring_decode():
    """Decoding reads what struct packed, in order."""
    found = CODEC.decode([packed(), packed(steps=9, last_ms=8)])
    assert found.steps.tolist() == [5, 9]
    assert found.last_ms.tolist() == [-7, 8]
    assert found.hidden.tolist() == [[0.5, -1.0, 2.0]] * 2


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**32 - 1),
            st.integers(-(2**63), 2**63 - 1),
            st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_states_come_back_bit_for_bit(rows):
    """Decoding what was encoded gives the same numbers."""
    given_states = states(*rows)
    found = CODEC.decode(CODEC.encode(given_states))
    assert found.steps.tolist() == given_states.steps.tolist()
    assert found.last_ms.tolist() == given_states.last_ms.tolist()
    assert found.hidden.tobytes() == given_states.hidden.tobytes()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (packed()[:-1], "27 bytes, not 28"),
        (packed() + b"\0", "29 bytes, not 28"),
        (b"", "0 bytes, not 28"),
        (packed(version=2), "version 2, not 1"),
        (packed(version=0), "version 0, not 1"),
        (packed(flags=1), "version"),
        (packed(hidden=(0.0, float("nan"), 0.0)), "not finite"),
        (packed(hidden=(0.0, 0.0, float("-inf"))), "not finite"),
    ],
)
def test_other_bytes_are_a_corrupt_state(value, said):
    """Size, version, flags and numbers are checked, beside a good state too."""
    for values in ([value], [packed(), value], [value, packed()]):
        with pytest.raises(CorruptStateError, match=said):
            CODEC.decode(values)


def test_no_states_are_no_bytes():
    """Nothing encodes to nothing and back."""
    assert CODEC.encode(States.empty(0, 3)) == []
    assert CODEC.decode([]).hidden.shape == (0, 3)


def test_a_state_of_no_floats_is_its_header():
    """The memoryless cell keeps steps and time only."""
    codec = StateCodec(0)
    (value,) = codec.encode(States(np.array([3]), np.array([4]), np.empty((1, 0), np.float32)))
    assert value == struct.pack("<BBHIq", 1, 0, 0, 3, 4)
    assert codec.decode([value]).steps.tolist() == [3]


def test_an_anchor_goes_to_text_and_back():
    """An empty text is no anchor."""
    anchor = Anchor(12, -1, 2**32 - 1)
    assert Anchor.parse(str(anchor)) == anchor
    assert Anchor.parse("") is None


@pytest.mark.parametrize(
    ("held", "is_torn"),
    [
        (StoredPosition(), False),
        (StoredPosition(fields=1), True),
        (StoredPosition(5, 0, keys=2, fields=2), False),
        (StoredPosition(5, 0, keys=2, fields=1), True),
        (StoredPosition(5, 0, keys=2, fields=2, is_corrupt=True), True),
        (StoredPosition(keys=2, fields=2), True),
    ],
)
def test_a_store_is_torn_when_the_counts_differ(held, is_torn):
    """Without a position there must be no hidden state at all."""
    assert held.is_torn is is_torn
