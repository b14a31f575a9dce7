"""A rank's rows as training sees them: the training rows and the validation rows, in runs, epoch after epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data.block import Block
from ..data.order import EpochOrder
from ..kernels.rows import Rows
from ..seeding import ORDER, VALIDATION, generator
from .problem import Problem, run_starts

# Runs, at least, of the rows that are kept for validation: fewer would be too few to choose at random.
_VALIDATION_RUNS = 4


def longest_run(batch_rows: int, fraction: float, rows: int) -> int:
    """Rows that a run of a rank may have: a mini-batch's, and few of those that are kept for validation.

    Examples
    --------
    >>> longest_run(64, 0.0, 1000), longest_run(64, 0.1, 1000)
    (64, 25)
    """
    return batch_rows if not fraction else max(1, min(batch_rows, int(fraction * rows / _VALIDATION_RUNS)))


class Share:
    """The rows of one rank, and which of their runs are for validation.

    Parameters
    ----------
    problem : Problem
    store : BlockStore or MemoryStore
        Labels mapped already.
    run : int
        Rows of a run.
    seed : int
    rank : int
    fraction : float
        Share of the runs that is kept for validation; drawn once, alike in every epoch: at least one run of every block
        that has two, and never all of them.
    validation : store, optional
        The user's own validation rows, instead of a fraction.
    """

    def __init__(self, problem: Problem, store: Any, run: int, *, seed: int, rank: int, fraction=0.0, validation=None):
        self.problem, self.store, self.run = problem, store, run
        self._seed, self._rank, self._fraction, self._validation = seed, rank, fraction, validation

    @property
    def held_out(self) -> bool:
        """Whether there are validation rows."""
        return self._fraction > 0 or self._validation is not None

    def training(self, epoch: int | None = None) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield the training rows block by block, with the first rows of the runs in the order to visit them.

        ``epoch`` draws the order of blocks and of runs; None keeps both as they were written.
        """
        for _, block, starts in self.chosen(epoch):
            yield self.problem.rows_of(block), starts

    def validation(self) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield the validation rows as ``training`` does."""
        if self._validation is not None:
            for _, block in self._validation.keyed_blocks():
                yield self.problem.rows_of(block), run_starts(block.rows, self.run, None)
        elif self._fraction > 0:
            for _, block, starts in self.chosen(held_out=True):
                yield self.problem.rows_of(block), starts

    def chosen(
        self, epoch: int | None = None, held_out: bool = False
    ) -> Iterator[tuple[tuple[int, ...], Block, np.ndarray]]:
        """Yield the blocks with their keys and the runs that are for training, or those that are held out of it."""
        order = None if epoch is None else EpochOrder(self._seed, epoch, self._rank)
        for key, block in self.store.keyed_blocks(order):
            starts = self._select(key, block.rows, held_out)
            if epoch is not None:
                generator(self._seed, ORDER, epoch, self._rank, *key).shuffle(starts)
            if len(starts):
                yield key, block, starts

    def training_rows(self) -> int:
        """Number of this rank's training rows."""
        return self._count(self.training()) if self._fraction else self.store.rows

    def _count(self, parts: Iterator[tuple[Rows, np.ndarray]]) -> int:
        return sum(int(np.minimum(self.run, len(rows.label) - starts).sum()) for rows, starts in parts)

    def _select(self, key: tuple[int, ...], rows: int, held_out: bool) -> np.ndarray:
        starts = run_starts(rows, self.run, None)
        if not self._fraction:
            return starts
        kept = max(min(1, len(starts) - 1), min(round(self._fraction * len(starts)), len(starts) - 1))
        order = generator(self._seed, VALIDATION, self._rank, *key).permutation(len(starts))
        return starts[np.sort(order[:kept] if held_out else order[kept:])]
