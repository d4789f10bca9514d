"""Record batches that no client of Python would write, byte by byte as a broker stores them."""

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BATCH_BYTES_MAX = 1 << 20


class RawName(str):
    """A header's name whose bytes are what they are."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes):
        """Make one of any bytes."""
        made = super().__new__(cls, raw.decode("latin-1"))
        made.raw = raw
        return made

    def encode(self, *_arguments, **_options) -> bytes:
        """Return its bytes."""
        return self.raw


def builder(codec="none"):
    """Return a builder of one batch that takes :class:`RawName`."""
    return _DefaultRecordBatchBuilderPy(2, CODECS[codec], 0, -1, -1, 0, BATCH_BYTES_MAX)


def batch(records, codec="none", base_offset=0) -> bytes:
    """Return the bytes of a batch of (key, value, headers) or (key, value, headers, timestamp)."""
    made = builder(codec)
    for number, (key, value, headers, *timestamp) in enumerate(records):
        made.append(number, *(timestamp or [1000 + number]), key, value, headers)
    built = made.build()
    built[:8] = base_offset.to_bytes(8, "big")
    return bytes(built)


async def produce(bootstrap_servers, topic, partition, records, codec="none") -> None:
    """Write (key, value, headers) as one batch to a real broker."""
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
