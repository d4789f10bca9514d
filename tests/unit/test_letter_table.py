"""What an audit keeps of outputs is numbers: as many bytes however much of them is wrong."""

import gc
import tracemalloc

import pytest

from stream_rnn.audit.dead_letter_table import CODES_MAX, OTHER_CODE, DeadLetter, DeadLetterTable
from stream_rnn.audit.dead_letters import DeadLetters
from stream_rnn.audit.output_owner import Bounds, OutputOwner
from stream_rnn.audit.published_predictions import PublishedPredictions
from stream_rnn.fold.output_batches import Message
from stream_rnn.predictions.decoder import PredictionDecoder
from tests.memory_topics import consumed

COUNT = 8192
BYTES_MAX = 64  # of an offset, with its output


def test_a_letter_comes_back_as_it_was_kept():
    """Whatever is missing of it, in whichever order they came, over more than one block."""
    table, kept = DeadLetterTable(100, 100 + COUNT), {}
    for offset in range(100 + COUNT - 1, 99, -3):
        odd = offset % 2 == 1
        kept[offset] = DeadLetter(
            f"code-{offset % 7}",
            facts=2**64 - offset,
            timestamp=None if odd else -offset,
            whole=2**63 + offset,
            names_fold=odd,
            is_chosen=offset % 3 == 0,
            output_offset=offset + 2**40,
            count=offset % 4 + 1,
            is_unlike=offset % 11 == 0,
            cut=offset % 8,
            key_size=2**32 - offset,
            value_size=offset,
        )
        table.put(offset, kept[offset])
    assert dict(table.items()) == kept
    assert list(dict(table.items())) == sorted(kept)
    assert table.get(100) is None
    assert 100 not in table
    assert 100 + COUNT - 1 in table
    table.put(100 + COUNT - 1, kept[100 + COUNT - 4])
    assert table[100 + COUNT - 1] == kept[100 + COUNT - 4]


def test_counts_and_codes_have_limits():
    """Somebody else may write a hundred thousand copies, or as many codes."""
    table = DeadLetterTable(0, 2000)
    for offset in range(2000):
        table.put(
            offset, DeadLetter(f"{offset} " + "x" * 200, 1, None, 1, False, True, count=10**6)
        )
    assert table[7].count == 65_535
    assert table[7].code == "7 " + "x" * 98
    assert table[CODES_MAX - 2].code.startswith(f"{CODES_MAX - 2} x")
    assert table[CODES_MAX - 1].code == table[1999].code == OTHER_CODE


class Backwards:
    """A topic with an output of each source offset, the last one first."""

    async def log_start(self, _tp) -> int:
        """Return the first offset."""
        return 0

    async def log_end(self, _tp) -> int:
        """Return the offset after the last one."""
        return COUNT

    async def batches(self, tp, first, end):
        """Yield them, some at a time."""
        for begin in range(first, end, 500):
            yield [self._record(tp, place) for place in range(begin, min(end, begin + 500))]

    def _record(self, tp, place):
        offset = COUNT - 1 - place
        said = {"app": "a", "topic": "t", "partition": 0, "offset": offset}
        said["origin"] = (offset + 1) % COUNT  # the least one is not the last
        headers = [(f"sr-{name}", str(text).encode()) for name, text in said.items()]
        headers += [("sr-fold", b"f"), ("sr-error", b"code")]
        return consumed(tp.topic, 0, place, Message(b"key", b'{"steps":1}', place, headers))


@pytest.mark.parametrize("name", ["predictions", "dead letters"])
async def test_memory_does_not_grow_with_what_is_wrong(name):
    """Every output is out of order, of an origin of its own, or a dead letter."""
    who, bounds = OutputOwner("a", "f", "t", 0), Bounds(0, COUNT, COUNT, COUNT)
    gc.collect()
    tracemalloc.start()
    try:
        if name == "predictions":
            kept = PublishedPredictions(
                Backwards(), "out", who, bounds, "n", lambda _key: True, PredictionDecoder()
            )
            assert sum([count async for count in kept.read()]) == COUNT
            assert kept.count.tolist() == [1] * COUNT
        else:
            kept = DeadLetters(Backwards(), "dead", who, bounds, lambda _key: True)
            await kept.read()
            assert all(offset in kept.letters for offset in range(COUNT))
            assert kept.origin == 0
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] / COUNT < BYTES_MAX
    finally:
        tracemalloc.stop()
