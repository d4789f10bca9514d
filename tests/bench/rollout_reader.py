"""The reader of the roll-out's benchmark: when each prediction arrives, and after which cut-over.

It is a process of its own, which reads until its standard input ends, and then writes an array.
"""

import asyncio
import io
import json
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from stream_rnn.predictions.cut_over import CUT_OVER_HEADER

ARRIVAL = np.dtype(
    [("at_s", np.float64), ("delay_ms", np.float32), ("partition", np.int8), ("number", np.int32)]
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The arrivals of predictions, in order.

    Attributes:
        rows: (N,) Arrivals, with the fields of ``ARRIVAL``; the clock is the wall clock.
    """

    rows: NDArray[np.void]

    def delays_ms(self, windows: list[tuple[float, float]]) -> NDArray[np.float32]:
        """Return the latencies of the predictions that arrived within some windows, in ms."""
        at_s = self.rows["at_s"]
        inside = np.zeros(len(at_s), bool)
        for first_s, last_s in windows:
            inside |= (at_s >= first_s) & (at_s < last_s)
        return self.rows["delay_ms"][inside]

    def pauses_s(self) -> dict[tuple[int, int], float]:
        """Return the pause of each cut-over in seconds, by partition and number.

        It is the time from the last prediction before the cut-over to the first one after it.
        """
        pauses = {}
        for partition in np.unique(self.rows["partition"]).tolist():
            rows = self.rows[self.rows["partition"] == partition]
            for after in np.flatnonzero(np.diff(rows["number"])) + 1:
                seconds = float(rows["at_s"][after] - rows["at_s"][after - 1])
                pauses[partition, int(rows["number"][after])] = seconds
        return pauses

    def gaps_s(self, first_s: float, last_s: float) -> NDArray[np.float64]:
        """Return the seconds between two fetches of one partition within a window."""
        found = []
        for partition in np.unique(self.rows["partition"]):
            at_s = self.rows["at_s"][self.rows["partition"] == partition]
            found.append(np.diff(np.unique(at_s[(at_s >= first_s) & (at_s < last_s)])))
        return np.concatenate(found)


def wall_s() -> float:
    """Return the wall clock, which also stamps the records."""
    return time.time()  # noqa: TID251  # the event time is the time of sending


def start_reader(**options: object) -> "subprocess.Popen[bytes]":
    """Start the reader, and wait until it is at the log end."""
    command = [sys.executable, "-m", "tests.bench.rollout_reader", json.dumps(options)]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdout is not None, "the process has a pipe"
    reader.stdout.readline()
    return reader


def end_reader(reader: "subprocess.Popen[bytes]") -> Arrivals:
    """End the reader, and return what it has read."""
    written, _ = reader.communicate()
    return Arrivals(np.load(io.BytesIO(written)))


def _rows(records: list[ConsumerRecord], at_s: float) -> NDArray[np.void]:
    """Return the arrivals of a fetch of one partition."""
    rows = np.empty(len(records), ARRIVAL)
    rows["at_s"], rows["partition"] = at_s, records[0].partition
    rows["delay_ms"] = [1000 * at_s - record.timestamp for record in records]
    rows["number"] = [_number(record) for record in records]
    return rows


def _number(record: ConsumerRecord) -> int:
    for name, text in reversed(record.headers):
        if name == CUT_OVER_HEADER:
            return int(text)
    return 0


async def read(bootstrap_servers: str, topic: str, partitions: int) -> NDArray[np.void]:
    """Read predictions until standard input ends."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        fetch_max_wait_ms=5,
        enable_auto_commit=False,
    )
    await consumer.start()
    found = [np.empty(0, ARRIVAL)]
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        print("ready", flush=True)
        while not ending.done():
            fetched = await consumer.getmany(timeout_ms=5)
            at_s = wall_s()
            found += [_rows(records, at_s) for records in fetched.values()]
    finally:
        await consumer.stop()
    return np.concatenate(found)


if __name__ == "__main__":
    np.save(sys.stdout.buffer, asyncio.run(read(**json.loads(sys.argv[1]))))
