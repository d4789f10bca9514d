"""Labels from a separate file, joined to the events of a log by place or by an id.

A labels file is a .jsonl, .csv, .parquet or .avro file with a column for each head with ``of = "label"``,
named like the path of the head.  Its rows are joined to events

    by place  The file has the columns ``offset`` and, for a topic of several partitions,
              ``partition``.  The offset of an event of a file is the number of its row.
    by id     The file has the column that ``--labels-by`` names, and events have the same field.

If several rows join one event, the last row counts, so labels can be corrected by appending rows.
A row without a place or id joins no event, and an event without an id has no label.  Ids are
compared as texts: the number 7 is the id ``7``, and the text ``007`` is another one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from stream_rnn.errors import ConfigError
from stream_rnn.fold.decoder import Record
from stream_rnn.fold.fields import value_getter
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass
from stream_rnn.model.paths import split_path
from stream_rnn.replay.contents import Contents
from stream_rnn.replay.frame_rows import Rows, name_of
from stream_rnn.training.label_rows import LabelColumn, read_label_rows

NUMBERS = frozenset({"number"})
FLAGS = frozenset({"number", "boolean"})
SCALARS = frozenset({"text", "number", "boolean"})


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

    def check(self, log: str, partitions: int, *, is_sorted: bool = False) -> None:
        """Check that offsets name events: with their partition, and in the order of the file.

        Args:
            log: Name of the log.
            partitions: Number of partitions of the topic; 0 for a file, whose offsets are its
                row numbers and so differ in all partitions.
            is_sorted: Whether the rows of a file are sorted by time, which changes their numbers.

        Raises:
            ConfigError: The labels do not name the partition, or the rows have other numbers.
        """
        if self.values and self.by is None and is_sorted:
            raise ConfigError(
                f"--labels: an offset is the number of a row of {log}, which --sort-by-time "
                "changes; join by an id with --labels-by"
            )
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
        raise ConfigError(
            f"labels {self.file}: 0 of {len(labels)} labels joined an event of {log}: the first "
            f"{id_name} in the labels is {self._describe(next(iter(labels)))}, in the events "
            f"{self._describe(self.first_event)}; check that the labels belong to this log, and to "
            "the range that is read"
        )

    def of(
        self, partition: int, records: Sequence[Record], contents: Contents
    ) -> dict[str, list[Any]]:
        """Return the labels of some records for each head; ``None`` for a record without one."""
        if self.by is not None:
            places: list[Any] = [
                _id_text(value_at(contents.of(record), self.id_path)) for record in records
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
        """Return a place or id as text."""
        if self.by is None:
            return (
                "partition {} offset {}".format(*place)
                if self.has_partitions
                else f"offset {place}"
            )
        return repr(place)


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

    def columns(names: Sequence[str]) -> list[LabelColumn]:
        nonlocal has_partitions
        has_partitions = by is None and "partition" in names
        places = _place_columns(_column(by, names) if by else None, has_partitions)
        return [*places, *(_label_column(head, names) for head in heads)]

    for needed, rows in read_label_rows(path, columns, spec.file):
        count = 1 + has_partitions
        places = [rows[column.name] for column in needed[:count]]
        keys: list[Any] = list(zip(*places, strict=True)) if has_partitions else places[0]
        keys = list(map(_id_text, keys)) if by else keys
        is_complete = [None not in (key if has_partitions else (key,)) for key in keys]
        for head, column in zip(heads, needed[count:], strict=True):
            labels = zip(keys, map(head.read, rows[column.name]), is_complete, strict=True)
            values[head.name].update((key, label) for key, label, is_whole in labels if is_whole)
    return Labels(by, values, has_partitions, file=name_of(path), id_path=id_path)


def _column(path: str, names: Collection[str]) -> str:
    """Return the column of a labels file for a path, which may quote a name that has a dot."""
    return path if path in names else ".".join(split_path(path))


def _place_columns(by: str | None, has_partitions: bool) -> list[LabelColumn]:
    """Return the columns that name an event."""
    if by is not None:
        return [LabelColumn(by, "an id is", "text, a number, or true or false", SCALARS, "id")]
    names = ("partition", "offset") if has_partitions else ("offset",)
    return [LabelColumn(name, "it must contain", "whole numbers", NUMBERS) for name in names]


def _label_column(head: AnyHead, names: Collection[str]) -> LabelColumn:
    name, rule = _column(str(head.path), names), f"head {head.name} accepts"
    if isinstance(head, Multiclass):
        return LabelColumn(name, rule, "text, numbers, or true and false", SCALARS, "word")
    if head.parses:
        return LabelColumn(name, rule, "text, numbers, or true and false", SCALARS)
    return LabelColumn(name, rule, "numbers, or true and false", FLAGS)


def _id_text(value: Any) -> str | None:
    """Return an id as text, in which 7.0 is 7, as pandas writes integers beside missing values.

    Example:
        >>> [_id_text(value) for value in ("007", 7, 7.0, True)]
        ['007', '7', '7', 'true']
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def value_at(content: Any, path: str) -> Any:
    """Return the value at a path of a record's content; ``None`` if it is not a scalar."""
    field = value_getter(path)(content)
    return field if isinstance(field, str | int | float | bool) else None
