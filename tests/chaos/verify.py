"""Compares the topics and states of a fold with the oracle."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from stream_rnn.audit.digests import content_of
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos.topics import Output

BODIES = {"avro": b"\x02", "protobuf": b"\0", "json_schema": b"{"}
"""What the body of a prediction begins with: format 1, the first message, an object."""


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """The content of Redis for one fold and partition.

    Attributes:
        position: Position of the partition.
        origin: Origin of the fold.
        keys: Number of keys that the last commit wrote.
        states: Bytes of the hidden states by key.
    """

    position: int
    origin: int
    keys: int
    states: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PartitionOutcome:
    """The topics and states of one partition at the end of an episode.

    Attributes:
        partition: Number of the partition.
        records: Committed records of the source.
        predictions: Predictions that a ``read_committed`` reader sees.
        dead_letters: Dead letters that a ``read_committed`` reader sees.
        stored: Content of Redis by fold id.
        group_offset: Group offset of the partition.
    """

    partition: int
    records: Sequence[LogRecord]
    predictions: Sequence[Output]
    dead_letters: Sequence[Output]
    stored: dict[str, StoredPosition]
    group_offset: int


@dataclass(slots=True)
class Findings:
    """Differences between one partition and the oracle.

    Attributes:
        partition: Number of the partition.
        events: Number of valid events, according to the oracle.
        predictions: Number of published predictions.
        skipped: Number of bad records.
        repeated: Number of predictions and dead letters beyond the first of an offset.
        wrong: Offset and description of the first differences of each kind.
        counts: Number of differences by kind: missing, duplicated, different, disordered, format
            (a prediction in another format than that of the settings), ...
    """

    partition: int
    events: int = 0
    predictions: int = 0
    skipped: int = 0
    repeated: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def add(self, kind: str, offset: int, text: str) -> None:
        """Count one difference, and describe the first three of each kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= 3:
            self.wrong.append((offset, f"{kind} at {self.partition}:{offset}: {text}"))


def verify(outcome: PartitionOutcome, bundles: Sequence[str], settings: Settings) -> Findings:
    """Compare one partition with the oracle.

    Args:
        outcome: Topics and states of the partition.
        bundles: Paths of the bundles of all deployed folds, the main one first.
        settings: Settings of the fold; ``delivery`` determines whether repetitions are allowed.
    """
    torch.set_num_threads(1)
    models = {}
    for bundle in bundles:
        model = load_bundle(bundle)
        models[fold_id(model.fingerprint, settings)] = model
    main = next(iter(models))
    needed = {main, *outcome.stored, *(p.headers["sr-fold"] for p in outcome.predictions)}
    truths = {
        fold: oracle.fold(
            models[fold], settings, outcome.records, settings.source, outcome.partition
        )
        for fold in needed
    }
    findings = Findings(outcome.partition, len(truths[main].predictions), len(outcome.predictions))
    exactly_once = settings.delivery == "exactly_once"
    decoders = {fold: model_decoder(models[fold]) for fold in truths}
    _predictions(outcome, truths, decoders, findings, exactly_once=exactly_once)
    _formats(outcome, settings, findings)
    _dead_letters(outcome, truths[main], findings, exactly_once=exactly_once)
    for fold, stored in outcome.stored.items():
        truth = truths[fold]
        if outcome.records and stored.position <= outcome.records[-1].offset:
            before = [record for record in outcome.records if record.offset < stored.position]
            truth = oracle.fold(models[fold], settings, before, settings.source, outcome.partition)
        _states(fold, stored, truth, settings, findings)
        if fold == main and stored.position != outcome.group_offset:
            findings.add("position", stored.position, f"P is not C = {outcome.group_offset}")
        if stored.position > outcome.group_offset:
            findings.add(
                "position", stored.position, f"P of {fold} is above C = {outcome.group_offset}"
            )
    return findings


def _predictions(
    outcome: PartitionOutcome, truths, decoders, findings: Findings, *, exactly_once: bool
) -> None:
    seen: dict[tuple[int, str], bytes] = {}
    offsets: set[int] = set()
    last = -1
    for output in outcome.predictions:
        offset, fold = output.source_offset, output.headers["sr-fold"]
        value, key = content_of(output.value, decoders[fold]), (offset, fold)
        truth = truths[fold].predictions.get(offset)
        if truth is None:
            findings.add("unfounded", offset, f"{output.value!r} for a record that is no event")
        elif value != truth:
            text = f"key {truth.get('key')!r}: {value} is not {truth}"
            findings.add("different", offset, text)
        if offset in offsets:
            findings.repeated += 1
            if exactly_once:
                findings.add("duplicated", offset, f"again at output offset {output.offset}")
            if seen.get(key, output.value) != output.value:
                findings.add("different", offset, f"{output.value!r} is not {seen[key]!r}")
        elif exactly_once and offset < last:
            findings.add("disordered", offset, f"after the prediction of {last}")
        seen[key] = output.value
        offsets.add(offset)
        last = max(last, offset)
    _missing(next(iter(truths.values())), offsets, findings)


def _formats(outcome: PartitionOutcome, settings: Settings, findings: Findings) -> None:
    """Check the first bytes, which a reader of all formats does not compare."""
    name = settings.predictions_format
    frame = struct.pack(">bI", 0, settings.predictions_schema_id or 0)
    begin = b"{" if name == "json" else frame + BODIES[name]
    for output in outcome.predictions:
        if not (output.value or b"").startswith(begin):
            findings.add("format", output.source_offset, f"{output.value!r} is not {name}")


def _missing(main, offsets: set[int], findings: Findings) -> None:
    for offset in sorted(set(main.predictions) - offsets):
        findings.add("missing", offset, f"key {main.predictions[offset].get('key')!r}")


def _dead_letters(
    outcome: PartitionOutcome, truth, findings: Findings, *, exactly_once: bool
) -> None:
    reasons: dict[int, str] = {}
    findings.skipped = len(truth.dead_letters)
    for output in outcome.dead_letters:
        offset, reason = output.source_offset, output.headers["sr-error"]
        if offset in reasons:
            findings.repeated += 1
            if exactly_once:
                findings.add("duplicated", offset, f"dead letter {reason}")
        reasons[offset] = reason
    for offset in sorted(set(truth.dead_letters) | set(reasons)):
        actual, expected = reasons.get(offset), truth.dead_letters.get(offset)
        if actual != expected:
            kind = "missing" if actual is None else "unfounded" if expected is None else "different"
            findings.add(kind, offset, f"dead letter {actual}, not {expected}")


def _states(
    fold: str, stored: StoredPosition, truth, settings: Settings, findings: Findings
) -> None:
    ttl_ms = None if settings.state_ttl is None else settings.state_ttl * 1000
    states = {key: oracle.stored(value) for key, value in stored.states.items()}
    if stored.keys != len(states):
        findings.add("torn", stored.position, f"{fold}: keys {stored.keys}, {len(states)} states")
    if ttl_ms is not None and truth.stream_ms is not None:
        states = {k: s for k, s in states.items() if truth.stream_ms - s[1] <= ttl_ms}
    alive = truth.alive(ttl_ms)
    for key in sorted(set(alive) | set(states)):
        if states.get(key) != alive.get(key):
            text = f"{fold}: key {key!r}: {_short(states.get(key))} is not {_short(alive.get(key))}"
            findings.add("state", stored.position, text)


def _short(state) -> str:
    return "none" if state is None else f"steps={state[0]} last={state[1]} h={state[2].hex()[:32]}"
