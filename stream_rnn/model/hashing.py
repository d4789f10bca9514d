"""The bucket of a word: its murmur2, the hash by which Kafka's clients choose partitions.

The hash is part of the fold: it must not change, and depends on neither the process nor the machine.

Source: ``Utils.murmur2`` of Kafka's Java client.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HASHED_BYTES_MAX = 1024  # of a word; the rest does not count, so that the work has a bound
_SEED, _M = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
_BLOCK = 4


def bucket_of(words: Sequence[str], buckets: int) -> NDArray[np.int64]:
    """Return the bucket (N,) of each word, from 0 on.

    Example:
        >>> bucket_of(["a", "b", "ä" * 700, "ä" * 800], 1024).tolist()
        [636, 1012, 936, 936]
    """
    encoded = [word.encode("utf-8", "surrogatepass")[:HASHED_BYTES_MAX] for word in words]
    return (murmur2(encoded) & np.uint32(0x7FFFFFFF)).astype(np.int64) % buckets


def murmur2(keys: Sequence[bytes]) -> NDArray[np.uint32]:
    """Return the murmur2 (N,) of each key."""
    lengths = np.array([len(key) for key in keys], np.uint32)
    width = (int(lengths.max(initial=0)) // _BLOCK + 1) * _BLOCK  # with room for a part of a block
    padded = b"".join(key.ljust(width, b"\0") for key in keys)
    blocks = np.frombuffer(padded, "<u4").reshape(len(keys), width // _BLOCK).astype(np.uint32)
    whole, has_rest = lengths // _BLOCK, lengths % _BLOCK > 0
    hashes = _SEED ^ lengths
    for number in range(int(whole.max(initial=0))):
        block = blocks[:, number] * _M
        block = (block ^ (block >> np.uint32(24))) * _M
        hashes = np.where(number < whole, (hashes * _M) ^ block, hashes)
    rest = blocks[np.arange(len(keys)), whole]
    hashes = np.where(has_rest, (hashes ^ rest) * _M, hashes)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _M
    return np.asarray(hashes ^ (hashes >> np.uint32(15)))
