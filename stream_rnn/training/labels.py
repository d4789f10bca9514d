"""Labels that do not stand in the events: a file, joined by place or by an id.

A labels file is a .jsonl, .csv or .parquet file with a column for each head of ``of = "label"``,
named as the head's path.  Its rows are joined to events

    by place  columns ``offset`` and, for a topic, ``partition``, which only a topic of one
              partition can do without; of a file the offset is the row
    by id     a column that is named as ``--labels-by`` says; the event holds the same field

Of several rows for one event the last one counts: labels may be corrected by appending.  A row
without a place or id is nobody's, and so is no label that of an event without one.
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
from stream_rnn.replay.files import Rows, name_of, read_frames

TEXT = (pl.String, pl.Categorical, pl.Enum)
Kinds = tuple[type[pl.DataType], ...]
WORDS = {bool: "true or false", int: "integer", float: "number", str: "text"}


@dataclass(slots=True)
class Labels:
    """Labels of a log's events.

    Attributes:
        by: dotted path of the id in an event; ``None``: joined by place.
        values: head -> id, or (partition, offset), or offset -> label.
        has_partitions: whether places name the partition.
        file: its name.
        first_event: the place or id of the first event that was asked for and has one.
        joined: how many events were found in the file so far.
    """

    by: str | None
    values: dict[str, dict[Any, Any]]
    has_partitions: bool = False
    file: str = ""
    first_event: Any = None
    joined: int = 0

    def check(self, log: str, partitions: int) -> None:
        """Refuse places that do not name the partition where several hold the same offsets.

        Args:
            log: its name.
            partitions: how many number their offsets on their own; the offset of a file's event is
                the number of its row, whatever the partition.

        Raises:
            ConfigError: they do not.
        """
        if self.values and self.by is None and not self.has_partitions and partitions > 1:
            raise ConfigError(
                f"--labels: no column partition, but {log} has {partitions} partitions, and an "
                "offset names a record in each; add the column partition beside offset, or join by "
                "an id with --labels-by"
            )

    def check_joined(self, log: str) -> None:
        """Refuse labels of which none is of an event, once all events were asked for.

        Args:
            log: its name.

        Raises:
            ConfigError: none is; the message shows how labels and events name an event.
        """
        if not self.values or self.joined:
            return
        named = self.by or "place"
        found = next(iter(self.values.values()))
        if not found:
            raise ConfigError(
                f"labels {self.file}: no row has a value in the column {self.by or 'offset'}"
            )
        if self.first_event is None:
            raise ConfigError(
                f"labels {self.file}: no event of {log} has text, a number, or true or false at "
                f"{named}; name the field that events and labels share with --labels-by"
            )
        remedy = (
            "a .csv file's digits are read as a number; .jsonl and .parquet keep text as text"
            if isinstance(self.first_event, str)
            else "give the labels of this log, and of the range that is read"
        )
        raise ConfigError(
            f"labels {self.file}: 0 of {len(found)} labels joined an event of {log}: the first "
            f"{named} in the labels is {self._said(next(iter(found)))}, in the events "
            f"{self._said(self.first_event)}; {remedy}"
        )

    def of(self, partition: int, records: Sequence[Record]) -> dict[str, list[Any]]:
        """Return for each head the labels of some records, ``None`` where there is none."""
        if self.by is not None:
            places: list[Any] = [_as_key(value_at(record.value, self.by)) for record in records]
        elif self.has_partitions:
            places = [(partition, record.offset) for record in records]
        else:
            places = [record.offset for record in records]
        if self.first_event is None:
            self.first_event = next((place for place in places if place is not None), None)
        if self.values:
            known = next(iter(self.values.values()))
            self.joined += sum(place in known for place in places)
        return {name: [found.get(place) for place in places] for name, found in self.values.items()}

    def _said(self, place: Any) -> str:
        """Say how an event is named, and of which type the name is."""
        if self.by is None:
            return (
                "partition {} offset {}".format(*place)
                if self.has_partitions
                else f"offset {place}"
            )
        value = place[0] if isinstance(place, tuple) else place
        return f"{value!r} ({WORDS.get(type(value), type(value).__name__)})"


def read_labels(path: Rows | None, by: str | None, spec: FeatureSpec) -> Labels:
    """Read a labels file.

    Args:
        path: of the file, or a data frame; ``None``: there is none, and no head may need one.
        by: dotted path of the id in an event; ``None``: joined by place.
        spec: its heads of labels name the columns.

    Raises:
        ConfigError: the file lacks a column, or one holds what is no label or id, or a head lacks
            the file.
    """
    heads = [head for head in spec.heads if head.of == "label"]
    if path is None:
        if heads:
            names = ", ".join(head.name for head in heads)
            raise ConfigError(f"head {names}: of = label needs a labels file; give --labels")
        return Labels(by, {})
    if not heads:
        raise ConfigError(
            f"--labels {name_of(path)}: the spec has no head with of = label that needs it"
        )
    values: dict[str, dict[Any, Any]] = {head.name: {} for head in heads}
    has_partitions = False
    for frame in read_frames(path, "labels"):
        has_partitions = by is None and "partition" in frame.columns
        places = [by] if by else ["partition", "offset"] if has_partitions else ["offset"]
        _check_columns(name_of(path), places, by is not None, heads, frame.schema)
        placed = frame.drop_nulls(places)
        rows = list(zip(*(placed[name].to_list() for name in places), strict=True))
        keys = rows if has_partitions else [_as_key(row[0]) for row in rows]
        for head in heads:
            values[head.name].update(zip(keys, placed[str(head.path)].to_list(), strict=True))
    return Labels(by, values, has_partitions, file=name_of(path))


def _check_columns(
    path: str, places: Sequence[str], is_id: bool, heads: Sequence[AnyHead], schema: pl.Schema
) -> None:
    """Refuse a file that lacks a column, or of which one holds something else than it is to."""
    place: tuple[str, str, Kinds] = ("it is to hold", "whole numbers", ())
    if is_id:
        place = "an id is", "text, a number, or true or false", (*TEXT, pl.Boolean)
    wanted = [(name, *place) for name in places]
    for head in heads:
        may_be_text = isinstance(head, Multiclass)
        takes = "text, numbers, or true and false" if may_be_text else "numbers, or true and false"
        kinds: Kinds = (*TEXT, pl.Boolean) if may_be_text else (pl.Boolean,)
        wanted.append((str(head.path), f"head {head.name} takes", takes, kinds))
    for name, who, takes, kinds in wanted:
        if name not in schema:
            has = ", ".join(list(schema)[:20])
            raise ConfigError(f"labels {path}: no column {name}; it has {has}")
        dtype = schema[name]
        if not (dtype.is_numeric() or isinstance(dtype, (pl.Null, *kinds))):
            holds = "text" if isinstance(dtype, TEXT) else f"values of the type {dtype}"
            raise ConfigError(f"labels {path}: the column {name} holds {holds}; {who} {takes}")


def _as_key(value: Any) -> Any:
    """Return an id as a key of a dictionary, where true is not 1."""
    return (value,) if isinstance(value, bool) else value


def value_at(value: bytes | None, path: str) -> Any:
    """Return what a record's JSON holds at a dotted path; ``None`` if it is nothing plain."""
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    found = value_getter(path)(found)
    return found if isinstance(found, str | int | float | bool) else None
