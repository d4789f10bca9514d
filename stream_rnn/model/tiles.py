"""The number of rows of a batched step, such that no row's bits depend on the other rows.

Kernels of matrix products are chosen by the shape of the product.  Measured with torch on CPUs: a
batch of 1, 2, 3 or 5 rows can differ bitwise from the same rows in a larger batch, while batches
padded to a multiple of one fixed tile do not differ, in any order, with any padding and with 1 to
2,048 tiles, if the inner dimension of every product is a multiple of 4.  Which tile is large enough
depends on the CPU and on the build of torch: 8 rows on most, 16 where the kernel for 8 rows adds in
another order than that for 16.  So each process takes the smallest tile that a probe finds
invariant.  A larger tile than needed gives the same bits and is slower.
"""

from functools import cache

import torch
from torch import Tensor

TILES = (8, 16, 32, 64)
TILE_MIN = TILES[0]
VARIANT_BITS = (
    "on this machine the last bits of an output depend on the other events of its batch, so a replay "
    "may differ from the published predictions: use another CPU type or torch build"
)
_INNER = (8, 16, 24, 48, 64, 128, 192, 256, 512)  # sizes of inputs and hidden states
_OUTER = (1, 2, 3, 5, 8, 9, 24, 64, 192, 256, 768)  # widths of heads and of gates
_COUNTS = (1, 2, 3, 5, 8)  # tiles in a batch
_ROWS_MAX = 16_384  # rows of a large batch, of which some shapes are tried
_LARGE = {(8, 24), (64, 2), (64, 192), (256, 3)}  # (inner, outer)


@cache
def tile_rows() -> int:
    """Return the smallest tile that is invariant on this machine; the largest if none is."""
    return _find_tile() or TILES[-1]


def is_batch_invariant() -> bool:
    """Return whether this machine has a tile that is invariant."""
    return _find_tile() is not None


@cache
def _find_tile() -> int | None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as where the tile is used, see ``pin_numerics``
    try:
        with torch.inference_mode():
            return next((rows for rows in TILES if _is_invariant(rows)), None)
    finally:
        torch.set_num_threads(threads)


def pad_rows(rows: Tensor) -> Tensor:
    """Return rows (B, ...) padded with zeros to whole tiles."""
    return torch.cat([rows, rows.new_zeros(-len(rows) % tile_rows(), *rows.shape[1:])])


def whole_tiles(rows: int) -> int:
    """Return a number of rows, rounded up to whole tiles; at least one."""
    return max(1, -(-rows // tile_rows())) * tile_rows()


def _is_invariant(rows: int) -> bool:
    """Return whether products of one to several tiles give each row the same bits."""
    generator = torch.Generator().manual_seed(0)
    return all(
        _is_product_invariant(rows, inner, outer, generator) for inner in _INNER for outer in _OUTER
    )


def _is_product_invariant(rows: int, inner: int, outer: int, generator: torch.Generator) -> bool:
    """Return whether a product (B, inner) x (inner, outer) gives each row the same bits."""
    counts = (*_COUNTS, _ROWS_MAX // rows) if (inner, outer) in _LARGE else _COUNTS
    left = torch.randn(rows * counts[-1], inner, generator=generator)
    weight = torch.randn(outer, inner, generator=generator)
    bias = torch.randn(outer, generator=generator)
    alone = [
        torch.nn.functional.linear(left[at : at + rows].clone(), weight, bias)
        for at in range(0, len(left), rows)
    ]
    expected = torch.cat(alone)
    for count in counts:
        found = torch.nn.functional.linear(left[-count * rows :].clone(), weight, bias)
        if not torch.equal(found, expected[-count * rows :]):
            return False
    # The place of a row in its tile must not matter, either.
    rolled = torch.nn.functional.linear(left.roll(1, 0), weight, bias)
    return torch.equal(rolled, expected.roll(1, 0))
