"""A check of a log against a feature spec: valid events, skips, and the values of each field.

The check reads rows as the fold does, as JSON; the fold's own decoder and encoder decide which
rows are skipped, and why.
"""

from collections import Counter
from dataclasses import dataclass
from dataclasses import field as member
from pathlib import Path
from typing import Any

import orjson

from stream_rnn.fold.decoder import Decoder
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import Categorical, FeatureSpec
from stream_rnn.model.field import Field
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.values import read_boolean, read_number
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings

RECORDS_A_BATCH = 10_000
WORDS_MAX = 100_000  # maximum number of different values that are counted for a field


@dataclass(slots=True)
class FieldCount:
    """Numbers of rows that have a field, lack it, or have another type.

    Attributes:
        field: Path and types of the field.
        classes: Vocabulary and classes in the spec; empty for a field that is not categorical.
        has: Number of rows with a value of the right type.
        lacks: Number of rows without a value.
        wrong: Number of rows with a value of another type.
        words: Number of rows of each value, for a categorical field.
    """

    field: Field
    classes: frozenset[str] = frozenset()
    has: int = 0
    lacks: int = 0
    wrong: int = 0
    words: Counter[str] = member(default_factory=Counter)

    def _has_type(self, value: Any) -> bool:
        """Return whether a value has a type of the field, or is a text of it for ``parse``."""
        if self.field.parse:
            try:
                value = read_boolean(value) if "boolean" in self.field.types else read_number(value)
            except ValueError:
                return False
        return value is None or _type(value) in self.field.types

    @property
    def never_seen(self) -> list[str]:
        """Classes of the spec that occur in no row."""
        return sorted(self.classes - self.words.keys())

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """Values that are no class of the spec, with their numbers of rows, most frequent first."""
        return [(w, n) for w, n in self.words.most_common() if w not in self.classes]

    def add(self, row: Any) -> None:
        """Count one row."""
        value = value_getter(self.field.path, misplaced=())(row)
        if value is None:
            self.lacks += 1
        elif not self._has_type(value):
            self.wrong += 1
        else:
            self.has += 1
            if self.classes:
                word = str(value).lower() if isinstance(value, bool) else str(value)
                if word in self.classes or len(self.words) < WORDS_MAX:
                    self.words[word] += 1


@dataclass(slots=True)
class SpecCheck:
    """The result of checking a log against a spec.

    Attributes:
        rows: Number of rows read.
        events: Number of rows that are valid events.
        skips: Number of skipped rows by reason.
        fields: Counts of each field of the spec, in the rows that are neither filtered nor forgets.
        filtered: Number of rows that ``event.only`` of the spec filters.
        forgets: Number of rows that forget their key.
    """

    rows: int
    events: int
    skips: Counter[str]
    fields: list[FieldCount]
    filtered: int = 0
    forgets: int = 0


def check_log(
    path: Path,
    spec: FeatureSpec,
    settings: Settings,
    rows_max: int,
    *,
    sort_by_time: bool | None = None,
) -> SpecCheck:
    """Check the first rows of a log against a spec.

    Raises:
        SpecError: The spec has no ``event.key``, which a file needs.
        ConfigError: The file does not exist, or its content does not match its extension.
    """
    classes = _classes(spec)
    counts = [
        FieldCount(f, classes.get(f.path, frozenset())) for f in spec.fields(with_targets=True)
    ]
    result = SpecCheck(rows=0, events=0, skips=Counter(), fields=counts)
    decoder, encoder = Decoder(spec, settings), Encoder(spec)
    get_event = value_getter(spec.event.unwrap, misplaced=()) if spec.event.unwrap else _same
    for batch in read_batches(path, spec, sort_by_time=sort_by_time):
        for first in range(0, len(batch), RECORDS_A_BATCH):
            records = batch[first : min(first + RECORDS_A_BATCH, rows_max - result.rows + first)]
            decoded = decoder.decode(records)
            _, errors = encoder.encode(decoded.columns, decoded.time_ms)
            result.rows += len(records)
            result.events += len(decoded.rows) - len(errors)
            result.skips.update(error.code for error in (*decoded.skips.values(), *errors.values()))
            result.filtered += len(decoded.filtered)
            result.forgets += len(decoded.forgets)
            no_events = {*decoded.filtered, *decoded.forgets}
            for index, record in enumerate(records):
                if index not in no_events:
                    event = get_event(_row(record.value))
                    for count in counts:
                        count.add(event)
            if result.rows >= rows_max:
                return result
    return result


def _classes(spec: FeatureSpec) -> dict[str, frozenset[str]]:
    classes: dict[str, frozenset[str]] = {}
    for feature in spec.features:
        if isinstance(feature, Categorical):
            classes[feature.path] = classes.get(feature.path, frozenset()) | set(feature.vocabulary)
    for head in spec.heads:
        if isinstance(head, Multiclass):
            classes[head.path] = classes.get(head.path, frozenset()) | set(head.classes)
    return classes


def _same(row: Any) -> Any:
    return row


def _row(value: bytes | None) -> Any:
    try:
        return orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "nested"
