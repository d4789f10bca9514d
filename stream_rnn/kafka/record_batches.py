r"""What Kafka's record batches hold, also where aiokafka's parser gives up.

aiokafka's parser in C takes a header's name for UTF-8.  To Kafka a name is bytes, so one producer
can write what ends every reader.  Such a batch is read again by a parser of ours, in which a name
that is not UTF-8 has its bytes escaped (``\xff``): the records are what they are for any other
consumer.

What cannot be read at all, such as a batch with another checksum than it says, raises an
:class:`UnreadableError` that names the place, after everything before it was delivered.
Every consumer of this package comes through here.  As long as nothing fails, nothing is done for
a record: the only cost is one of each fetch.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords, RecordTooLargeError
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import (
    DefaultRecordBatch,
    _DefaultRecordBatchPy,
    _DefaultRecordPy,
)
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from stream_rnn.errors import UnreadableError

LENGTH_AT, MAGIC_AT, OVERHEAD_BYTES = 8, 16, 12
INT64 = 1 << 64


class Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """An aiokafka consumer that reads every batch that can be read."""

    async def start(self) -> None:
        """Connect; see :class:`AIOKafkaConsumer`."""
        await super().start()
        read_every_batch(self)

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> Any:
        """Fetch records; what cannot be read is raised again by each call.

        Raises:
            UnreadableError: everything before it was delivered.
        """
        try:
            return await super().getmany(*partitions, **options)
        except UnreadableError as error:
            stay(self, error)
            raise


def read_every_batch(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer read what aiokafka's parser in C refuses; once, after it was started.

    Its ``getmany`` then raises an :class:`UnreadableError` for what nobody can read.
    """
    client, fetcher = consumer._client, consumer._fetcher  # noqa: SLF001  # no public way
    send, raw = client.send, dict[TopicPartition, bytes]()

    async def send_and_keep(node_id: Any, request: Any, **options: Any) -> Any:
        response = await send(node_id, request, **options)
        if request.API_KEY == 1:  # a fetch
            for topic, partitions in response.topics:
                for partition, _, _, *data in partitions:
                    raw[TopicPartition(topic, partition)] = data[-1]
        return response

    client.send = send_and_keep
    fetches = _Fetches(raw)
    fetches.update(fetcher._records)  # noqa: SLF001  # no public way
    fetcher._records = fetches  # noqa: SLF001  # no public way


def stay(consumer: AIOKafkaConsumer, error: UnreadableError) -> None:
    """Let a consumer stand where it cannot read: of a wrong length aiokafka steps over the offset."""
    tp = TopicPartition(error.topic, error.partition)
    if tp in consumer.assignment():
        consumer.seek(tp, error.offset)


class _Fetches(OrderedDict[TopicPartition, Any]):
    """What a fetcher has fetched and its consumer has not taken yet.

    Args:
        raw: bytes of the last fetch of each partition.
    """

    def __init__(self, raw: dict[TopicPartition, bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._failed: dict[TopicPartition, UnreadableError] = {}

    def __setitem__(self, tp: TopicPartition, fetched: Any) -> None:
        raw = self._raw.pop(tp, b"")
        if type(fetched) is FetchResult:
            parsed = fetched._partition_records  # noqa: SLF001  # no public way
            fetched._partition_records = _Records(parsed, raw, self._failed)  # noqa: SLF001  # no public way
        elif isinstance(getattr(fetched, "_error", None), RecordTooLargeError):
            # A broker sends the first batch whole, whatever its size: this one's length is wrong.
            offset = fetched._error.args[2]  # noqa: SLF001  # no public way
            fetched._error = _unreadable(tp, offset, None, "its length is beyond the fetch")  # noqa: SLF001  # no public way
        super().__setitem__(tp, fetched)

    def __delitem__(self, tp: TopicPartition) -> None:
        """Let the error follow that ended a fetch: what other partitions have is delivered first."""
        super().__delitem__(tp)
        if (error := self._failed.pop(tp, None)) is not None:
            super().__setitem__(tp, FetchError(error=error, backoff=0))


class _Records(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of one fetch of a partition.

    Args:
        parsed: the same, as aiokafka has made it; nothing was taken from it yet.
        raw: its bytes.
        failed: takes the error of a fetch that cannot be read to its end.
    """

    next_fetch_offset: int

    def __init__(
        self, parsed: Any, raw: bytes, failed: dict[TopicPartition, UnreadableError]
    ) -> None:
        self._raw, self._failed = raw, failed
        self._aborted = list(parsed._aborted_transactions)  # noqa: SLF001  # no public way
        super().__init__(
            parsed._tp,  # noqa: SLF001  # no public way
            parsed._records,  # noqa: SLF001  # no public way
            self._aborted,
            parsed.next_fetch_offset,
            parsed._key_deserializer,  # noqa: SLF001  # no public way
            parsed._value_deserializer,  # noqa: SLF001  # no public way
            parsed._check_crcs,  # noqa: SLF001  # no public way
            parsed._isolation_level,  # noqa: SLF001  # no public way
        )

    def __iter__(self) -> Iterator[Any]:
        # The generator itself: a call of Python less for each record.
        return iter(self._records_iterator or ())

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except Exception as error:  # noqa: BLE001  # codecs and the parser raise whatever they raise
            failed = error
        else:
            return
        yield from self._unpack_again(failed)

    def _unpack_again(self, failed: Exception) -> Iterator[Any]:
        """Yield what is left of the fetch, by our own parser; note what ends it."""
        batches, begin = _Batches(self._raw), self.next_fetch_offset
        again = PartitionRecords(
            self._tp, batches, self._aborted, begin, self._key_deserializer,
            self._value_deserializer, self._check_crcs, self._isolation_level,
        )  # fmt: skip
        again._consumer_record = self._consumer_record  # noqa: SLF001  # a fold takes records bare
        try:
            for record in again:  # from the begin of the fetch
                if record.offset >= self.next_fetch_offset:
                    self.next_fetch_offset = record.offset + 1
                    yield record
        except Exception as error:  # noqa: BLE001  # codecs and the parser raise whatever they raise
            failed = error
        else:
            if again.next_fetch_offset > begin:
                return
        finally:
            self.next_fetch_offset = max(self.next_fetch_offset, again.next_fetch_offset)
        place = self._tp, self.next_fetch_offset, batches.last_end
        self._failed[self._tp] = _unreadable(*place, f"{type(failed).__name__} {failed}")


class _Batches:
    """The batches of a fetch, one after the other; as aiokafka's ``MemoryRecords``.

    Attributes:
        last_end: the offset after the last batch that was returned; ``None`` before the first.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0
        self.last_end: int | None = None

    def has_next(self) -> bool:
        """Return whether one more is there as a whole; a fetch may end within a batch."""
        left = len(self._raw) - self._at
        return left >= OVERHEAD_BYTES and self._bytes <= left

    def next_batch(self) -> Any:
        """Return the next one."""
        raw = self._raw[self._at : self._at + self._bytes]
        self._at, self.last_end = self._at + len(raw), None
        magic = raw[MAGIC_AT]
        batch = _Batch(raw) if magic >= 2 else LegacyRecordBatch(raw, magic)
        self.last_end = batch.next_offset
        return batch

    @property
    def _bytes(self) -> int:
        (length,) = struct.unpack_from(">i", self._raw, self._at + LENGTH_AT)
        return int(length) + OVERHEAD_BYTES


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # final to type checkers; a copy would be 200 lines
    """A batch by the parser in C if it can, else by one that takes any bytes for a header's name."""

    _pos: int

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._whole = raw

    def __iter__(self) -> Any:
        try:
            return iter(list(DefaultRecordBatch(self._whole)))
        except (UnicodeDecodeError, CorruptRecordException):
            return super().__iter__()

    def _read_msg(self, decode_varint: Any = decode_varint) -> Any:
        """Read the next record; see *Record* in Kafka's protocol guide."""
        buffer = self._buffer
        length, at = decode_varint(buffer, self._pos)
        end = at + length
        timestamp_delta, at = decode_varint(buffer, at + 1)  # after the attributes
        offset_delta, at = decode_varint(buffer, at)
        key, at = _nullable_bytes(buffer, at)
        value, at = _nullable_bytes(buffer, at)
        count, at = decode_varint(buffer, at)
        headers = []
        for _ in range(count):
            name, at = _nullable_bytes(buffer, at)
            if name is None:
                raise CorruptRecordException("a header has no name")
            header, at = _nullable_bytes(buffer, at)
            headers.append((name.decode("utf-8", "backslashreplace"), header))
        if at != end or count < 0:
            raise CorruptRecordException(f"a record of {length} bytes is {length + at - end} long")
        self._pos = at
        timestamp = self.first_timestamp + timestamp_delta
        if self.timestamp_type == self.LOG_APPEND_TIME:
            timestamp = self.max_timestamp
        # The parser in C adds up in 64 bits.
        timestamp = (timestamp + INT64 // 2) % INT64 - INT64 // 2
        return _DefaultRecordPy(
            self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers
        )


def _nullable_bytes(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    """Read bytes after their length, which is -1 for none."""
    length, at = decode_varint(buffer, at)
    if length < 0:
        return None, at
    if at + length > len(buffer):
        raise CorruptRecordException(f"{length} bytes are said to be where {len(buffer) - at} are")
    return bytes(buffer[at : at + length]), at + length


def _unreadable(tp: TopicPartition, offset: int, end: int | None, cause: str) -> UnreadableError:
    """Say what cannot be read, where, and what a person can do."""
    until = "the next batch" if end is None else f"offset {end}"
    return UnreadableError(
        tp.topic,
        tp.partition,
        offset,
        f"{cause}; if another replica has the record batch whole, make that one the leader; else "
        f"its records are lost: remove the log up to {until} by kafka-delete-records, which for a "
        "fold is lost history (see on_lost_history)",
    )
