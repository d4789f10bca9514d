"""Records that ``event.only`` filters or that lack their key: what they are, for messages."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.envelope import comparable
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.contents import Contents
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings
from stream_rnn.text import printable

VALUE_MAX = 60  # characters of a value in a message
VALUES_SHOWN = 3


class FilteredRecords:
    """Counts filtered records that are no objects, and keeps a value that a condition refuses.

    Args:
        spec: Feature spec.
        settings: Settings with the registry of framed records.
    """

    def __init__(self, spec: FeatureSpec, settings: Settings) -> None:
        event = spec.event
        self._contents = Contents(spec, settings)
        self._only = [
            (only, value_getter(only.path), set(map(comparable, only.values)))
            for only in event.only
        ]
        self._forget_when = event.forget_when
        self._no_objects = Counter[str]()
        self._refused: dict[str, str] = {}
        self._spellings: dict[str, str] = {}
        self._no_key_forgets = 0

    def add(
        self,
        records: Sequence[Record],
        filtered: Sequence[int],
        skips: Mapping[int, RecordError],
    ) -> None:
        """Count the filtered and the skipped ones of the next records.

        Args:
            records: Records.
            filtered: Rows that ``event.only`` filters.
            skips: Errors of the skipped rows.
        """
        for row in filtered:
            self._add_filtered(records[row])
        for row, error in skips.items():
            self._add_skipped(records[row], error)

    def _add_filtered(self, record: Record) -> None:
        content = self._contents.of(record)
        if not isinstance(content, dict):
            self._no_objects[_kind_of(content)] += 1
            return
        for only, get, values in self._only:
            value = get(content)
            if comparable(value) in values:
                continue
            seen = f"{only.path} is {_shown(value)} in record {record.offset}"
            listed = f"event.only has {', '.join(map(_shown, only.values[:VALUES_SHOWN]))}"
            self._refused.setdefault(only.path, f"{seen}, and {listed}")
            if meant := _meant(value, only.values):
                note = f"{seen}, and event.only has {_shown(meant)}: they are different values"
                self._spellings.setdefault(only.path, note)

    def _add_skipped(self, record: Record, error: RecordError) -> None:
        """Count a skipped record if it would forget its key, but has none."""
        if error.code != "no_key" or self._forget_when is None:
            return
        value = value_getter(self._forget_when.path)(self._contents.of(record))
        self._no_key_forgets += comparable(value) == comparable(self._forget_when.equals)

    def notes(self, *, has_events: bool) -> Iterator[str]:
        """Yield remarks, a sentence each without a full stop.

        Args:
            has_events: Whether any record is an event.
        """
        for kind, count in self._no_objects.most_common():
            yield f"{count} filtered records are no objects, but {kind}; write one object a record"
        yield from (self._spellings if has_events else self._refused | self._spellings).values()
        if self._no_key_forgets:
            yield (
                f"{self._no_key_forgets} of no_key meet event.forget_when: a deletion has its key "
                'in another field; name both, as in key = [["after.id", "before.id"]]'
            )


def _meant(value: Any, values: tuple[Any, ...]) -> Any:
    """Return the value of a condition that another value may stand for: a spelling of it."""
    if value is None:
        return None
    plain = str(value).strip().casefold()
    return next((other for other in values if str(other).strip().casefold() == plain), None)


def _kind_of(content: Any) -> str:
    if isinstance(content, list):
        return "arrays"
    if isinstance(content, str):
        return (
            "texts with JSON inside" if isinstance(parse_json(content.encode()), dict) else "texts"
        )
    return "null" if content is None else "plain values"


def _shown(value: Any) -> str:
    if value is None:
        return "missing or null"
    return printable(json.dumps(value, ensure_ascii=False), VALUE_MAX)
