"""Compares the topics and states of a fold, or of both folds of a roll-out, with the oracle."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from stream_rnn.audit.digests import content_of
from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.fold.output_schema import model_decoder
from stream_rnn.kafka.group_offsets import GroupOffset
from stream_rnn.model.bundle import load_bundle
from stream_rnn.model.network import Model
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos.oracle_by_rounds import Prepared, prepare
from tests.chaos.oracle_by_rounds import fold as fold_by_rounds
from tests.chaos.topics import Output
from tests.chaos.verify_numbers import Numbers

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
        records: Records of the source.
        predictions: Predictions in the order of their topic.
        dead_letters: Dead letters in the order of their topic.
        stored: Content of Redis by fold id.
        group_offset: Group offset of the partition.
        known: Group offset with its metadata, after a roll-out.
    """

    partition: int
    records: Sequence[LogRecord]
    predictions: Sequence[Output]
    dead_letters: Sequence[Output]
    stored: dict[str, StoredPosition]
    group_offset: int
    known: GroupOffset | None = None


@dataclass(slots=True)
class Findings:
    """Differences between one partition and the oracle.

    Attributes:
        partition: Number of the partition.
        records: Number of records of the source.
        events: Number of valid events, according to the oracle.
        predictions: Number of published predictions.
        skipped: Number of bad records.
        repeated: Number of predictions and dead letters beyond the first of an offset.
        twofold: Number of offsets that two folds answered, which ``at_least_once`` allows a worker
            that has lost the partition.
        cut_overs: Number of times that the fold of the predictions changed.
        wrong: Offset and description of the first differences of each kind.
        counts: Number of differences by kind: missing, duplicated, different, disordered, format
            (a prediction in another format than that of the settings), two folds, ...
    """

    partition: int
    records: int = 0
    events: int = 0
    predictions: int = 0
    skipped: int = 0
    repeated: int = 0
    twofold: int = 0
    cut_overs: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def add(self, kind: str, offset: int, text: str) -> None:
        """Count one difference, and describe the first three of each kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= 3:
            self.wrong.append((offset, f"{kind} at {self.partition}:{offset}: {text}"))


class Truths:
    """What the oracle makes of the records, for each fold and origin that is asked for.

    Args:
        outcome: Topics and states of the partition.
        bundles: Paths of the bundles of all deployed folds, the main one first.
        settings: Settings of the fold.
    """

    def __init__(
        self, outcome: PartitionOutcome, bundles: Sequence[str], settings: Settings
    ) -> None:
        self._outcome, self._settings = outcome, settings
        self.models = {}
        for bundle in bundles:
            model = load_bundle(bundle)
            self.models[fold_id(model.fingerprint, settings)] = model
        self.decoders = {fold: model_decoder(model) for fold, model in self.models.items()}
        self.main = next(iter(self.models))
        self._first = outcome.records[0].offset if outcome.records else 0
        self._last = outcome.records[-1].offset if outcome.records else -1
        self._made: dict[tuple[str, int, int], oracle.Truth] = {}
        self._prepared: Prepared | None = None

    def of(self, fold: str, origin: int, below: int | None = None) -> oracle.Truth:
        """Return the truth of a fold from an origin on, and below an offset."""
        first = max(self._first, origin)
        end = self._last + 1 if below is None else min(below, self._last + 1)
        if (fold, first, end) not in self._made:
            model, place = self.models[fold], (self._settings.source, self._outcome.partition)
            prepared = self._prepare(model)
            truth = fold_by_rounds(model, self._settings, prepared, range(first, end), *place)
            self._made[fold, first, end] = truth
        return self._made[fold, first, end]

    def _prepare(self, model: Model) -> Prepared:
        """Decode and encode the records, once for all models with the same feature spec."""
        if self._prepared is None:
            self._prepared = prepare(model, self._settings, self._outcome.records)
        assert model.spec == self.models[self.main].spec, "the folds need one feature spec"
        return self._prepared


def verify(outcome: PartitionOutcome, bundles: Sequence[str], settings: Settings) -> Findings:
    """Compare one partition with the oracle.

    Args:
        outcome: Topics and states of the partition.
        bundles: Paths of the bundles of all deployed folds, the main one first.
        settings: Settings of the fold; ``delivery`` determines whether repetitions are allowed.
    """
    torch.set_num_threads(1)
    truths = Truths(outcome, bundles, settings)
    main = truths.of(truths.main, 0)
    findings = Findings(outcome.partition, len(outcome.records), len(main.predictions), len(outcome.predictions))  # fmt: skip
    exactly_once = settings.delivery == "exactly_once"
    numbers = _predictions(outcome, truths, findings, exactly_once=exactly_once)
    _formats(outcome, settings, findings)
    answered = numbers.read | _dead_letters(outcome, truths, findings, numbers)
    for offset in sorted({*main.predictions, *main.dead_letters} - answered):
        told = main.dead_letters.get(offset)
        key = main.predictions.get(offset, {}).get("key")
        findings.add("missing", offset, f"dead letter {told}" if told else f"key {key!r}")
    _positions(outcome, truths, settings, findings)
    return findings


def _positions(
    outcome: PartitionOutcome, truths: Truths, settings: Settings, findings: Findings
) -> None:
    """Compare what Redis stores of each fold with its truth at its own position."""
    known, group_offset = outcome.known, outcome.group_offset
    in_charge = truths.main if known is None or known.fold_id is None else known.fold_id
    if known is not None and in_charge not in outcome.stored:
        findings.add("position", group_offset, f"Redis has nothing of {in_charge}, in charge")
    for fold, stored in outcome.stored.items():
        position = stored.position
        _states(fold, stored, truths.of(fold, stored.origin, position), settings, findings)
        if fold == in_charge and position != group_offset:
            findings.add("position", position, f"P is not C = {group_offset}")
        if position > group_offset:
            findings.add("position", position, f"P of {fold} is above C = {group_offset}")


def _predictions(
    outcome: PartitionOutcome, truths: Truths, findings: Findings, *, exactly_once: bool
) -> Numbers:
    """Compare the predictions; return the numbers of their cut-overs."""
    seen: dict[tuple[int, str, int], bytes | None] = {}
    folds: dict[int, str] = {}
    numbers = Numbers(findings.add, exactly_once=exactly_once)
    last = -1
    for output in outcome.predictions:
        offset, fold = output.source_offset, output.headers["sr-fold"]
        key = offset, fold, output.origin
        _value(output, fold, truths, findings)
        if offset in folds:
            _repetition(output, folds[offset], findings, exactly_once=exactly_once)
            if seen.get(key, output.value) != output.value:
                findings.add("different", offset, f"{output.value!r} is not {seen[key]!r}")
        elif exactly_once and offset < last:
            findings.add("disordered", offset, f"after the prediction of {last}")
        seen[key] = output.value
        folds.setdefault(offset, fold)
        numbers.see(output, fold)
        last = max(last, offset)
    if outcome.known is not None:
        numbers.end(outcome.known)
    findings.cut_overs = numbers.changes
    return numbers


def _value(output: Output, fold: str, truths: Truths, findings: Findings) -> None:
    """Compare a prediction with the truth of its own fold."""
    value = content_of(output.value, truths.decoders[fold])
    truth, offset = truths.of(fold, output.origin), output.source_offset
    expected = truth.predictions.get(offset)
    if expected is None:
        findings.add("unfounded", offset, f"{output.value!r} for a record that is no event")
    elif value != expected:
        text = f"key {expected.get('key')!r}: {value} is not {expected}"
        findings.add("different", offset, text)


def _repetition(output: Output, first: str, findings: Findings, *, exactly_once: bool) -> None:
    """Count another prediction of an offset, whose first one is of a fold."""
    offset, fold = output.source_offset, output.headers["sr-fold"]
    findings.repeated += 1
    findings.twofold += fold != first
    if exactly_once:
        findings.add("duplicated", offset, f"again at output offset {output.offset}")
        if fold != first:
            findings.add("two folds", offset, f"{first} and then {fold}")


def _formats(outcome: PartitionOutcome, settings: Settings, findings: Findings) -> None:
    """Check the first bytes, which a reader of all formats does not compare."""
    name = settings.predictions_format
    frame = struct.pack(">bI", 0, settings.predictions_schema_id or 0)
    begin = b"{" if name == "json" else frame + BODIES[name]
    for output in outcome.predictions:
        if not (output.value or b"").startswith(begin):
            findings.add("format", output.source_offset, f"{output.value!r} is not {name}")


def _dead_letters(
    outcome: PartitionOutcome, truths: Truths, findings: Findings, numbers: Numbers
) -> set[int]:
    """Compare the dead letters; return the offsets that have one."""
    reasons: dict[int, str] = {}
    predicted = {output.source_offset for output in outcome.predictions}
    findings.skipped = len(truths.of(truths.main, 0).dead_letters)
    for output in outcome.dead_letters:
        offset, reason = output.source_offset, output.headers["sr-error"]
        folds = _folds_of(output, truths, numbers)
        expected = {truths.of(fold, output.origin).dead_letters.get(offset) for fold in folds}
        if reason not in expected:
            kind = "unfounded" if expected == {None} else "different"
            findings.add(kind, offset, f"dead letter {reason}, not {expected}, of {folds}")
        if offset in reasons:
            findings.repeated += 1
        if numbers.exactly_once and (offset in reasons or offset in predicted):
            findings.add("duplicated", offset, f"dead letter {reason}")
        reasons[offset] = reason
    return set(reasons)


def _folds_of(output: Output, truths: Truths, numbers: Numbers) -> list[str]:
    """Return the fold of a dead letter, or all folds that it may be of.

    Without transactions it has no header with its fold, only the number of the cut-over before it,
    which may have no prediction to tell the fold.
    """
    if fold := output.headers.get("sr-fold"):
        return [fold]
    if not output.number:
        return [truths.main]
    fold = numbers.folds.get(output.number)
    return list(truths.models) if fold is None else [fold]


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
