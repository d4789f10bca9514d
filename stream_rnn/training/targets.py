"""The targets of the heads, decoded from the records of a log.

Each head has a decoder of its own, which reads only records that are folded.  If a value does not
fit its head, only this label is missing; the event and its other labels remain.  Training and
evaluation both use this module, so that a label means the same in both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_rnn.fold.decoder import Decoder, Record
from stream_rnn.fold.envelope import Envelope
from stream_rnn.fold.framed import open_framed
from stream_rnn.fold.rounds import latest_before
from stream_rnn.model.features import FeatureSpec
from stream_rnn.model.heads import AnyHead, Multiclass, TimeToNext
from stream_rnn.model.network import Model
from stream_rnn.model.targets import encode_targets, labels_of
from stream_rnn.replay.contents import Contents
from stream_rnn.settings import Settings
from stream_rnn.training.labels import Labels, value_at

Columns = dict[str, NDArray[np.float64]]  # head -> (N,)


@dataclass(frozen=True, slots=True)
class Runs:
    """N events in R runs; a run is the events of one memory of one key.

    Attributes:
        order: Event indices (N,), run by run.
        first: Index (R,) in ``order`` of the first event of each run.
        length: Number (R,) of events in each run.
        closes: Whether (R,) the key has no later event and no later forget, so that the run ends
            with the last event of the key.
    """

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    closes: NDArray[np.bool_]


def align_targets(head: AnyHead, own: NDArray[np.float64], runs: Runs) -> NDArray[np.float64]:
    """Return the target (N,) of each event's prediction, encoded for training; NaN for no label.

    The target of a head of the next event is the value in the next event of the same run.  The last
    event of a run has none, unless the key ends there and the head has a class for the end.

    Args:
        head: Head that predicts.
        own: Value (N,) of the head's field in each event, encoded for training.
        runs: Runs of the events.
    """
    if head.of != "next":
        return own
    aligned = np.full(len(own), np.nan)
    order = runs.order
    aligned[order[:-1]] = own[order[1:]]
    lasts = order[runs.first + runs.length - 1]
    aligned[lasts] = np.nan
    if isinstance(head, Multiclass) and head.end:
        aligned[lasts[runs.closes]] = len(head.classes)
    return aligned


@dataclass(frozen=True, slots=True)
class FoldedEvents:
    """N folded events of one partition with K keys.

    Attributes:
        keys: The K record keys.
        key: Index (N,) of each event's key in ``keys``.
        offset: Source offsets (N,), increasing.
        time_ms: Event times (N,), in milliseconds since 1970.
        steps: Numbers (N,) of events in the memory, the predicting event included.
    """

    keys: list[bytes]
    key: NDArray[np.int64]
    offset: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    steps: NDArray[np.int64]

    def runs(self, forgets: Mapping[bytes, int]) -> Runs:
        """Group the events into runs; a run begins at each event that is the first in its memory.

        Args:
            forgets: Offset of the last forget of each key that has one.
        """
        order = np.lexsort((self.offset, self.key))
        first = np.flatnonzero(self.steps[order] == 1)
        length = np.diff(np.append(first, len(order)))
        last = order[first + length - 1]
        key = self.key[last]
        forgotten = np.array([forgets.get(k, -1) for k in self.keys], np.int64)
        is_last = np.append(np.diff(key) != 0, True)[: len(key)]
        return Runs(order, first, length, is_last & (self.offset[last] > forgotten[key]))


class TargetDecoder:
    """Decodes the fields of the heads from records.

    Each head has a decoder of its own, so the type of its field does not restrict other heads, nor
    a feature at the same path.

    Args:
        spec: Feature spec with the heads; heads of the time to the next event read no field.
        settings: Settings of the fold, with the limits of keys and values.
        labels: Labels of the heads with ``of = "label"``.
    """

    def __init__(self, spec: FeatureSpec, settings: Settings, labels: Labels | None) -> None:
        self.heads = [head for head in spec.heads if not isinstance(head, TimeToNext)]
        self._labels, self.contents = labels, Contents(spec, settings)
        self._decoders = {
            head.name: Decoder(
                spec.model_copy(update={"features": (), "heads": (head,)}),
                settings,
                with_targets=True,
            )
            for head in self.heads
            if head.of != "label"
        }

    def decode(self, partition: int, records: Sequence[Record]) -> dict[str, list[Any]]:
        """Return the value of each record for each head; ``None`` for a value of another type."""
        joined = self._labels.of(partition, records, self.contents) if self._labels else {}
        fields: dict[str, list[Any]] = {}
        for head in self.heads:
            if head.of != "label":
                values = _read_field(self._decoders[head.name], str(head.path), records)
                fields[head.name] = labels_of(head, values)
            elif head.name in joined:
                fields[head.name] = joined[head.name]
        return fields


def _read_field(decoder: Decoder, path: str, records: Sequence[Record]) -> list[Any]:
    """Return the value of each record at a path; ``None`` if the record cannot be decoded."""
    decoded = decoder.decode(records)
    values = decoded.columns[path]
    if len(values) == len(records):
        return values
    fields: list[Any] = [None] * len(records)
    for row, value in zip(decoded.rows.tolist(), values, strict=True):
        fields[row] = value
    return fields


@dataclass(slots=True)
class TargetExtractor:
    """Collects the values of the heads' fields from the records of a partition, by offset."""

    target_decoder: TargetDecoder
    heads: Sequence[AnyHead]
    partition: int
    envelope: Envelope
    split_column: str | None
    split_values: dict[int, Any] = field(default_factory=dict)
    offset: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    forgets: dict[bytes, int] = field(default_factory=dict)

    def add(self, records: Sequence[Record]) -> None:
        """Add records: the values of the heads' fields, and the last forget of each key."""
        for record in records:
            if record.key is not None and self.envelope.forgets(record):
                self.forgets[record.key] = record.offset
            elif self.split_column is not None:
                content = self.target_decoder.contents.of(record)
                self.split_values[record.offset] = value_at(content, self.split_column)
        if not self.heads:
            return
        self.offset += [record.offset for record in records]
        fields = self.target_decoder.decode(self.partition, records)
        for head in self.heads:
            values = fields.get(head.name, [None] * len(records))
            self.values.setdefault(head.name, []).extend(encode_targets(head, values).tolist())

    def values_at(self, offset: NDArray[np.int64], name: str) -> NDArray[np.float64]:
        """Return the values (N,) of a head at some offsets (N,); NaN for none."""
        if not self.offset:
            return np.full(len(offset), np.nan)
        known = np.array(self.offset, np.int64)
        place = np.minimum(np.searchsorted(known, offset), len(known) - 1)
        values = np.array(self.values[name])[place]
        return np.where(known[place] == offset, values, np.nan)

    def extract(self, heads: Sequence[AnyHead], events: FoldedEvents) -> tuple[Columns, Columns]:
        """Return the values in the events themselves, and the targets of their predictions.

        Both are encoded for training, and NaN where there is none.
        """
        runs = events.runs(self.forgets)
        own: Columns = {}
        for head in heads:
            if isinstance(head, TimeToNext):
                own[head.name] = encode_targets(head, _since_previous_s(events.time_ms, runs))
            else:
                own[head.name] = self.values_at(events.offset, head.name)
        return own, {head.name: align_targets(head, own[head.name], runs) for head in heads}


def make_target_extractor(
    model: Model,
    settings: Settings,
    labels: Labels | None,
    partition: int,
    split_column: str | None,
) -> TargetExtractor:
    """Make the extractor for one partition."""
    target_decoder = TargetDecoder(model.spec, settings, labels)
    return TargetExtractor(
        target_decoder,
        target_decoder.heads,
        partition,
        envelope=Envelope(model.spec.event, settings, open_framed(model.spec, settings)),
        split_column=None if split_column is None else model.spec.event.path_of(split_column),
    )


def _since_previous_s(time_ms: NDArray[np.int64], runs: Runs) -> NDArray[np.float64]:
    """Return the seconds (N,) since the latest event of the same run; NaN at its first event."""
    begins = np.zeros(len(time_ms), bool)
    begins[runs.first] = True
    times = time_ms[runs.order]
    before = latest_before(times, np.cumsum(begins), begins, times)
    since_s = np.empty(len(times))
    since_s[runs.order] = np.where(begins, np.nan, np.maximum(times - before, 0) / 1000)
    return since_s
