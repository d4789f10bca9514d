"""Labels from a separate file, joined to the events of a log by place or by an id.

A labels file is a .jsonl, .csv or .parquet file with a column for each head with ``of = "label"``,
named like the path of the head.  Its rows are joined to events

    by place  The file has the columns ``offset`` and, for a topic of several partitions,
              ``partition``.  The offset of an event of a file is the number of its row.
    by id     The file has the column that ``--labels-by`` names, and events have the same field.

If several rows join one event, the last row counts, so labels can be corrected by appending rows.
A row without a place or id joins no event, and an event without an id has no label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.paths import split_path
from stream_rnn.replay.files import Rows, name_of, read_frames

TEXT = (pl.String, pl.Categorical, pl.Enum)
Kinds = tuple[type[pl.DataType], ...]
TYPE_NAMES = {bool: "true or false", int: "integer", float: "number", str: "text"}


@dataclass(slots=True)
class Labels:
    """The labels of a log's events.

    Attributes:
        by: Path of the id, for messages; ``None`` joins by place.
        values: Labels of each head by id, by (partition, offset) or by offset.
        has_partitions: Whether the labels file has a column ``partition``.
        file: Name of the labels file.
        first_event: Place or id of the first event that has one.
        joined: Number of events that have joined a row of the file.
        id_path: Path from a record to the id in the event.
    """

    by: str | None
    values: dict[str, dict[Any, Any]]
    has_partitions: bool = False
    file: str = ""
    first_event: Any = None
    joined: int = 0
    id_path: str = ""

    def check(self, log: str, partitions: int) -> None:
        """Check that the labels name the partition if several partitions have the same offsets.

        Args:
            log: Name of the log.
            partitions: Number of partitions of the topic; 0 for a file, whose offsets are its
                row numbers and so differ in all partitions.

        Raises:
            ConfigError: The labels do not name the partition.
        """
        if self.values and self.by is None and not self.has_partitions and partitions > 1:
            raise ConfigError(
                f"--labels: no column partition, but {log} has {partitions} partitions, and each "
                "has a record with the same offset; add the column partition beside offset, or "
                "join by an id with --labels-by"
            )

    def check_joined(self, log: str) -> None:
        """Check, after all events are read, that at least one label has joined an event.

        Args:
            log: Name of the log.

        Raises:
            ConfigError: No label has joined one; the message shows the first place or id of each.
        """
        if not self.values or self.joined:
            return
        id_name = self.by or "place"
        labels = next(iter(self.values.values()))
        if not labels:
            raise ConfigError(
                f"labels {self.file}: no row has a value in the column {self.by or 'offset'}"
            )
        if self.first_event is None:
            raise ConfigError(
                f"labels {self.file}: no event of {log} has text, a number, or true or false at "
                f"{id_name}; use --labels-by to name a field that events and labels share"
            )
        remedy = (
            "a .csv file's digits are read as a number; .jsonl and .parquet keep text as text"
            if isinstance(self.first_event, str)
            else "check that the labels belong to this log, and to the range that is read"
        )
        raise ConfigError(
            f"labels {self.file}: 0 of {len(labels)} labels joined an event of {log}: the first "
            f"{id_name} in the labels is {self._describe(next(iter(labels)))}, in the events "
            f"{self._describe(self.first_event)}; {remedy}"
        )

    def of(self, partition: int, records: Sequence[Record]) -> dict[str, list[Any]]:
        """Return the labels of some records for each head; ``None`` for a record without one."""
        if self.by is not None:
            places: list[Any] = [
                _as_key(value_at(record.value, self.id_path)) for record in records
            ]
        elif self.has_partitions:
            places = [(partition, record.offset) for record in records]
        else:
            places = [record.offset for record in records]
        if self.first_event is None:
            self.first_event = next((place for place in places if place is not None), None)
        if self.values:
            known = next(iter(self.values.values()))
            self.joined += sum(place in known for place in places)
        return {
            name: [labels.get(place) for place in places] for name, labels in self.values.items()
        }

    def _describe(self, place: Any) -> str:
        """Return a place or id as text, an id with its type."""
        if self.by is None:
            return (
                "partition {} offset {}".format(*place)
                if self.has_partitions
                else f"offset {place}"
            )
        value = place[0] if isinstance(place, tuple) else place
        return f"{value!r} ({TYPE_NAMES.get(type(value), type(value).__name__)})"


def read_labels(path: Rows | None, by: str | None, spec: FeatureSpec) -> Labels:
    """Read a labels file.

    Args:
        path: Path of the file, or a data frame; ``None`` if no head needs one.
        by: Path of the id in an event; ``None`` joins by place.
        spec: Feature spec, whose heads with ``of = "label"`` name the columns.

    Raises:
        ConfigError: The file lacks a column or has one of an unsuitable type, a head needs a file
            and there is none, or there is a file and no head needs it.
    """
    heads = [head for head in spec.heads if head.of == "label"]
    id_path = spec.event.path_of(by) if by else ""
    if path is None:
        if heads:
            names = ", ".join(head.name for head in heads)
            raise ConfigError(f'head {names}: of = "label" needs a labels file; give --labels')
        return Labels(by, {}, id_path=id_path)
    if not heads:
        raise ConfigError(
            f'--labels {name_of(path)}: the spec has no head with of = "label" that needs it'
        )
    values: dict[str, dict[Any, Any]] = {head.name: {} for head in heads}
    has_partitions = False
    for frame in read_frames(path, "labels"):
        has_partitions = by is None and "partition" in frame.columns
        places = ["partition", "offset"] if has_partitions else ["offset"]
        places = [_column(by, frame.schema)] if by else places
        _check_columns(name_of(path), places, by is not None, heads, frame.schema)
        complete = frame.drop_nulls(places)
        rows = list(zip(*(complete[name].to_list() for name in places), strict=True))
        keys = rows if has_partitions else [_as_key(row[0]) for row in rows]
        for head in heads:
            column = complete[_column(str(head.path), frame.schema)].to_list()
            values[head.name].update(zip(keys, map(head.read, column), strict=True))
    return Labels(by, values, has_partitions, file=name_of(path), id_path=id_path)


def _column(path: str, schema: pl.Schema) -> str:
    """Return the column of a labels file for a path, which may quote a name that has a dot."""
    return path if path in schema else ".".join(split_path(path))


def _check_columns(
    path: str, places: Sequence[str], is_id: bool, heads: Sequence[AnyHead], schema: pl.Schema
) -> None:
    """Check that a labels file has all columns, each with a suitable type."""
    place: tuple[str, str, Kinds] = ("it must contain", "whole numbers", ())
    if is_id:
        place = "an id is", "text, a number, or true or false", (*TEXT, pl.Boolean)
    required = [(name, *place) for name in places]
    for head in heads:
        may_be_text = isinstance(head, Multiclass) or head.parses
        types = "text, numbers, or true and false" if may_be_text else "numbers, or true and false"
        kinds: Kinds = (*TEXT, pl.Boolean) if may_be_text else (pl.Boolean,)
        required.append(
            (_column(str(head.path), schema), f"head {head.name} accepts", types, kinds)
        )
    for name, rule, types, kinds in required:
        if name not in schema:
            has = ", ".join(list(schema)[:20])
            raise ConfigError(f"labels {path}: no column {name}; it has {has}")
        dtype = schema[name]
        if not (dtype.is_numeric() or isinstance(dtype, (pl.Null, *kinds))):
            content = "text" if isinstance(dtype, TEXT) else f"values of the type {dtype}"
            raise ConfigError(f"labels {path}: the column {name} has {content}; {rule} {types}")


def _as_key(value: Any) -> Any:
    """Return an id as a dictionary key for which ``True`` differs from 1."""
    return (value,) if isinstance(value, bool) else value


def value_at(value: bytes | None, path: str) -> Any:
    """Return the value at a path of a record's JSON; ``None`` if it is not a scalar."""
    try:
        content = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    field = value_getter(path)(content)
    return field if isinstance(field, str | int | float | bool) else None
