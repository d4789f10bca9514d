"""The check of keys: whether one key is in several partitions, and which partitioners put it there.

The same sample shows how many records are events.
"""

import asyncio
from collections import defaultdict
from functools import partial

from aiokafka.errors import KafkaError

from stream_rnn.errors import StreamRNNError, reason
from stream_rnn.kafka.cluster import KafkaCluster
from stream_rnn.key_spellings import format_partitions
from stream_rnn.keys import describe_key, shorten
from stream_rnn.model.features import FeatureSpec
from stream_rnn.operate.check_events import judge_events
from stream_rnn.operate.check_result import Finding, fine, warning
from stream_rnn.operate.key_sample import SAMPLE_S, KeySample, sample_keys
from stream_rnn.operate.partitioners import (
    SHARE_MIN,
    Explanation,
    Partitioning,
    find_partitioners,
)
from stream_rnn.settings import FoldSettings

EXAMPLES = 3
GROUPS_SHOWN = 4
WHAT = "keys"
PAGE = "see 'One key in two partitions' in deploy/README.md"
ONE_PARTITIONER = (
    "let all producers use one partitioner: the default of Java clients, which librdkafka calls "
    f"partitioner=murmur2_random; {PAGE}"
)


async def check_records(
    cluster: KafkaCluster,
    settings: FoldSettings,
    spec: FeatureSpec | None,
    within_s: float = SAMPLE_S,
) -> list[Finding]:
    """Sample the source, and report on its keys and on how many of its records are events.

    Args:
        cluster: The open cluster.
        settings: Settings of the worker.
        spec: Feature spec of the bundle; ``None`` if it could not be read.
        within_s: Longest time to read, in seconds.
    """
    source = settings.source
    partitions = (await cluster.topics(source))[source].partitions
    try:
        sample = await sample_keys(cluster, source, partitions, within_s)
    except (StreamRNNError, KafkaError, OSError) as error:
        remedy = "correct what the message names, and run doctor again"
        return [warning(WHAT, f"not checked: {reason(error)}", remedy)]
    findings = [judge_sample(source, sample)]
    if spec is not None and sample.newest:
        judge = partial(judge_events, source, sample.newest, spec, settings)
        findings.append(await asyncio.to_thread(judge))  # a schema registry may be asked
    return findings


def judge_sample(source: str, sample: KeySample) -> Finding:
    """Return the finding about the keys of a sample."""
    if sample.partitions == 1:
        return fine(WHAT, f"{source} has one partition, which has all events of each key")
    if not sample.records:
        how = "is empty" if sample.is_complete else "gave no record in time"
        return fine(WHAT, f"not checked: {source} {how}")
    keys = sample.partitions_of_keys()
    split = {key: where for key, where in keys.items() if len(where) > 1}
    partitioning = find_partitioners(sample.events, sample.partitions)
    text = "; ".join(
        filter(
            None,
            (
                _describe_sample(source, sample, len(keys)),
                _describe_split(split) if split else "none of them is in two partitions",
                _describe_partitioners(sample, partitioning, len(split)),
            ),
        )
    )
    if remedy := _remedy(partitioning, bool(split)):
        return warning(WHAT, text, remedy)
    if sample.without_key == sample.records:
        remedy = "produce each event with its key: workers skip records without one"
        return warning(WHAT, text, remedy)
    return fine(WHAT, text)


def _describe_sample(source: str, sample: KeySample, keys: int) -> str:
    text = f"{source}: {keys:,} keys in a sample of {sample.records:,} records"
    if sample.without_key:
        text += f", {sample.without_key:,} of them without a key"
    if len(sample.sampled) < sample.partitions and not sample.is_complete:
        text += f", of {len(sample.sampled):,} of {sample.partitions:,} partitions"
    return text


def _describe_split(split: dict[bytes, list[int]]) -> str:
    examples = ", ".join(
        f"{shorten(describe_key(key))!r} in {format_partitions(where)}"
        for key, where in sorted(split.items())[:EXAMPLES]
    )
    verb = "is" if len(split) == 1 else "are"
    return (
        f"{len(split):,} of the keys {verb} in more than one partition, with a separate memory in "
        f"each, such as {examples}"
    )


def _describe_partitioners(sample: KeySample, found: Partitioning, split: int) -> str:
    """Return which partitioner each partition looks like."""
    if not found.is_enough:
        return "too few keys to name the partitioner" if found.places else ""
    if not found.explanations:
        return _describe_unexplained(sample, split)
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    explanations = [*found.explanations, *([found.unexplained] if _has_rest(found) else [])]
    for number in sorted(sample.sampled):
        if names := tuple(
            _name(each, found) for each in explanations if _is_shown(each, number, found)
        ):
            groups[names].append(number)
    parts = [
        f"{'all partitions look' if len(groups) == 1 else _look(numbers)} like {_join(names)}"
        for names, numbers in [*groups.items()][:GROUPS_SHOWN]
    ]
    if more := len(groups) - len(parts):
        parts.append(f"and {more} other mixtures")
    shares = [
        f"{_name(each, found)} explains {100 * each.places / found.places:.1f} % of the keys, which "
        f"{_name(found.explanations[0], found)} does not"
        for each in explanations[1:2]
    ]
    return "; ".join([*parts, *shares])


def _describe_unexplained(sample: KeySample, split: int) -> str:
    repeated = sample.repeated_keys()
    if not repeated:
        return "neither murmur2 nor CRC32 nor FNV-1a puts them there; no key has two events"
    if not split:
        return (
            "another partitioner than murmur2, CRC32 and FNV-1a puts them there, by key: "
            f"{repeated:,} keys have several events, each in one partition"
        )
    return f"not by key: {split:,} of the {repeated:,} keys with several events are spread"


def _look(numbers: list[int]) -> str:
    return f"{format_partitions(numbers)} {'looks' if len(numbers) == 1 else 'look'}"


def _join(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _name(each: Explanation, found: Partitioning) -> str:
    if not each.name:
        return "another way to choose the partition"
    if each.partitions == 1:
        return "a time when the topic had one partition"
    if each.partitions < found.partitions:
        return f"{each.name} when the topic had {each.partitions} partitions"
    return each.name


def _has_rest(found: Partitioning) -> bool:
    return found.unexplained.places > SHARE_MIN * found.places


def _is_shown(each: Explanation, partition: int, found: Partitioning) -> bool:
    total = found.unexplained.where.get(partition, 0)
    total += sum(other.where.get(partition, 0) for other in found.explanations)
    return each.where.get(partition, 0) > SHARE_MIN * total


def _remedy(found: Partitioning, is_split: bool) -> str:
    """Return what to do; an empty text if every key has one partition, now and later."""
    if len(found.current) > 1 or (found.explanations and _has_rest(found)):
        return ONE_PARTITIONER
    if found.earlier:
        return (
            "keys moved when partitions were added, and their memories did not: copy the events to "
            f"a new topic, and fold that one; {PAGE}"
        )
    if not is_split:
        return ""
    if found.is_enough and not found.explanations:
        return f"choose the partition by the key alone, as every default partitioner does; {PAGE}"
    return ONE_PARTITIONER
