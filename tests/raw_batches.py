"""Record batches that no Python client writes, with the bytes that a broker stores."""

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BATCH_BYTES_MAX = 1 << 20


class RawName(str):
    """The name of a header with arbitrary bytes, which may not be UTF-8."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes):
        """Create a name from bytes."""
        name = super().__new__(cls, raw.decode("latin-1"))
        name.raw = raw
        return name

    def encode(self, *_arguments, **_options) -> bytes:
        """Return the bytes of the name, whatever the encoding."""
        return self.raw


def builder(codec="none"):
    """Return a builder of one batch that accepts names of class :class:`RawName`."""
    return _DefaultRecordBatchBuilderPy(2, CODECS[codec], 0, -1, -1, 0, BATCH_BYTES_MAX)


def batch(records, codec="none", base_offset=0) -> bytes:
    """Return the bytes of a batch of (key, value, headers) or (key, value, headers, timestamp)."""
    batch_builder = builder(codec)
    for number, (key, value, headers, *timestamp) in enumerate(records):
        batch_builder.append(number, *(timestamp or [1000 + number]), key, value, headers)
    data = batch_builder.build()
    data[:8] = base_offset.to_bytes(8, "big")
    return bytes(data)


async def produce(bootstrap_servers, topic, partition, records, codec="none") -> None:
    """Write records (key, value, headers) to a real broker as one batch."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        whole = producer.create_batch()
        whole._builder = builder(codec)
        for key, value, headers, *timestamp in records:
            whole.append(
                timestamp=timestamp[0] if timestamp else None, key=key, value=value, headers=headers
            )
        await (await producer.send_batch(whole, topic, partition=partition))
    finally:
        await producer.stop()
