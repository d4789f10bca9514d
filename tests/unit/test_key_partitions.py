"""Keys with events in several partitions, as the audit counts them, in bounded memory."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.audit.audited_keys import AuditedKeys
from stream_rnn.audit.key_partitions import KeyPartitions
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.testing import record


def counted(partitions, examples=1000, **bounds):
    """Count the keys of some partitions."""
    counts = KeyPartitions(examples, **bounds)
    for number, keys in enumerate(partitions):
        counts.add(number, keys)
    return counts


@given(st.lists(st.sets(st.integers(0, 40).map(lambda n: b"%d" % n)), max_size=8))
def test_counts_and_examples_are_exact(partitions):
    """As a dictionary of all keys gives them."""
    where = {}
    for number, keys in enumerate(partitions):
        for key in keys:
            where.setdefault(key, []).append(number)
    split = {key: tuple(numbers) for key, numbers in where.items() if len(numbers) > 1}
    counts = counted(partitions)
    assert (counts.keys, counts.split_keys) == (len(where), len(split))
    assert {each.key.encode(): each.partitions for each in counts.examples} == split
    assert counts.is_estimate is False
    assert bool(counts.warning("events")) == bool(split)


def test_memory_is_bounded_and_the_count_becomes_an_estimate():
    """Of a sample that has all partitions of its keys."""
    draw = random.Random(1)
    keys = [b"%d" % draw.getrandbits(64) for _ in range(60_000)]
    counts = counted([keys[:40_000], keys[20_000:], keys[10_000:30_000]], hashes_max=8_000)
    assert counts.is_estimate
    assert sum(len(level) for level, _ in counts._levels) <= 8_000  # the bound
    assert counts.keys == pytest.approx(60_000, rel=0.1)
    assert counts.split_keys == pytest.approx(30_000, rel=0.1)
    assert counts.warning("events").startswith("about ")
    assert all(len(each.partitions) > 1 for each in counts.examples)


def test_the_warning_names_examples_and_the_remedy():
    """At most three; and as few as were asked for."""
    partitions = [{b"a%d" % number for number in range(9)}] * 3
    text = counted(partitions).warning("events")
    assert text.startswith("9 of 9 keys of events have events in more than one partition")
    assert text.count("in partitions 0 to 2") == 3
    assert "'One key in two partitions' in deploy/README.md" in text
    assert "such as" not in counted(partitions, examples=0).warning("events")


def observed(partitions, **options):
    """Return the result of an audit that read these (key, value) pairs."""
    keys, result = AuditedKeys(AuditOptions(**options)), AuditResult()
    for number, pairs in partitions.items():
        records = [record(offset, *pair) for offset, pair in enumerate(pairs)]
        keys.add(number, records[:2])
        keys.add(number, records[1:])  # segments overlap
        keys.end_partition(number)
    keys.report(result, "events")
    return result


def test_only_events_count():
    """Neither a forget, nor a record without a key, nor a key that is not audited."""
    event = (b"a", {"x": 1})
    pairs = {0: [event, (b"b", {"x": 1})], 1: [event, (b"b", None), (None, {"x": 1})]}
    result = observed(pairs)
    assert (result.keys, result.keys_in_several_partitions) == (2, 1)
    assert [(each.key, each.partitions) for each in result.split_keys] == [("a", (0, 1))]
    assert len(result.warnings) == 1
    assert observed(pairs, keys=frozenset([b"b"])).keys_in_several_partitions == 0
    assert observed({0: [event]}).keys_in_several_partitions is None
    assert result.problems == []


def test_a_chosen_key_without_a_record_is_a_problem():
    """With the spellings that have one."""
    pairs = {0: [(b'"7"', {}), (b"7 ", {})], 1: [(b'"7"', {}), (b"8", None)]}
    (problem,) = observed(pairs, keys=frozenset([b"7", b"8"])).problems
    assert problem.startswith("no audited record of events has the key '7'; similar: ")
    assert "'\"7\"' (as JSON text) in partitions 0 and 1" in problem
    (problem,) = observed(pairs, keys=frozenset([b"zzz"])).problems
    assert "none is similar. A key is text, or base64:" in problem
