"""The search for the last output: what it finds, and how much it reads for it."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from stream_rnn.errors import FencedError
from stream_rnn.fold.output_search import OutputSearch
from stream_rnn.fold.recovery import LastOutput

OURS, OTHER = b"ours", b"other"


def record(offset: int, value: bytes) -> ConsumerRecord:
    return ConsumerRecord("out", 0, offset, 0, 0, None, value, None, 0, 0, ())


def parse(found: ConsumerRecord) -> LastOutput | None:
    return LastOutput(found.offset, "f", 0, None) if found.value == OURS else None


@dataclass
class Partition:
    """Committed records by their offset; all other offsets have no record."""

    records: dict[int, bytes]
    end: int
    windows: int = 0
    read: int = 0
    offsets: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.offsets = sorted(self.records)

    async def read_range(
        self, first: int, end: int, records_max: int
    ) -> AsyncGenerator[list[ConsumerRecord]]:
        self.windows += 1
        inside = self.offsets[bisect_left(self.offsets, first) : bisect_left(self.offsets, end)]
        for at in range(0, len(inside), records_max):
            some = inside[at : at + records_max]
            self.read += len(some)
            yield [record(offset, self.records[offset]) for offset in some]

    async def search(self, records_max: int, start: int = 0) -> int | None:
        found = await OutputSearch(
            "out[0]", self.read_range, parse, start, self.end, records_max
        ).run(60)
        return None if found is None else found.offset


def others(offsets: Iterable[int]) -> dict[int, bytes]:
    return dict.fromkeys(offsets, OTHER)


@given(
    st.lists(st.sampled_from([None, None, OURS, OTHER]), max_size=400),
    st.integers(1, 40),
    st.integers(0, 100),
)
async def test_the_search_examines_the_last_committed_records_and_no_other(kinds, bound, start):
    """As a list does: wherever offsets have no record, and however many records the bound allows."""
    records = {offset: kind for offset, kind in enumerate(kinds) if kind}
    examined = [offset for offset in sorted(records) if offset >= start][-bound:]
    expected = max((offset for offset in examined if records[offset] == OURS), default=None)
    assert await Partition(records, len(kinds)).search(bound, start) == expected


@given(
    st.lists(st.sampled_from([None, OTHER, 0, 1, 2]), max_size=200),
    st.integers(1, 100),
    st.integers(0, 3),
)
async def test_the_last_output_of_the_greatest_number_is_found(kinds, bound, number_min):
    """The search passes late outputs of earlier owners; without a greater number they count."""
    partition = Partition({n: kind for n, kind in enumerate(kinds) if kind is not None}, len(kinds))

    def parse_number(found: ConsumerRecord) -> LastOutput | None:
        number = found.value
        return None if number == OTHER else LastOutput(found.offset, "f", 0, None, number)

    search = OutputSearch(
        "out[0]", partition.read_range, parse_number, 0, len(kinds), bound, number_min
    )
    found = await search.run(60)
    examined = [(number, n) for n, number in enumerate(kinds) if number is not None][-bound:]
    outputs = [(number, n) for number, n in examined if number != OTHER]
    if found is None:
        assert not outputs
        return
    assert (found.number, found.offset) in outputs
    greatest, last = max(outputs), outputs[-1]
    assert found.offset == (last if number_min == 0 else greatest)[1] or found.number >= number_min
    if number_min == 3:
        assert (found.number, found.offset) == greatest


async def test_sparse_committed_records_need_few_windows():
    """One committed record in 1000 offsets: the window grows by the density that it finds."""
    partition = Partition(others(range(0, 5_000_000, 1000)), 5_000_000)
    assert await partition.search(1000) is None
    assert partition.windows <= 30
    assert partition.read <= 4 * 1000


@pytest.mark.parametrize("bound", [1, 1000])
async def test_dense_records_before_a_run_of_aborted_ones_are_not_all_read(bound):
    """A window that has grown over empty offsets is left once it has too many records."""
    partition = Partition(others(range(500_000)) | {500_000 - bound: OURS}, 10_000_000)
    assert await partition.search(bound) == 500_000 - bound
    assert partition.read <= 60 * (bound + 1)
    assert partition.windows <= 60
    partition.read = 0
    assert bound == 1 or await partition.search(bound - 1) is None
    assert partition.read <= 60 * (bound + 1)


async def test_a_search_that_does_not_end_names_range_and_remedy():
    """Its error is that of a start that Kafka does not answer, so the next start tries again."""

    async def silent(_first, end, _records_max):
        if end < 100:
            await asyncio.Event().wait()
        yield [record(end - 1, OTHER)]

    search = OutputSearch("out[0]", silent, parse, 10, 100, 50)
    with pytest.raises(FencedError) as raised:
        await search.run(0.01)
    message = str(raised.value)
    assert "out[0]: the search for the last output did not end within 0.01 s" in message
    assert "examined offsets 84 to 99 with 1 committed records" in message
    assert "offsets 10 to 83 are left" in message
    assert "--lookback-timeout-s" in message
