"""How a log fits a feature spec: for each field how many rows have it, lack it, or have another type.

Rows are looked at as the fold sees them, as JSON; what is skipped, and why, says the fold's own
decoder and encoder.
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
from stream_rnn.model.features import Categorical, FeatureSpec, Field
from stream_rnn.model.heads import Multiclass
from stream_rnn.replay.files import read_batches
from stream_rnn.settings import Settings

RECORDS_A_BATCH = 10_000
WORDS_MAX = 100_000  # of a field that are counted one by one


@dataclass(slots=True)
class FieldCount:
    """One field over some rows.

    Attributes:
        field: its path and types.
        classes: what the spec knows of it; empty if it is no class.
        has: rows with a value of a right type.
        lacks: rows without a value.
        wrong: rows with a value of another type.
        words: how often each value came, of a class.
    """

    field: Field
    classes: frozenset[str] = frozenset()
    has: int = 0
    lacks: int = 0
    wrong: int = 0
    words: Counter[str] = member(default_factory=Counter)

    @property
    def never_seen(self) -> list[str]:
        """Classes of the spec that no row has."""
        return sorted(self.classes - self.words.keys())

    @property
    def unknown(self) -> list[tuple[str, int]]:
        """Values that are no class of the spec, the most frequent first."""
        return [(w, n) for w, n in self.words.most_common() if w not in self.classes]

    def add(self, row: Any) -> None:
        """Count one row."""
        value = value_getter(self.field.path, misplaced=())(row)
        if value is None:
            self.lacks += 1
        elif _type(value) not in self.field.types:
            self.wrong += 1
        else:
            self.has += 1
            if self.classes:
                word = str(value).lower() if isinstance(value, bool) else str(value)
                if word in self.classes or len(self.words) < WORDS_MAX:
                    self.words[word] += 1


@dataclass(slots=True)
class Fit:
    """What a spec makes of a log.

    Attributes:
        rows: that were read.
        events: rows that are valid events.
        skips: the other rows by reason.
        fields: each field of the spec.
    """

    rows: int
    events: int
    skips: Counter[str]
    fields: list[FieldCount]


def count_fields(path: Path, spec: FeatureSpec, settings: Settings, rows_max: int) -> Fit:
    """Read the first rows of a log as events of a spec.

    Raises:
        SpecError: the spec names no key, which a file needs.
        ConfigError: the file is missing, or not what its name says.
    """
    classes = _classes(spec)
    counts = [
        FieldCount(f, classes.get(f.path, frozenset())) for f in spec.fields(with_targets=True)
    ]
    fit = Fit(0, 0, Counter(), counts)
    decoder, encoder = Decoder(spec, settings), Encoder(spec)
    for batch in read_batches(path, spec):
        for first in range(0, len(batch), RECORDS_A_BATCH):
            records = batch[first : min(first + RECORDS_A_BATCH, rows_max - fit.rows + first)]
            decoded = decoder.decode(records)
            _, errors = encoder.encode(decoded.columns, decoded.time_ms)
            fit.rows += len(records)
            fit.events += len(decoded.rows) - len(errors)
            fit.skips.update(error.code for error in (*decoded.skips.values(), *errors.values()))
            for record in records:
                row = _row(record.value)
                for count in counts:
                    count.add(row)
            if fit.rows >= rows_max:
                return fit
    return fit


def _classes(spec: FeatureSpec) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for feature in spec.features:
        if isinstance(feature, Categorical):
            found[feature.path] = found.get(feature.path, frozenset()) | set(feature.vocabulary)
    for head in spec.heads:
        if isinstance(head, Multiclass):
            found[head.path] = found.get(head.path, frozenset()) | set(head.classes)
    return found


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
