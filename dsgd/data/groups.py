"""Splits to blocks: which splits are encoded together, how many rows a block has, and the encoding itself.

A large split becomes several blocks, small neighbouring ones share a block. How rows are cut depends on the splits and the
layout alone, and the shuffle within a block is drawn from its place in the seed tree: the same data gives the same blocks
everywhere, and again when they are encoded again.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..seeding import ROWS, generator
from .block import Block
from .dataset import Dataset, Split
from .encode import Encoder
from .layout import Layout
from .order import concatenate, join_shuffled

# A block is at most so many rows, and so many bytes: it is what an epoch holds in memory at a time.
BLOCK_ROWS = 1 << 17
BLOCK_BYTES = 24 << 20


class GroupEncoder:
    """Encodes groups of splits.

    Parameters
    ----------
    dataset : Dataset
    encoder : Encoder
    seed : int or None
        Rows are permuted within their block; None keeps their order.
    threads : int
        Threads that may decode Parquet.
    moved : callable
        Called for every block and every small split.
    """

    def __init__(self, dataset: Dataset, encoder: Encoder, seed: int | None, threads: int, moved: Callable[[], None]):
        self._dataset, self._encoder, self._seed, self._threads, self._moved = dataset, encoder, seed, threads, moved
        self._rows = block_rows(dataset.cut_like or dataset.spec.layout, encoder.dtype)

    def groups(self, splits: Sequence[Split]) -> Iterator[list[Split]]:
        """The splits that are encoded together."""
        return grouped(splits, self._rows)

    def __call__(self, group: Sequence[Split]) -> Iterator[Block]:
        """Yield the blocks of a group: of a large split several, of several small splits one."""
        shuffle = None if self._seed is None else generator(self._seed, ROWS, *group[0].place)
        options = (self._encoder, self._rows, self._threads)
        if len(group) == 1:
            for block in self._dataset.blocks(group[0], *options, shuffle):
                self._moved()
                yield block
            return
        parts: list[Block] = []
        for split in group:
            parts += self._dataset.blocks(split, *options)
            self._moved()
        if parts:
            yield concatenate(parts) if shuffle is None else join_shuffled(parts, shuffle)


def block_rows(layout: Layout, dtype: np.dtype) -> int:
    """Rows of a block: a function of the layout only, so that the same data is cut alike everywhere."""
    row = layout.dense * dtype.itemsize + layout.codes * 4 + 3 * dtype.itemsize
    return int(np.clip(BLOCK_BYTES // row, 256, BLOCK_ROWS))


def grouped(splits: Sequence[Split], rows: int) -> Iterator[list[Split]]:
    """Put small neighbouring splits together, up to ``rows`` rows; a larger one stays alone."""
    group: list[Split] = []
    for split in splits:
        if group and sum(member.rows for member in group) + split.rows > rows:
            yield group
            group = []
        group.append(split)
    if group:
        yield group
