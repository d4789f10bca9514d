"""Which partitioner a topic looks like, and what the doctor says of it."""

import random
from types import SimpleNamespace
from zlib import crc32

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_rnn.operate.check_keys import judge_sample
from stream_rnn.operate.check_result import Level
from stream_rnn.operate.key_sample import KeySample
from stream_rnn.operate.partitioners import HASHES, PLACES_MAX, find_partitioners

KEYS = [b"key-%d" % number for number in range(3000)]
JAVA = DefaultPartitioner()


def by_java(key, partitions):
    """Return the partition that Java's default partitioner chooses."""
    numbers = list(range(partitions))
    return JAVA(key, numbers, numbers)


def by_librdkafka(key, partitions):
    """Return the partition of librdkafka's default, consistent_random."""
    return crc32(key) % partitions


def by_hash(name):
    """Return a partitioner of the package's own table."""
    return lambda key, partitions: HASHES[name](key) % partitions


def by_chance(seed):
    """Return a partitioner that does not look at the key."""
    draw = random.Random(seed)
    return lambda _key, partitions: draw.randrange(partitions)


def sample_of(partitions, *producers, events=1, without_key=0):
    """Return a sample of the events of producers: (keys, partitioner), or with earlier partitions."""
    sample = KeySample(partitions, is_complete=True)
    for keys, partitioner, *earlier in producers:
        for key in keys:
            for _ in range(events):
                place = partitioner(key, *(earlier or [partitions]))
                sample.add(place, [SimpleNamespace(key=key, value=b"{}")])
    for _ in range(without_key):
        sample.add(0, [SimpleNamespace(key=None, value=b"{}")])
    return sample


def found_in(sample):
    """Return (name, partitions) of all explanations, and the number of unexplained places."""
    found = find_partitioners(sample.events, sample.partitions)
    return [(each.name, each.partitions) for each in found.explanations], found.unexplained.places


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        # Kafka's UtilsTest.testMurmur2
        (b"21", "murmur2", -973932308 & 0x7FFFFFFF),
        (b"foobar", "murmur2", -790332482 & 0x7FFFFFFF),
        (b"a-little-bit-long-string", "murmur2", -985981536 & 0x7FFFFFFF),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "murmur2", -58897971 & 0x7FFFFFFF),
        # the check value of CRC-32/ISO-HDLC
        (b"123456789", "CRC32", 0xCBF43926),
        # the vectors of the authors of FNV; librdkafka and Sarama take the absolute value
        (b"a", "FNV-1a", (1 << 32) - 0xE40C292C),
        (b"foobar", "FNV-1a", (1 << 32) - 0xBF9CF968),
        (b"foobar", "FNV-1a (reference)", 0x3F9CF968),
    ],
)
def test_the_hashes_are_those_of_the_clients(key, name, value):
    """By vectors of their own tests."""
    assert HASHES[name](key) == value


@settings(max_examples=300)
@given(
    keys=st.sets(st.binary(max_size=40), max_size=300),
    partitions=st.integers(2, 300),
    events=st.integers(1, 2),
)
def test_a_murmur2_topic_is_never_accused(keys, partitions, events):
    """Whatever its keys are: no other partitioner is named, nothing is unexplained, no warning."""
    sample = sample_of(partitions, (keys, by_java), events=events)
    explanations, _ = found_in(sample)
    assert set(explanations) <= {("murmur2", partitions)}
    finding = judge_sample("events", sample)
    assert finding.level is Level.FINE, finding
    assert not any(word in finding.said for word in ("CRC32", "FNV", "not by", "another", "when"))


@pytest.mark.parametrize("partitions", [2, 3, 4, 6, 8, 12, 50, 64, 1000])
@pytest.mark.parametrize("name", HASHES)
def test_one_partitioner_is_named(name, partitions):
    """By enough keys, whatever the number of partitions is, and nothing is to be done."""
    sample = sample_of(partitions, (KEYS, by_hash(name)))
    if partitions == 2:  # the lowest bits of both kinds of FNV-1a are the same
        name = name.removesuffix(" (reference)")
    assert found_in(sample) == ([(name, partitions)], 0)
    finding = judge_sample("events", sample)
    assert finding.level is Level.FINE
    assert finding.said.endswith(
        f"none of them is in two partitions; all partitions look like {name}"
    )


@pytest.mark.parametrize("partitions", [2, 4, 12, 100])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_producers_in_two_languages_are_a_warning(partitions, share):
    """Both are named, with keys that are in two partitions, and what to set."""
    split = KEYS[: int(share * len(KEYS))]
    sample = sample_of(partitions, (KEYS, by_java), (split, by_librdkafka))
    explanations, rest = found_in(sample)
    assert set(explanations) == {("murmur2", partitions), ("CRC32", partitions)}
    assert rest == 0
    finding = judge_sample("events", sample)
    moved = sum(by_java(key, partitions) != by_librdkafka(key, partitions) for key in split)
    assert finding.level is Level.WARNING
    assert f"; {moved:,} of the keys are in more than one partition" in finding.said
    assert "look like murmur2 and CRC32" in finding.said
    assert "partitioner=murmur2_random" in finding.remedy


def test_producers_of_different_keys_are_a_warning_too():
    """No key is in two partitions yet."""
    sample = sample_of(6, (KEYS[:1500], by_java), (KEYS[1500:], by_librdkafka))
    finding = judge_sample("events", sample)
    assert finding.level is Level.WARNING
    assert "none of them is in two partitions; all partitions look like" in finding.said


@pytest.mark.parametrize(("earlier", "now"), [(1, 2), (1, 6), (2, 4), (4, 8), (5, 12), (40, 64)])
def test_partitions_that_were_added_explain_keys_that_moved(earlier, now):
    """No second partitioner is accused of it."""
    sample = sample_of(now, (KEYS, by_java, earlier), (KEYS, by_java))
    explanations, rest = found_in(sample)
    assert sorted(explanations) == [("murmur2", earlier), ("murmur2", now)]
    assert rest == 0
    finding = judge_sample("events", sample)
    assert finding.level is Level.WARNING
    when = "one partition" if earlier == 1 else f"{earlier} partitions"
    assert f"when the topic had {when}" in finding.said
    assert finding.remedy.startswith("keys moved when partitions were added")


def test_partitions_that_no_new_event_has_reached():
    """All events are from before, and only the number of partitions is new."""
    sample = sample_of(8, (KEYS, by_java, 6))
    assert found_in(sample) == ([("murmur2", 6)], 0)
    assert "murmur2 when the topic had 6 partitions" in judge_sample("events", sample).said


def test_events_that_are_not_spread_by_key():
    """Round robin: nothing explains them, and their keys are everywhere."""
    sample = sample_of(6, (KEYS, by_chance(1)), events=3)
    finding = judge_sample("events", sample)
    assert found_in(sample)[0] == []
    assert finding.level is Level.WARNING
    assert "; not by key: " in finding.said
    assert "by the key alone" in finding.remedy


def test_a_partitioner_that_nobody_knows_does_no_harm():
    """As long as it is by key."""
    sample = sample_of(6, (KEYS, lambda key, n: sum(key) % n), events=2)
    finding = judge_sample("events", sample)
    assert finding.level is Level.FINE
    assert "3,000 keys have several events, each in one partition" in finding.said
    once = judge_sample("events", sample_of(6, (KEYS, lambda key, n: sum(key) % n)))
    assert once.level is Level.FINE
    assert "no key has two events" in once.said


def test_a_part_by_an_unknown_partitioner_is_a_warning():
    """Beside a known one."""
    sample = sample_of(6, (KEYS, by_java), (KEYS[:600], by_chance(2)))
    finding = judge_sample("events", sample)
    assert finding.level is Level.WARNING
    assert "murmur2 and another way to choose the partition" in finding.said


def test_one_partition_that_differs_is_named():
    """By its number."""
    other = [key for key in KEYS if by_librdkafka(key, 6) == 3 and by_java(key, 6) != 3]
    finding = judge_sample("events", sample_of(6, (KEYS, by_java), (other, by_librdkafka)))
    assert "partitions 0 to 2, 4 and 5 look like murmur2; partition 3 looks like" in finding.said


def test_a_few_keys_prove_nothing():
    """Unless one is in two partitions."""
    few = judge_sample("events", sample_of(4, (KEYS[:5], by_java)))
    assert few.level is Level.FINE
    assert few.said.endswith("too few keys to name the partitioner")
    sample = sample_of(4, (KEYS[:5], lambda _key, _n: 0), (KEYS[:1], lambda _key, _n: 2))
    two = judge_sample("events", sample)
    assert two.level is Level.WARNING
    assert "1 of the keys is in more than one partition" in two.said
    assert "'key-0' in partitions 0 and 2" in two.said


def test_records_without_a_key_and_forgets_are_no_places():
    """A client spreads the former, ``state erase --all-partitions`` writes the latter."""
    sample = sample_of(4, (KEYS[:300], by_java), without_key=50)
    for partition in range(4):
        sample.add(partition, [SimpleNamespace(key=KEYS[0], value=None)])
    finding = judge_sample("events", sample)
    assert finding.level is Level.FINE
    assert "300 keys in a sample of 354 records, 50 of them without a key" in finding.said
    alone = judge_sample("events", sample_of(4, without_key=9))
    assert (alone.level, alone.remedy.startswith("produce each event with its key")) == (
        Level.WARNING,
        True,
    )


def test_long_keys_and_many_keys_are_examined_in_part():
    """The bounds of the work do not depend on the topic."""
    long = [b"%d" % number + b"x" * 5000 for number in range(50)]
    found = find_partitioners(((key, by_java(key, 4)) for key in long), 4)
    assert (found.places, found.is_enough) == (0, False)
    keys = [b"%d" % number for number in range(3 * PLACES_MAX)]
    found = find_partitioners(((key, by_librdkafka(key, 7)) for key in keys), 7)
    assert 0.5 * PLACES_MAX < found.places <= PLACES_MAX
    assert {each.name for each in found.explanations} == {"CRC32"}
