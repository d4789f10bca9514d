"""Names that are joined of names: other parts give another name."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from stream_rnn.fold.fold_id import (
    earlier_transactional_id,
    fold_id,
    store_tag,
    transactional_id,
)
from stream_rnn.settings import Settings

# What settings accept: few characters, so that joints and parts are often alike.
names = st.text("-._0a", min_size=1, max_size=5)
partitions = st.integers(0, 12)
owners = partitions | st.sampled_from(["doctor", "deadletters"])
folds = st.sampled_from(["0" * 12, "a" * 12])
places = st.tuples(names, names)


def test_names_are_what_settings_accept():
    """Neither a slash nor a colon nor a brace, with which ids and keys are joined."""
    (pattern,) = (
        part.pattern
        for part in Settings.model_fields["source"].annotation.__args__[0].__metadata__[0].metadata
        if hasattr(part, "pattern")
    )
    legal = {chr(code) for code in range(256) if re.match(pattern, chr(code))}
    assert set("-._0a") <= legal
    assert not legal & set("/:{}")


@given(places, places, owners, owners)
@example(("orders", "eu-events"), ("orders-eu", "events"), 0, 0)
@example(("a", "x-0"), ("a-deadletters", "x"), "deadletters", 0)
def test_other_owners_have_other_transactional_ids(one, other, first, second):
    """Two apps, sources, partitions or verbs never fence each other."""
    is_same = (one, first) == (other, second)
    assert (transactional_id(*one, first) == transactional_id(*other, second)) == is_same


@given(places, places, owners, partitions)
def test_no_id_of_the_version_before_is_one_of_now(one, other, owner, partition):
    """Fencing the one never fences the other."""
    assert transactional_id(*one, owner) != earlier_transactional_id(*other, partition)


@given(places, places, partitions, partitions, folds, folds)
@example(("orders", "eu-events"), ("orders-eu", "events"), 0, 0, "0" * 12, "0" * 12)
def test_other_folds_have_other_keys_in_redis(one, other, first, second, fold, another):
    """Two apps, sources, partitions or folds never share states."""
    is_same = (one, first, fold) == (other, second, another)
    assert (store_tag(*one, first, fold) == store_tag(*other, second, another)) == is_same


@given(names, names)
def test_other_predictions_topics_have_other_dead_letters(one, other):
    """The default is made of nothing else."""
    topics = [Settings(predictions=name).dead_letters_topic for name in (one, other)]
    assert (topics[0] == topics[1]) == (one == other)


def test_the_limits_of_a_roll_out_make_no_other_fold():
    """They say how fast a candidate folds and where its predictions go, never what they are."""
    limits = {"silent": True, "share": 1, "pause_max_s": 9, "bundle_bytes_max": 10_000}
    changed = {f"rollout_{name}": value for name, value in limits.items()}
    assert changed.keys() == {name for name in Settings.model_fields if name.startswith("rollout_")}
    assert fold_id("f", Settings(**changed)) == fold_id("f", Settings())
