"""Quix Streams with torch: one step for each event, with hidden states in its store.

``python -m tests.bench.peers.quix_step BOOTSTRAP SOURCE OUTPUT APP BUNDLE DIRECTORY``
"""

import struct
import sys

import numpy as np
import torch
from quixstreams import Application

from stream_rnn.model.bundle import load_bundle

BOOTSTRAP, SOURCE, OUTPUT, APP, BUNDLE, DIRECTORY = sys.argv[1:]
HEAD = struct.Struct("<q")

torch.set_num_threads(1)
model = load_bundle(BUNDLE)
app = Application(
    broker_address=BOOTSTRAP,
    consumer_group=APP,
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    state_dir=DIRECTORY,
)


def step(event, state):
    """Step one event."""
    stored = state.get_bytes("h")
    before = HEAD.unpack_from(stored)[0] if stored else None
    h = (
        torch.frombuffer(bytearray(stored[8:]), dtype=torch.float32).reshape(1, 1, -1)
        if stored
        else model.initial_hidden(1)
    )
    columns = {name: [event.get(name)] for name in ("amount", "kind", "known", "at")}
    x, _ = model.encoder.encode(columns, np.array([event["at"]]))
    since = np.nan if before is None else float(max(event["at"] - before, 0))
    model.encoder.fill_since_previous(x, np.array([since]))
    y, h = model.step(torch.from_numpy(x), h)
    state.set_bytes("h", HEAD.pack(event["at"]) + h.numpy().tobytes())
    return {"y": float(model.outputs(y.numpy())["buys"][0])}


source = app.topic(SOURCE, key_deserializer="bytes", value_deserializer="json")
output = app.topic(OUTPUT, key_serializer="bytes", value_serializer="json")
app.dataframe(source).apply(step, stateful=True).to_topic(output)

if __name__ == "__main__":
    app.run()
