"""A plain Faust agent that reads the state, steps, writes the state and sends, for each event.

It is the obvious first version, without batches, transactions and recovery.  ``python -m
tests.bench.peers.faust_step BOOTSTRAP SOURCE OUTPUT APP BUNDLE REDIS_URL DIRECTORY``
"""

import json
import struct
import sys

import faust
import numpy as np
import torch
from redis.asyncio import Redis

from stream_rnn.model.bundle import load_bundle

BOOTSTRAP, SOURCE, OUTPUT, APP, BUNDLE, REDIS_URL, DIRECTORY = sys.argv[1:]

torch.set_num_threads(1)
app = faust.App(APP, broker=f"kafka://{BOOTSTRAP}", value_serializer="raw", datadir=DIRECTORY)
source = app.topic(SOURCE, key_serializer="raw", value_serializer="raw")
output = app.topic(OUTPUT, key_serializer="raw", value_serializer="raw")
model = load_bundle(BUNDLE)
redis = Redis.from_url(REDIS_URL)
HEAD = struct.Struct("<q")


@app.agent(source)
async def step(stream) -> None:
    """Process events one by one."""
    async for event in stream.events():
        fields = json.loads(event.value)
        time_ms = np.array([fields["at"]])
        field = f"{APP}:{event.key.decode()}"
        stored = await redis.get(field)
        before = HEAD.unpack_from(stored)[0] if stored else None
        h = (
            torch.frombuffer(bytearray(stored[8:]), dtype=torch.float32).reshape(1, 1, -1)
            if stored
            else model.initial_hidden(1)
        )
        columns = {name: [fields.get(name)] for name in ("amount", "kind", "known", "at")}
        x, _ = model.encoder.encode(columns, time_ms)
        since = np.nan if before is None else float(max(fields["at"] - before, 0))
        model.encoder.fill_since_previous(x, np.array([since]))
        y, h = model.step(torch.from_numpy(x), h)
        probability = float(model.outputs(y.numpy())["buys"][0])
        await redis.set(field, HEAD.pack(fields["at"]) + h.numpy().tobytes())
        await output.send(
            key=event.key,
            value=json.dumps({"y": probability}).encode(),
            timestamp=event.message.timestamp,
        )


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
