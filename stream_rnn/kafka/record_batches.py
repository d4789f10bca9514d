r"""A parser for the record batches that aiokafka's parser refuses.

aiokafka's C parser decodes the name of a header as UTF-8.  For Kafka a name is bytes, so a producer
can write a record that stops every aiokafka consumer.  The parser here reads such a batch again,
and escapes the bytes of a name that is not UTF-8 (``\xff``).

A batch that is damaged, for example one with a wrong checksum, raises an :class:`UnreadableError`
that names the place, after all records before it are delivered.

All consumers of this package use this module.  As long as nothing fails, it costs time per
fetch, and none per record.
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
    """An aiokafka consumer that reads every intact record batch."""

    async def start(self) -> None:
        """Connect to the cluster; see :class:`AIOKafkaConsumer`."""
        await super().start()
        read_every_batch(self)

    async def getmany(self, *partitions: TopicPartition, **options: Any) -> Any:
        """Fetch records.

        Raises:
            UnreadableError: A batch is damaged; all records before it were delivered, and each
                further call raises the error again.
        """
        try:
            return await super().getmany(*partitions, **options)
        except UnreadableError as error:
            seek_to_error(self, error)
            raise


def read_every_batch(consumer: AIOKafkaConsumer) -> None:
    """Make a consumer read the batches that aiokafka's C parser refuses; call once, after start.

    ``getmany`` of the consumer then raises an :class:`UnreadableError` for a damaged batch.
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


def seek_to_error(consumer: AIOKafkaConsumer, error: UnreadableError) -> None:
    """Seek to the damaged batch; after a wrong length aiokafka would skip its first offset."""
    tp = TopicPartition(error.topic, error.partition)
    if tp in consumer.assignment():
        consumer.seek(tp, error.offset)


class _Fetches(OrderedDict[TopicPartition, Any]):
    """The fetches that a consumer has not consumed yet.

    Args:
        raw: Bytes of the last fetch of each partition.
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
            # A broker sends the first batch completely, whatever its size, so its length is wrong.
            offset = fetched._error.args[2]  # noqa: SLF001  # no public way
            fetched._error = _unreadable(tp, offset, None, "its length is beyond the fetch")  # noqa: SLF001  # no public way
        super().__setitem__(tp, fetched)

    def __delitem__(self, tp: TopicPartition) -> None:
        """Remove a fetch; if an error ended it, raise the error after all other fetches."""
        super().__delitem__(tp)
        if (error := self._failed.pop(tp, None)) is not None:
            super().__setitem__(tp, FetchError(error=error, backoff=0))


class _Records(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of one fetch of a partition.

    Args:
        parsed: Records as aiokafka's parser returned them, none of which is consumed yet.
        raw: Bytes of the fetch.
        failed: Errors of partitions, to which the error of a damaged batch is added.
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
        # Returning the generator itself saves a Python call per record.
        return iter(self._records_iterator or ())

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except Exception as error:  # noqa: BLE001  # codecs and parsers raise any class
            cause = error
        else:
            return
        yield from self._unpack_again(cause)

    def _unpack_again(self, cause: Exception) -> Iterator[Any]:
        """Yield the rest of the fetch by the parser of this module; record the error at its end."""
        batches, begin = _Batches(self._raw), self.next_fetch_offset
        reparsed = PartitionRecords(
            self._tp, batches, self._aborted, begin, self._key_deserializer,
            self._value_deserializer, self._check_crcs, self._isolation_level,
        )  # fmt: skip
        reparsed._consumer_record = self._consumer_record  # noqa: SLF001  # a fold needs no wrapper
        try:
            for record in reparsed:  # from the start of the fetch
                if record.offset >= self.next_fetch_offset:
                    self.next_fetch_offset = record.offset + 1
                    yield record
        except Exception as error:  # noqa: BLE001  # codecs and parsers raise any class
            cause = error
        else:
            if reparsed.next_fetch_offset > begin:
                return
        finally:
            self.next_fetch_offset = max(self.next_fetch_offset, reparsed.next_fetch_offset)
        place = self._tp, self.next_fetch_offset, batches.last_end
        self._failed[self._tp] = _unreadable(*place, f"{type(cause).__name__} {cause}")


class _Batches:
    """The batches of a fetch in order, with the interface of aiokafka's ``MemoryRecords``.

    Attributes:
        last_end: Offset after the last returned batch; ``None`` before the first.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0
        self.last_end: int | None = None

    def has_next(self) -> bool:
        """Return whether a complete batch follows; a fetch may end within a batch."""
        left = len(self._raw) - self._at
        return left >= OVERHEAD_BYTES and self._bytes <= left

    def next_batch(self) -> Any:
        """Return the next batch."""
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


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # final, but a copy has 200 lines
    """A batch, read by the C parser or, if that fails, by one that accepts any header name."""

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
        # The C parser adds with 64-bit overflow.
        timestamp = (timestamp + INT64 // 2) % INT64 - INT64 // 2
        return _DefaultRecordPy(
            self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers
        )


def _nullable_bytes(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    """Read a length and that many bytes; a length of -1 means ``None``."""
    length, at = decode_varint(buffer, at)
    if length < 0:
        return None, at
    if at + length > len(buffer):
        raise CorruptRecordException(f"{length} bytes should follow, and {len(buffer) - at} do")
    return bytes(buffer[at : at + length]), at + length


def _unreadable(tp: TopicPartition, offset: int, end: int | None, cause: str) -> UnreadableError:
    """Return an error with the place of a damaged batch, the cause and the remedies."""
    until = "the next batch" if end is None else f"offset {end}"
    return UnreadableError(
        tp.topic,
        tp.partition,
        offset,
        f"{cause}; if another replica has an intact copy of the record batch, make that replica "
        f"the leader; else its records are lost: remove the log up to {until} with "
        "kafka-delete-records, which is lost history for a fold (see on_lost_history)",
    )
