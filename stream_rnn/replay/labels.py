"""Labels that do not stand in the events: a file, joined by place or by an id.

A labels file is a .jsonl, .csv or .parquet file with a column for each head of ``of = "label"``,
named as the head's path.  Its rows are joined to events

    by place  columns ``offset`` and, for a topic, ``partition``, which only a topic of one
              partition can do without; of a file the offset is the row
    by id     a column that is named as ``--labels-by`` says; the event holds the same field

Of several rows for one event the last one counts: labels may be corrected by appending.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from stream_rnn.errors import ConfigError
from stream_rnn.fold.events import Record
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead
from stream_rnn.replay.files import read_frames


@dataclass(frozen=True)
class Labels:
    """Labels of a log's events.

    Attributes:
        by: dotted path of the id in an event; ``None``: joined by place.
        values: head -> id, or (partition, offset), or offset -> label.
        has_partitions: whether places name the partition.
    """

    by: str | None
    values: dict[str, dict[Any, Any]]
    has_partitions: bool = False

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

    def of(self, partition: int, records: Sequence[Record]) -> dict[str, list[Any]]:
        """Return for each head the labels of some records, ``None`` where there is none."""
        if self.by is not None:
            places: list[Any] = [value_at(record.value, self.by) for record in records]
        elif self.has_partitions:
            places = [(partition, record.offset) for record in records]
        else:
            places = [record.offset for record in records]
        return {name: [found.get(place) for place in places] for name, found in self.values.items()}


def read_labels(path: Path | None, by: str | None, spec: FeatureSpec) -> Labels:
    """Read a labels file.

    Args:
        path: of the file; ``None``: there is none, and no head may need one.
        by: dotted path of the id in an event; ``None``: joined by place.
        spec: its heads of labels name the columns.

    Raises:
        ConfigError: the file lacks a column, or a head lacks the file.
    """
    heads = [head for head in spec.heads if head.of == "label"]
    if path is None:
        if heads:
            names = ", ".join(head.name for head in heads)
            raise ConfigError(f"head {names}: of = label needs a labels file; give --labels")
        return Labels(by, {})
    if not heads:
        raise ConfigError(f"--labels {path}: the spec has no head with of = label that needs it")
    values: dict[str, dict[Any, Any]] = {head.name: {} for head in heads}
    has_partitions = False
    for frame in read_frames(path):
        _check_columns(path, by, heads, frame.columns)
        has_partitions = by is None and "partition" in frame.columns
        places = [by] if by else ["partition", "offset"] if has_partitions else ["offset"]
        rows = zip(*(frame[name].to_list() for name in places), strict=True)
        keys = list(rows) if has_partitions else [row[0] for row in rows]
        for head in heads:
            values[head.name].update(zip(keys, frame[str(head.path)].to_list(), strict=True))
    return Labels(by, values, has_partitions)


def _check_columns(
    path: Path, by: str | None, heads: Sequence[AnyHead], columns: Sequence[str]
) -> None:
    for name in [by or "offset", *(str(head.path) for head in heads)]:
        if name not in columns:
            has = ", ".join(columns[:20])
            raise ConfigError(f"labels {path}: no column {name}; it has {has}")


def value_at(value: bytes | None, path: str) -> Any:
    """Return what a record's JSON holds at a dotted path; ``None`` if it is nothing plain."""
    try:
        found = orjson.loads(value or b"null")
    except orjson.JSONDecodeError:
        return None
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, str | int | float | bool) else None
