"""Bare aiokafka: copies the same bytes from one topic to another.

``python -m tests.bench.peers.aiokafka_copy BOOTSTRAP SOURCE OUTPUT APP``
"""

import asyncio
import signal
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BOOTSTRAP, SOURCE, OUTPUT, APP = sys.argv[1:5]
BATCH_BYTES = 900_000


async def main() -> None:
    """Copy records until SIGTERM."""
    consumer = AIOKafkaConsumer(
        SOURCE,
        bootstrap_servers=BOOTSTRAP,
        group_id=APP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=BOOTSTRAP,
        acks="all",
        max_batch_size=BATCH_BYTES,
        max_request_size=BATCH_BYTES + 65_536,
        linger_ms=0,
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with consumer, producer:
        while not ended.is_set():
            fetched = await consumer.getmany(timeout_ms=200)
            sent = [
                await producer.send_batch(batch, OUTPUT, partition=place.partition)
                for place, records in fetched.items()
                for batch in batches(producer, records)
            ]
            for acknowledged in sent:
                await acknowledged
            if fetched:
                await consumer.commit()


def batches(producer, records):
    """Yield full record batches, and the last one."""
    batch = producer.create_batch()
    for record in records:
        fields = {"timestamp": record.timestamp, "key": record.key, "value": record.value}
        if batch.append(**fields) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(**fields)
    if batch.record_count():
        yield batch


if __name__ == "__main__":
    asyncio.run(main())
