"""The order in which an epoch visits the blocks, drawn from the seed tree; and blocks joined, their rows permuted."""

from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np

from ..seeding import ORDER, generator
from .block import Block


@dataclass(frozen=True)
class EpochOrder:
    """One epoch's shuffle of the blocks on one rank.

    Rows were permuted within their block when it was written; training visits short runs of them in an order of its own.
    """

    seed: int
    epoch: int
    rank: int

    def permutation(self, count: int) -> np.ndarray:
        """The order of ``count`` blocks."""
        return generator(self.seed, ORDER, self.epoch, self.rank).permutation(count)


def epoch_order(seed: int, epoch: int, rank: int = 0) -> EpochOrder:
    """Return the order of an epoch on a rank; the same arguments always give the same order.

    Examples
    --------
    >>> bool((epoch_order(1, 0, 0).permutation(9) == epoch_order(1, 0, 0).permutation(9)).all())
    True
    """
    return EpochOrder(seed, epoch, rank)


def concatenate(blocks: list[Block]) -> Block:
    """Join blocks of one layout, in order; copies."""
    if len(blocks) == 1:
        return blocks[0]
    parts = {
        field.name: np.concatenate([getattr(block, field.name) for block in blocks])
        for field in fields(Block)
        if field.name not in ("indptr", "indices", "values")
    }
    if blocks[0].indptr.size <= 1:
        first = blocks[0]
        return Block(**parts, indptr=first.indptr, indices=first.indices, values=first.values)
    spans = [slice(block.indptr[0], block.indptr[-1]) for block in blocks]
    lengths = np.concatenate([np.diff(block.indptr) for block in blocks])
    return Block(
        **parts,
        indptr=np.concatenate([[0], np.cumsum(lengths)]),
        indices=np.concatenate([block.indices[span] for block, span in zip(blocks, spans, strict=True)]),
        values=np.concatenate([block.values[span] for block, span in zip(blocks, spans, strict=True)]),
    )


def join_shuffled(blocks: list[Block], shuffle: np.random.Generator) -> Block:
    """Join blocks of one layout, their rows permuted, with one copy of each row."""
    total = sum(block.rows for block in blocks)
    destination = shuffle.permutation(total)
    edges = np.cumsum([0, *(block.rows for block in blocks)])
    places = [destination[a:b] for a, b in pairwise(edges)]
    parts = {}
    for name in ("dense", "codes", "label", "weight", "offset"):
        first = getattr(blocks[0], name)
        parts[name] = np.empty((total if len(first) else 0, *first.shape[1:]), first.dtype)
        if len(first):
            for block, place in zip(blocks, places, strict=True):
                parts[name][place] = getattr(block, name)
    sparse = {"indptr": blocks[0].indptr, "indices": blocks[0].indices, "values": blocks[0].values}
    if blocks[0].indptr.size > 1:
        narrow = [replace(block, dense=block.dense[:, :0], codes=block.codes[:, :0]) for block in blocks]
        moved = take_rows(concatenate(narrow), np.argsort(destination))
        sparse = {"indptr": moved.indptr, "indices": moved.indices, "values": moved.values}
    return Block(**parts, **sparse)


def take_rows(block: Block, rows: np.ndarray) -> Block:
    """Copy the rows with the given numbers, in that order."""
    sparse = {"indptr": block.indptr, "indices": block.indices, "values": block.values}
    if block.indptr.size > 1:
        starts, lengths = block.indptr[rows], np.diff(block.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        sparse = {"indptr": indptr, "indices": block.indices[places], "values": block.values[places]}
    return Block(
        dense=block.dense.take(rows, axis=0),
        codes=block.codes.take(rows, axis=0),
        label=block.label.take(rows),
        weight=block.weight.take(rows) if block.weight.size else block.weight,
        offset=block.offset.take(rows) if block.offset.size else block.offset,
        **sparse,
    )
