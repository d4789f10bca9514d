"""Two columns of the same entities: which of them is the key is a question."""

import random

import polars as pl
import pytest

from stream_rnn import propose_spec
from stream_rnn.errors import ConfigError

TEAMS = ["Albion", "City", "County", "Rovers", "Town", "United"]
NUMBERS = [str(10**6 + 17 * i) for i in range(30)]


def log_of(first, second, entities, **more):
    """Make a log whose rows name two entities."""
    draw = random.Random(1)
    rows = []
    for i in range(400):
        one, two = draw.sample(entities, 2)
        times = {"ts": 1_704_203_100 + 60 * i * i, "size": draw.random()}
        rows.append({first: one, second: two, **times} | {k: v(i) for k, v in more.items()})
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("first", "second", "entities"),
    [
        ("user_id", "recipient", [f"a{i}" for i in range(30)]),
        ("recipient", "user_id", [f"a{i}" for i in range(30)]),
        ("from_account", "to", NUMBERS),
        ("node", "neighbor", TEAMS),
        ("home_team", "away_team", TEAMS),
        ("sender_id", "receiver_id", NUMBERS),
    ],
)
def test_either_of_two_columns_with_the_same_values_may_be_the_key(first, second, entities):
    """Whatever their names are; the hint shows how to have the history of both."""
    with pytest.raises(ConfigError) as caught:
        propose_spec(log_of(first, second, entities))
    message = str(caught.value)
    assert f"--key {first} " in message
    assert f"--key {second} " in message
    assert "confidence 0.9" not in message
    assert "write a row for each" in message


@pytest.mark.parametrize(
    "more",
    [
        {"creator": lambda i: f"a{i % 7 if i % 10 else 3}"},  # mostly the same as the key
        {"plan": lambda i: f"p{i % 7}"},
        {"level": lambda i: i % 7},
    ],
)
def test_a_column_of_other_values_leaves_the_key_sure(more):
    """And so does one that repeats the key."""
    frame = log_of("x", "y", TEAMS, user=lambda i: f"a{i % 7}", **more).drop("x", "y")
    assert propose_spec(frame, target="size").spec.event.key == ("user",)


def test_small_numbers_are_no_common_entities():
    """A machine 3 and a sensor 3 have nothing in common."""
    frame = log_of("x", "y", TEAMS, unit=lambda i: i % 8, setting=lambda i: i * i % 9)
    proposed = propose_spec(frame.drop("x", "y"), target="size")
    assert proposed.spec.event.key == ("unit",)
