"""The first records of a topic as columns, with what their schemas say of them."""

from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from stream_rnn.errors import ConfigError, RecordError
from stream_rnn.fold.framed import FramedRecords
from stream_rnn.fold.record_limits import not_json
from stream_rnn.fold.records import Record
from stream_rnn.formats.open_schemas import open_schemas
from stream_rnn.formats.schemas import Schemas
from stream_rnn.model.event import Event
from stream_rnn.replay.logs import TopicLog
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings
from stream_rnn.spec.columns import Column
from stream_rnn.spec.sample import ROWS_MIN, Sample, object_sample
from stream_rnn.spec.schema_fields import SchemaField, fields_of, merge_fields

KEY_NAME = "(key of the record)"
INDEX_BYTES = 4
PLACES_MAX = 1000


@dataclass(slots=True)
class _Row:
    """A record whose value is an object.

    Attributes:
        time_ms: Greatest timestamp of its partition so far, which orders the partitions.
        key: Key of the record.
        content: Its object.
    """

    time_ms: int
    key: bytes | None
    content: dict[str, Any]


@dataclass(slots=True)
class _Reader:
    """Reads the contents of records, and the fields of the schemas that they name."""

    schemas: Schemas | None
    framed: FramedRecords | None
    fields: dict[tuple[str, ...], SchemaField] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    seen: set[Any] = field(default_factory=set)

    def content(self, record: Record) -> Any:
        """Return the content of a record; ``None`` if it is no object, which is counted."""
        value = record.value
        if value is None:
            self.wrong["without a value, which forgets a key"] += 1
            return None
        try:
            content = self._parse(record, value)
        except RecordError as error:
            self.wrong[f"with a value that cannot be read ({error.code}: {error})"] += 1
            return None
        if not isinstance(content, dict):
            self.wrong["with a value that is no object"] += 1
            return None
        return content

    def _parse(self, record: Record, value: bytes) -> Any:
        frames = None if self.framed is None else self.framed.frames([record], [value])
        if self.framed is not None and self.schemas is not None and frames and frames[0]:
            frame = frames[0]
            content = self.framed.content(value, frame)
            schema = self.schemas.get(frame.schema_id)
            is_one_of_many = schema.kind == "PROTOBUF"  # messages, whose indexes begin the value
            place = frame.schema_id, value[: frame.skip + INDEX_BYTES] if is_one_of_many else b""
            if place not in self.seen and len(self.seen) < PLACES_MAX:
                self.seen.add(place)
                self.fields = merge_fields(self.fields, fields_of(schema, value, frame))
            return content
        content = parse_json(value)
        if content is None and value != b"null":
            raise not_json(value, record.headers)
        return content


async def read_topic_sample(settings: Settings, topic: str, rows: int) -> Sample:
    """Read the first records of each partition of a topic.

    Args:
        settings: Settings with the connections to Kafka and to the schema registry.
        topic: Name of the topic.
        rows: Maximum number of records to read.

    Raises:
        ConfigError: The topic does not exist, or has fewer than two objects.
        UnreachableError: Kafka does not answer.
        UnavailableError: The schema registry does not answer.
    """
    schemas = open_schemas(settings)
    framed = None if schemas is None else FramedRecords([], Event(), schemas, fetches=True)
    reader = _Reader(schemas, framed)
    found: list[_Row] = []
    async with TopicLog(settings, topic) as log:
        ranges = await log.ranges()
        for source_range in ranges:
            found += await _read_range(log, source_range, rows // len(ranges) + 1, reader)
    found.sort(key=lambda row: row.time_ms)  # stable: a partition keeps its order
    if len(found) < ROWS_MIN:
        said = "; ".join(f"{count} {what}" for what, count in reader.wrong.most_common(3))
        raise ConfigError(
            f"topic {topic}: a proposal needs at least {ROWS_MIN} records that are objects, better "
            f"thousands; the topic has {len(found)}{f', and {said}' if said else ''}"
        )
    reasons = tuple(
        f"Left out of the sample: {n} {what}." for what, n in reader.wrong.most_common(3)
    )
    sample = object_sample(
        [row.content for row in found], reasons, reader.fields, "the schemas of the registry"
    )
    return _with_key(replace(sample, is_topic=True), [row.key for row in found])


async def _read_range(log: TopicLog, source_range: Any, count: int, reader: _Reader) -> list[_Row]:
    rows: list[_Row] = []
    time_ms, read = 0, 0
    async with aclosing(log.batches(source_range)) as batches:
        async for records in batches:
            for record in records[: count - read]:
                time_ms = max(time_ms, record.timestamp)
                content = reader.content(record)
                if content is not None:
                    rows.append(_Row(time_ms, record.key, content))
            read += len(records)
            if read >= count:
                break
    return rows


def _with_key(sample: Sample, keys: Sequence[bytes | None]) -> Sample:
    """Return a sample whose key is that of the records: the field that repeats it, or no field."""
    texts = [None if key is None else key.decode("utf-8", "backslashreplace") for key in keys]
    series = pl.Series(texts, dtype=pl.String)
    same = [
        column
        for column in sample.columns
        if column.kind in ("text", "integer") and column.words.equals(series)
    ]
    if same:
        note = f"The key of every record is its field {same[0].path}."
        return replace(sample, key=(same[0].path,), reasons=(*sample.reasons, note))
    key = Column((KEY_NAME,), "text", series, is_record_key=True)
    note = (
        "No field repeats the key of the records. A topic needs no key here; to read a file of such "
        "events, name the fields of its key."
    )
    return replace(
        sample, columns=(*sample.columns, key), key=(key.path,), reasons=(*sample.reasons, note)
    )
