"""Why no record of a log is an event: the commonest reason, with its field and one value."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from difflib import get_close_matches
from typing import Any

from stream_rnn.errors import RecordError
from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.encoder import Encoder
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.paths import join_path, split_path
from stream_rnn.replay.contents import Contents
from stream_rnn.replay.filtered import FilteredRecords
from stream_rnn.replay.logs import Log
from stream_rnn.settings import Settings
from stream_rnn.text import printable

RECORDS_MAX = 10_000  # records that are read once more to find the reason
PATHS_MAX = 2_000
DEPTH_MAX = 32
VALUE_MAX = 60  # characters of a value in a message
SPELLINGS_MAX = 3


def field_advice(topic: str | None) -> str:
    """Return the command that shows which fields do not fit, as a part of a sentence.

    Args:
        topic: Topic of the records; ``None`` if they are rows of a file.
    """
    if topic is None:
        return "stream-rnn spec check counts each field"
    return f"compare the spec with the one that stream-rnn spec init --topic {topic} proposes"


class SkipReasons:
    """The skipped records of a log, counted by reason and field, with an example of each.

    Args:
        spec: Feature spec.
        settings: Settings with the registry of framed records.
    """

    def __init__(self, spec: FeatureSpec, settings: Settings) -> None:
        self._contents = Contents(spec, settings)
        unwrap = spec.event.unwrap
        self._get_event = value_getter(unwrap) if unwrap else lambda value: value
        self._key_path = next(iter(spec.event.key_paths), "")
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], tuple[Record, RecordError]] = {}

    def add(self, record: Record, error: RecordError) -> None:
        """Count a skipped record."""
        path, colon, _ = str(error).partition(": ")
        path = path if colon and path != "the value" else ""
        reason = error.code, self._key_path if error.code == "no_key" else path
        self._counts[reason] += 1
        self._examples.setdefault(reason, (record, error))

    def explain(
        self, name: str, records: int, filtered: int, forgets: int, topic: str | None = None
    ) -> str:
        """Return why none of the records is an event.

        Args:
            name: Name of the log.
            records: Number of records.
            filtered: Number of records that ``event.only`` filters.
            forgets: Number of records that forget their key.
            topic: Topic of the log; ``None`` if it is a file.
        """
        start = f"no record of {name} is a valid event"
        if not records:
            return f"{start}: it has no record"
        others = [f"{filtered} filtered by event.only"] * (filtered > 0)
        others += [f"{forgets} that forget their key"] * (forgets > 0)
        if not self._counts:
            return f"{start}: of {records} records, {' and '.join(others)}"
        (reason, count), *rest = self._counts.most_common()
        record, error = self._examples[reason]
        others = [f"{code} {n}{f' at {path}' * bool(path)}" for (code, path), n in rest] + others
        more = f"; besides {', '.join(others)}" if others else ""
        return (
            f"{start}: {count} of {records} are skipped because of {error.code}: {error}"
            f"{self._example(record, reason[1])}{more}; {field_advice(topic)}"
        )

    def _example(self, record: Record, path: str) -> str:
        """Return the value of a record at a path, or the record itself, for a message."""
        place = f"; in record {record.offset}, "
        content = self._contents.of(record)
        if content is None:
            text = (record.value or b"").decode("utf-8", "replace")
            return f"{place}the value is {printable(text, VALUE_MAX)}"
        try:
            parts = split_path(path)
        except ValueError:
            parts = ()
        values = (value_getter(join_path(parts))(c) for c in (self._get_event(content), content))
        value = next((v for v in values if v is not None), None) if parts else content
        if value is None:
            spellings = near_paths(path, list_paths(self._get_event(content)))
            hint = f"; it has {' and '.join(spellings)}" if spellings else ""
            return f"{place}{path} is missing or null{hint}"
        text = printable(json.dumps(value, ensure_ascii=False), VALUE_MAX)
        return f"{place}{path or 'the value'} is {text}"


async def explain_no_event(log: Log, spec: FeatureSpec, settings: Settings) -> str:
    """Return why none of the first records of a log is an event.

    Args:
        log: Log to read; already opened.
        spec: Feature spec.
        settings: Settings of the fold.
    """
    decoder, encoder, reasons = Decoder(spec, settings), Encoder(spec), SkipReasons(spec, settings)
    outside = FilteredRecords(spec, settings)
    read = filtered = forgets = 0
    for log_range in await log.ranges():
        if read >= RECORDS_MAX:
            break
        async with aclosing(log.batches(log_range)) as batches:
            async for batch in batches:
                records = batch[: RECORDS_MAX - read]
                decoded = decoder.decode(records)
                _, errors = encoder.encode(decoded.columns, decoded.time_ms)
                skipped = decoded.skips | {int(decoded.rows[i]): e for i, e in errors.items()}
                for row, error in skipped.items():
                    reasons.add(records[row], error)
                outside.add(records, decoded.filtered, skipped)
                read += len(records)
                filtered += len(decoded.filtered)
                forgets += len(decoded.forgets)
                if read >= RECORDS_MAX:
                    break
    notes = "".join(f"; {note}" for note in outside.notes(has_events=False))
    topic = getattr(log, "topic", None)
    return reasons.explain(log.name, read, filtered, forgets, topic) + notes


def list_paths(content: Any) -> dict[tuple[str, ...], bool]:
    """Return the paths of an object, objects included, and whether an array is at each."""
    paths: dict[tuple[str, ...], bool] = {}
    stack: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while stack and len(paths) < PATHS_MAX:
        parts, value = stack.pop()
        if parts:
            paths[parts] = isinstance(value, list)
        if isinstance(value, dict) and len(parts) < DEPTH_MAX:
            stack += [((*parts, name), inner) for name, inner in value.items()]
    return paths


def near_paths(
    path: str, known: Sequence[tuple[str, ...]] | dict[tuple[str, ...], bool]
) -> list[str]:
    """Return known paths that somebody may have meant by a path.

    Example:
        >>> near_paths("Temp", [("temp",), ("data", "temp"), ("load",)])
        ['temp', 'data.temp']
        >>> near_paths("http.status_code", [("http.status_code",)])
        ['"http.status_code"']
    """
    by_form: dict[str, list[str]] = {}
    for parts in known:
        for form in {"".join(parts[-1:]), ".".join(parts)}:
            by_form.setdefault(_plain(form), []).append(join_path(parts))
    wanted = _plain(path)
    last = _plain(path.rpartition(".")[2])
    forms = [wanted, last, *get_close_matches(wanted, by_form, SPELLINGS_MAX, 0.75)]
    found = [spelling for form in forms for spelling in sorted(by_form.get(form, []), key=len)]
    return [spelling for spelling in dict.fromkeys(found) if spelling != path][:SPELLINGS_MAX]


def _plain(name: str) -> str:
    """Return a name without the letters that spellings of it differ in."""
    return "".join(letter for letter in name.casefold() if letter not in "_- \"'")
