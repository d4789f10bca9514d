"""The number of the last cut-over, in a header of each output after the first one.

A cut-over puts another fold in charge of a partition, and its number only grows.  Workers that have
lost the partition may still append outputs (``at_least_once``); their number is lower.
"""

from collections.abc import Sequence

from stream_rnn.kafka.group_offsets import NUMBER_MAX

CUT_OVER_HEADER = "sr-cut-over"
"""Header with the number of the last cut-over; outputs before the first one have none."""


def parse_number(headers: Sequence[tuple[str, bytes | None]]) -> int:
    """Return the number in the headers of an output; 0 before the first cut-over.

    Raises:
        ValueError: The header contains no number that a worker writes.
    """
    text = next((text for name, text in reversed(headers) if name == CUT_OVER_HEADER), b"0")
    number = int(text or b"")
    if not 0 <= number <= NUMBER_MAX:
        raise ValueError(number)
    return number
