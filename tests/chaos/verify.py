"""Everything that a fold has left, against the oracle."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from stream_rnn.fold.decoder import LogRecord
from stream_rnn.fold.fold_id import fold_id
from stream_rnn.model.bundle import load_bundle
from stream_rnn.settings import Settings
from tests import oracle
from tests.chaos.topics import Output


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """What Redis holds of one fold and partition.

    Attributes:
        position: of the position hash: P.
        origin: of the fold.
        keys: as the last commit wrote it.
        states: the hidden hash.
    """

    position: int
    origin: int
    keys: int
    states: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Left:
    """What one partition has left.

    Attributes:
        partition: its number.
        records: of the source, committed ones.
        predictions: as a ``read_committed`` reader sees them.
        dead_letters: likewise.
        held: by fold id.
        group_offset: C.
    """

    partition: int
    records: Sequence[LogRecord]
    predictions: Sequence[Output]
    dead_letters: Sequence[Output]
    held: dict[str, StoredPosition]
    group_offset: int


@dataclass(slots=True)
class Findings:
    """What is not as it should be.

    Attributes:
        partition: its number.
        events: valid events, by the oracle.
        predictions: published ones.
        skipped: bad records.
        repeated: predictions or dead letters beyond the first of an offset.
        wrong: (offset, sentence), of the first ones of each kind.
        counts: by kind: missing, duplicated, different, disordered, ...
    """

    partition: int
    events: int = 0
    predictions: int = 0
    skipped: int = 0
    repeated: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def add(self, kind: str, offset: int, text: str) -> None:
        """Note one finding; of many of a kind the first three are told."""
        self.counts[kind] += 1
        if self.counts[kind] <= 3:
            self.wrong.append((offset, f"{kind} at {self.partition}:{offset}: {text}"))


def verify(left: Left, bundles: Sequence[str], settings: Settings) -> Findings:
    """Compare one partition with the oracle.

    Args:
        left: what it has left.
        bundles: of the folds that were deployed, the main one first.
        settings: of the fold; ``delivery`` decides whether repetitions are allowed.
    """
    torch.set_num_threads(1)
    models = {}
    for bundle in bundles:
        model = load_bundle(bundle)
        models[fold_id(model.fingerprint, settings)] = model
    main = next(iter(models))
    needed = {main, *left.held, *(p.headers["sr-fold"] for p in left.predictions)}
    truths = {
        fold: oracle.fold(models[fold], settings, left.records, settings.source, left.partition)
        for fold in needed
    }
    found = Findings(left.partition, len(truths[main].predictions), len(left.predictions))
    exactly_once = settings.delivery == "exactly_once"
    _predictions(left, truths, found, exactly_once=exactly_once)
    _dead_letters(left, truths[main], found, exactly_once=exactly_once)
    for fold, held in left.held.items():
        truth = truths[fold]
        if left.records and held.position <= left.records[-1].offset:
            before = [record for record in left.records if record.offset < held.position]
            truth = oracle.fold(models[fold], settings, before, settings.source, left.partition)
        _states(fold, held, truth, settings, found)
        if fold == main and held.position != left.group_offset:
            found.add("position", held.position, f"P is not C = {left.group_offset}")
        if held.position > left.group_offset:
            found.add("position", held.position, f"P of {fold} is above C = {left.group_offset}")
    return found


def _predictions(left: Left, truths, found: Findings, *, exactly_once: bool) -> None:
    seen: dict[tuple[int, str], bytes] = {}
    offsets: set[int] = set()
    last = -1
    for output in left.predictions:
        offset, fold = output.source_offset, output.headers["sr-fold"]
        said, key = json.loads(output.value), (offset, fold)
        truth = truths[fold].predictions.get(offset)
        if truth is None:
            found.add("unfounded", offset, f"{output.value!r} for a record without an event")
        elif said != truth:
            found.add("different", offset, f"key {truth.get('key')!r}: {said} is not {truth}")
        if offset in offsets:
            found.repeated += 1
            if exactly_once:
                found.add("duplicated", offset, f"again at output offset {output.offset}")
            if seen.get(key, output.value) != output.value:
                found.add("different", offset, f"{output.value!r} is not {seen[key]!r}")
        elif exactly_once and offset < last:
            found.add("disordered", offset, f"after the prediction of {last}")
        seen[key] = output.value
        offsets.add(offset)
        last = max(last, offset)
    _missing(next(iter(truths.values())), offsets, found)


def _missing(main, offsets: set[int], found: Findings) -> None:
    for offset in sorted(set(main.predictions) - offsets):
        found.add("missing", offset, f"key {main.predictions[offset].get('key')!r}")


def _dead_letters(left: Left, truth, found: Findings, *, exactly_once: bool) -> None:
    reasons: dict[int, str] = {}
    found.skipped = len(truth.dead_letters)
    for output in left.dead_letters:
        offset, reason = output.source_offset, output.headers["sr-error"]
        if offset in reasons:
            found.repeated += 1
            if exactly_once:
                found.add("duplicated", offset, f"dead letter {reason}")
        reasons[offset] = reason
    for offset in sorted(set(truth.dead_letters) | set(reasons)):
        said, true = reasons.get(offset), truth.dead_letters.get(offset)
        if said != true:
            kind = "missing" if said is None else "unfounded" if true is None else "different"
            found.add(kind, offset, f"dead letter {said}, not {true}")


def _states(fold: str, held: StoredPosition, truth, settings: Settings, found: Findings) -> None:
    ttl_ms = None if settings.state_ttl is None else settings.state_ttl * 1000
    states = {key: oracle.stored(value) for key, value in held.states.items()}
    if held.keys != len(states):
        found.add("torn", held.position, f"{fold}: keys {held.keys}, {len(states)} states")
    if ttl_ms is not None and truth.stream_ms is not None:
        states = {k: s for k, s in states.items() if truth.stream_ms - s[1] <= ttl_ms}
    alive = truth.alive(ttl_ms)
    for key in sorted(set(alive) | set(states)):
        if states.get(key) != alive.get(key):
            text = f"{fold}: key {key!r}: {_short(states.get(key))} is not {_short(alive.get(key))}"
            found.add("state", held.position, text)


def _short(state) -> str:
    return "none" if state is None else f"steps={state[0]} last={state[1]} h={state[2].hex()[:32]}"
