"""Networks of Keras, as people have them: this module imports nothing of the package.

``python keras_networks.py FOLDER`` writes, for each network, ``NAME.keras``, ``NAME.h5`` and
``NAME.npz`` with the outputs of Keras.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers

WORDS, PLAIN, EMBEDDING = 4, 2, 3
RECURRENT = ("SimpleRNN", "GRU", "LSTM")


def sequential(kind, **options):
    """Return two recurrent layers and a Dense, which give the outputs of each step."""
    recurrent = getattr(layers, kind)
    return keras.Sequential(
        [
            keras.Input((None, PLAIN)),
            recurrent(6, return_sequences=True, name="first", **options),
            layers.Dropout(0.5),
            recurrent(6, return_sequences=True, **options),
            layers.Dense(2, name="out"),
        ]
    )


def functional(kind, *, last_only=False):
    """Return an embedding, a recurrent layer, and two heads, one of them with softmax."""
    plain = keras.Input((None, PLAIN), name="plain")
    word = keras.Input((None,), dtype="int32", name="word")
    table = layers.Embedding(WORDS, EMBEDDING, name="carrier")(word)
    joined = layers.Concatenate()([plain, table])
    h = getattr(layers, kind)(5, return_sequences=not last_only)(joined)
    late = layers.Dense(1, name="late")
    late = late if last_only else layers.TimeDistributed(late)
    return keras.Model([plain, word], [late(h), layers.Dense(3, name="next_carrier")(h)])


def randomize(network, draw):
    """Give every weight a random value, also the biases, which begin with zeros."""
    for weight in network.weights:
        weight.assign(draw.normal(size=weight.shape) / 2)


def write(folder, name, network, *, has_words):
    """Write a network, and reference outputs of it."""
    draw = np.random.default_rng(4)
    randomize(network, draw)
    plain = draw.normal(size=(3, 9, PLAIN)).astype(np.float32)
    word = draw.integers(0, WORDS, (3, 9))
    inputs = {"plain": plain, "word": word} if has_words else plain
    outputs = network.predict(inputs, verbose=0)
    x = np.concatenate([plain, word[..., None]], -1) if has_words else plain
    y = np.concatenate(outputs, -1) if has_words else outputs
    np.savez(Path(folder) / f"{name}.npz", x=x, y=y)
    network.save(Path(folder) / f"{name}.keras")
    network.save(Path(folder) / f"{name}.h5")


if __name__ == "__main__":
    for kind in RECURRENT:
        write(sys.argv[1], kind, sequential(kind), has_words=False)
        write(sys.argv[1], f"{kind}-no-bias", sequential(kind, use_bias=False), has_words=False)
        write(sys.argv[1], f"{kind}-functional", functional(kind), has_words=True)
        last = functional(kind, last_only=True)
        write(sys.argv[1], f"{kind}-last", last, has_words=True)
