"""Finds published outputs that a replay does not have, or that are there too often."""

import numpy as np
from numpy.typing import NDArray

from stream_rnn.audit.dead_letter_table import DeadLetter
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.findings import FindingCounter
from stream_rnn.audit.published_predictions import (
    NOT_CHOSEN,
    OUT_OF_ORDER,
    PublishedPredictions,
)


def find_surplus_predictions(
    published: PublishedPredictions,
    is_replayed: NDArray[np.bool_],
    is_founded: NDArray[np.bool_],
    findings: FindingCounter,
) -> None:
    """Find predictions that are unexpected, duplicated or out of order.

    Args:
        published: Predictions.
        is_replayed: (N,) whether the replay has a prediction of an offset.
        is_founded: (N,) whether an offset may have a prediction of another fold.
        findings: Counter of the findings.
    """
    start, is_chosen = published.start, (published.flags & NOT_CHOSEN) == 0
    is_own, is_first = published.count > 0, published.owner.is_first
    unfounded = (published.other_fold_count > 0) & ~is_founded & is_first
    for index in np.flatnonzero(((is_own & ~is_replayed) | unfounded) & is_chosen):
        output_offsets = published.output_offsets_of(start + int(index))
        findings.add("unexpected", start + int(index), output_offsets=output_offsets)
    is_repeated = (published.count.astype(np.uint32) + published.other_fold_count) > 1
    for index in np.flatnonzero(is_replayed & is_repeated & (is_own | is_first)):
        repeated = int(published.count[index]) + int(published.other_fold_count[index]) - 1
        findings.add("duplicated", start + int(index), count=repeated)
    for index in np.flatnonzero((published.flags & OUT_OF_ORDER > 0) & is_chosen):
        findings.add("out_of_order", start + int(index))


def find_surplus_letter(
    dead_letters: DeadLetters,
    offset: int,
    letter: DeadLetter,
    findings: FindingCounter,
    *,
    is_replayed: bool,
    is_of_others: bool,
) -> None:
    """Find whether a dead letter is unexpected, or there too often.

    Args:
        dead_letters: Dead letters.
        offset: Source offset of the dead letter.
        letter: Dead letter.
        findings: Counter of the findings.
        is_replayed: Whether the replay has it.
        is_of_others: Whether another fold has an output of this offset.
    """
    if not (letter.is_chosen or is_replayed):
        return
    if repeated := letter.count - 1 + dead_letters.is_of_others(offset):
        findings.add("dead_letters_duplicated", offset, count=repeated)
    if is_replayed or (is_of_others and not letter.names_fold):
        return
    findings.add("dead_letters_unexpected", offset, None, None, letter.code.encode())
