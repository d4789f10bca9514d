"""The keys that an audit reads: in how many partitions, and whether the chosen keys are there."""

from collections.abc import Sequence

from stream_rnn.audit.key_partitions import KeyPartitions
from stream_rnn.audit.result import AuditOptions, AuditResult
from stream_rnn.fold.decoder import Record
from stream_rnn.key_spellings import NearKey, Spellings, list_near_keys
from stream_rnn.keys import KEY_FORMS, describe_key


class AuditedKeys:
    """Observes the records of an audit.

    Args:
        options: The keys to compare, and the number of examples.
    """

    def __init__(self, options: AuditOptions) -> None:
        self._options = options
        self._partitions = KeyPartitions(options.examples)
        self._event_keys: set[bytes] = set()
        self._missing = {key: Spellings(key) for key in sorted(options.keys)}
        self._near: dict[bytes, dict[bytes, NearKey]] = {key: {} for key in self._missing}

    def add(self, partition: int, records: Sequence[Record]) -> None:
        """Add records of a partition, of all keys; a repetition does no harm."""
        keys = {r.key for r in records if r.key is not None and r.value is not None}
        if self._missing:
            self._look_for_missing(partition, {r.key for r in records if r.key is not None})
        if not self._options.includes_all_keys:
            keys = {key for key in keys if self._options.includes_key(key)}
        self._event_keys |= keys

    def _look_for_missing(self, partition: int, keys: set[bytes]) -> None:
        for key in keys & self._missing.keys():
            del self._missing[key]
        for missing, spellings in self._missing.items():
            near = self._near[missing]
            for key in keys:
                if (how := spellings.describe(key)) is not None:
                    places = near[key].partitions if key in near else ()
                    near[key] = NearKey(key, how, tuple(sorted({*places, partition})))

    def end_partition(self, partition: int) -> None:
        """Count the keys of a partition, all of whose records were added."""
        self._partitions.add(partition, self._event_keys)
        self._event_keys = set()

    def report(self, result: AuditResult, source: str) -> None:
        """Add the counts and the sentences to the result."""
        counted = self._partitions
        result.keys, result.keys_are_estimates = counted.keys, counted.is_estimate
        if counted.partitions > 1:
            result.keys_in_several_partitions = counted.split_keys
        result.split_keys = counted.examples
        if (warning := counted.warning(source)) is not None:
            result.warnings.append(warning)
        for key in self._missing:
            near = list_near_keys(self._near[key].values())
            result.problems.append(
                f"no audited record of {source} has the key {describe_key(key)!r}; "
                + (f"similar: {near}" if near else f"none is similar. A key is {KEY_FORMS}")
            )
