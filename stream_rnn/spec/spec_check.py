"""A check of a log against a feature spec: valid events, skips, and the values of each field.

The check reads rows as the fold does, as JSON; the fold's own decoder and encoder decide which
rows are skipped, and why.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as member
from math import isfinite
from pathlib import Path
from typing import Any

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import Decoder, LogRecord
from stream_rnn.fold.fields import split_words, value_getter
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.field import Field
from stream_rnn.model.heads import Multiclass
from stream_rnn.model.paths import join_path, split_path
from stream_rnn.model.values import read_boolean, read_number
from stream_rnn.model.word_lists import MultiCategorical
from stream_rnn.model.words import Categorical, to_words
from stream_rnn.replay.files import name_of, read_batches
from stream_rnn.replay.filtered import FilteredRecords
from stream_rnn.replay.no_event import SkipReasons, list_paths, near_paths
from stream_rnn.replay.other_content import describe_value
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings
from stream_rnn.spec.json_columns import NAN_REMEDY
from stream_rnn.spec.key_notes import ROUNDED, ROUNDED_REMEDY, WORD_MAX
from stream_rnn.spec.time_span import TimeSpan
from stream_rnn.text import printable

_ROUNDED = re.compile(ROUNDED)
_INDEX = re.compile(r"\[\d+\]$")
RECORDS_A_BATCH = 10_000
WORDS_MAX = 100_000  # maximum number of different values that are counted for a field
PATH_ROWS_MAX = 1_000  # rows whose paths are listed, to find near spellings


@dataclass(slots=True)
class FieldCount:
    """Numbers of rows that have a field, lack it, or have another type.

    Attributes:
        field: Path and types of the field.
        classes: Vocabulary and classes in the spec; empty for a field without.
        has: Number of rows with a value of the right type.
        lacks: Number of rows without a value.
        wrong: Number of rows with a value of another type.
        not_finite: Number of those rows whose value is NaN or infinite, which is no JSON.
        words: Number of rows of each word, for a field with classes.
        unknown_rows: Number of rows with a word that is no class.
    """

    field: Field
    classes: frozenset[str] = frozenset()
    has: int = 0
    lacks: int = 0
    wrong: int = 0
    not_finite: int = 0
    words: Counter[str] = member(default_factory=Counter)
    unknown_rows: int = 0

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
        if self.field.parse:
            value = _parse(value, self.field.types)
        if value is None:
            self.lacks += 1
        elif isinstance(value, float) and not isfinite(value):
            self.wrong += 1
            self.not_finite += 1
        elif self.field.length is not None:
            self._add_array(value, self.field.length)
        elif _type(value) not in self.field.types:
            self.wrong += 1
        else:
            self.has += 1
            if self.classes:
                self._add_words([value])

    def _add_array(self, value: Any, length: tuple[int, int]) -> None:
        """Count the array of a row; an empty one is missing."""
        if self.field.separator is not None:
            value = split_words(value, self.field.separator)
        if value == []:
            self.lacks += 1
        elif not isinstance(value, list) or not length[0] <= len(value) <= length[1]:
            self.wrong += 1
        elif all(map(self._is_element, value)):
            self.has += 1
            if self.classes:
                self._add_words([element for element in value if element is not None])
        else:
            self.wrong += 1

    def _add_words(self, values: Sequence[Any]) -> None:
        """Count the words of a row, each once."""
        words = dict.fromkeys(to_words(values))
        self.unknown_rows += not self.classes.issuperset(words)
        for word in words:
            if word in self.classes or len(self.words) < WORDS_MAX:
                self.words[word] += 1

    def _is_element(self, value: Any) -> bool:
        """Return whether a value may be in an array."""
        if isinstance(value, float) and not isfinite(value):
            return False
        allowed = ("number",) if "numbers" in self.field.types else ("number", "text", "boolean")
        return value is None or _type(value) in allowed


@dataclass(slots=True)
class SpecCheck:
    """The result of checking a log against a spec.

    Attributes:
        rows: Number of rows read.
        events: Number of rows that are valid events.
        forgets: Number of rows that forget their key.
        filtered: Number of rows that ``event.only`` filters.
        skips: Number of skipped rows by reason.
        fields: Counts of each field of the spec, in rows that are neither filtered nor forgets.
        notes: Remarks on paths that no row has, a sentence each.
        problem: Why no row is an event; empty if one is.
        times: First and last event time of these rows; ``None`` if the spec has no event time.
    """

    rows: int
    events: int
    skips: Counter[str]
    fields: list[FieldCount]
    forgets: int = 0
    filtered: int = 0
    notes: list[str] = member(default_factory=list)
    problem: str = ""
    times: TimeSpan | None = None


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
    check = _Check(spec, settings)
    for batch in read_batches(path, spec, sort_by_time=sort_by_time):
        for first in range(0, len(batch), RECORDS_A_BATCH):
            left = rows_max - check.result.rows
            check.add(batch[first : first + min(RECORDS_A_BATCH, left)])
            if check.result.rows >= rows_max:
                return check.finish(name_of(path))
    return check.finish(name_of(path))


def _find_rounded(records: Sequence[LogRecord]) -> str:
    """Return a key that a spreadsheet has rounded; empty for none."""
    keys = (record.key.decode("utf-8", "replace") for record in records if record.key)
    return next(filter(_ROUNDED.search, keys), "")


class _Check:
    """Counts records, batch by batch."""

    def __init__(self, spec: FeatureSpec, settings: Settings) -> None:
        classes = _classes(spec)
        counts = [FieldCount(f, classes.get(f.path, frozenset())) for f in _fields(spec)]
        time = spec.event.time
        span = TimeSpan(time) if time else None
        self.result = SpecCheck(rows=0, events=0, skips=Counter(), fields=counts, times=span)
        self._get_time = value_getter(time.path, misplaced=()) if time else None
        self._decoder, self._encoder = Decoder(spec, settings), Encoder(spec)
        self._causes = Counter[str]()
        self._reasons, self._filtered = SkipReasons(spec, settings), FilteredRecords(spec, settings)
        unwrap = spec.event.unwrap
        self._get_event = value_getter(unwrap, misplaced=()) if unwrap else lambda content: content
        self._rounded_key = ""
        self._event_paths: dict[tuple[str, ...], bool] = {}
        self._record_paths = self._event_paths if unwrap is None else {}
        self._outside = [*spec.event.key_paths, *([time.path] if time and unwrap else [])]

    def add(self, records: Sequence[LogRecord]) -> None:
        """Count the next records."""
        result = self.result
        decoded = self._decoder.decode(records)
        _, errors = self._encoder.encode(decoded.columns, decoded.time_ms)
        skips = decoded.skips | {int(decoded.rows[i]): error for i, error in errors.items()}
        for row, error in skips.items():
            self._add_skip(records[row], error)
        self._filtered.add(records, decoded.filtered, skips)
        result.events += len(decoded.rows) - len(errors)
        result.forgets += len(decoded.forgets)
        result.filtered += len(decoded.filtered)
        outside = {*decoded.forgets, *decoded.filtered}
        for number, record in enumerate(records):
            if number in outside:
                continue
            content = parse_json(record.value or b"null")
            event = self._get_event(content)
            for count in result.fields:
                count.add(event)
            if result.times is not None and self._get_time is not None:
                result.times.add(self._get_time(content))
            if result.rows + number < PATH_ROWS_MAX:
                _add_paths(self._event_paths, event)
                if self._record_paths is not self._event_paths:
                    _add_paths(self._record_paths, content)
        result.rows += len(records)
        self._rounded_key = self._rounded_key or _find_rounded(records)

    def _add_skip(self, record: LogRecord, error: RecordError) -> None:
        self.result.skips[error.code] += 1
        if error.code in ("not_json", "framed"):
            self._causes[describe_value(record.value or b"")] += 1
        self._reasons.add(record, error)

    def finish(self, name: str) -> SpecCheck:
        """Return the result, with remarks on what no record has."""
        result = self.result
        for count in result.fields:
            if count.not_finite:
                result.notes.append(
                    f"{count.field.path}: {count.not_finite} rows have NaN or Infinity, which is no "
                    f"JSON, so they are skipped; {NAN_REMEDY}"
                )
            if (
                self._event_paths
                and not count.has
                and split_path(count.field.path) not in self._event_paths
            ):
                result.notes.append(_absence(count.field.path, self._event_paths))
        result.notes += [
            f"{rows} row{'s have' if rows > 1 else ' has'} {cause}"
            for cause, rows in self._causes.items()
            if cause
        ]
        if self._rounded_key:
            shown = printable(self._rounded_key, WORD_MAX)
            result.notes.append(f"there are keys such as {shown}: {ROUNDED_REMEDY}")
        result.notes += self._filtered.notes(has_events=result.events > 0)
        if not result.events:
            result.problem = self._reasons.explain(
                name, result.rows, result.filtered, result.forgets
            )
            known = self._record_paths
            absent = [path for path in self._outside if split_path(path) not in known]
            result.notes += [_absence(path, known) for path in absent] if known else []
        return result


def _add_paths(paths: dict[tuple[str, ...], bool], content: Any) -> None:
    for parts, is_array in list_paths(content).items():
        paths[parts] = paths.get(parts, False) or is_array


def _absence(path: str, known: dict[tuple[str, ...], bool]) -> str:
    """Return that no record has a path, why, and which near spellings records have."""
    parts = split_path(path)
    plain = tuple(_INDEX.sub("", part) for part in parts)  # sensors[0] names the array sensors
    for end in range(1, len(parts) + (plain != parts)):
        if known.get(parts[:end]) or (plain != parts and known.get(plain[:end])):
            return (
                f"{path}: no record can have it, for {join_path(plain[:end])} is an array, of "
                "which no path reads an element"
            )
    number = next((part for part in parts[1:] if part.isdecimal()), "")
    reason = f", and {number} does not read an element of an array" if number else ""
    spellings = near_paths(path, known)
    hint = f"; records have {', '.join(spellings)}" if spellings else ""
    return f"{path}: no record has it{reason}{hint}"


def _fields(spec: FeatureSpec) -> list[Field]:
    """Return the fields of a spec; one that heads alone read is parsed as they read it."""
    parsed = {head.path for head in spec.heads if head.parses}
    fields = spec.fields(with_targets=True)
    return [replace(f, parse=f.path in parsed) if f.is_label else f for f in fields]


def _classes(spec: FeatureSpec) -> dict[str, frozenset[str]]:
    classes: dict[str, frozenset[str]] = {}
    for feature in spec.features:
        if isinstance(feature, Categorical | MultiCategorical) and feature.vocabulary:
            classes[feature.path] = classes.get(feature.path, frozenset()) | set(feature.vocabulary)
    for head in spec.heads:
        if isinstance(head, Multiclass):
            classes[head.path] = classes.get(head.path, frozenset()) | set(head.classes)
    return classes


def _parse(value: Any, types: Collection[str]) -> Any:
    """Return what a value of a field with ``parse = true`` is read as."""
    try:
        return read_number(value) if "number" in types else read_boolean(value)
    except ValueError:
        return value


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "nested"
