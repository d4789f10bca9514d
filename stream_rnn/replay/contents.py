"""The content of records, for what reads fields beside the decoder: labels, splits and messages."""

from typing import Any

from stream_rnn.errors import DecodeError
from stream_rnn.fold.framed import open_framed
from stream_rnn.fold.records import Record
from stream_rnn.model.features import FeatureSpec
from stream_rnn.replay.row_keys import parse_json
from stream_rnn.settings import Settings


class Contents:
    """Reads the content of records, with and without the frame of a schema registry.

    Args:
        spec: Feature spec.
        settings: Settings with the registry.
    """

    def __init__(self, spec: FeatureSpec, settings: Settings) -> None:
        self._framed = open_framed(spec, settings)

    def of(self, record: Record) -> Any:
        """Return the content of a record; ``None`` if there is none, or if it cannot be read.

        Raises:
            UnavailableError: The schema registry does not answer.
        """
        if record.value is None:
            return None
        try:
            parse = None if self._framed is None else self._framed.parser(record)
            return parse_json(record.value) if parse is None else parse(record.value)
        except (DecodeError, ValueError):
            return None
