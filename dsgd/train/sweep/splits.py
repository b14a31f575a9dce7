"""Which rows a lane leaves out: every row has a number by its place, and a split is a range of these numbers.

Rows are not moved, and no list of them is kept: the number follows from the seed, the block and the row's place in it
(:mod:`dsgd.kernels.places`). A row left out weighs nothing, so that a lane is the fit of its own with those weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.block import Block
from ...data.statistics import Statistics
from ...errors import DataError
from ...kernels.places import place_numbers
from ...kernels.rows import Rows
from ...objective.problem import class_numbers
from ...objective.share import Share
from ...seeding import FOLDS, generator

_NUMBERS = 1 << 32


@dataclass(frozen=True)
class Range:
    """Numbers ``low <= number < high`` of the rows that are left out; empty for none."""

    low: int = 0
    high: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether no row is left out."""
        return self.low == self.high


def ranges(cv: int | float | None) -> tuple[Range, ...]:
    """The ranges of ``cv`` folds, or of one part of the rows; a single empty one for None.

    Examples
    --------
    >>> [(r.low, r.high) for r in ranges(2)], ranges(0.25)[0].high == 2**30
    ([(0, 2147483648), (2147483648, 4294967296)], True)
    """
    if cv is None:
        return (Range(),)
    if isinstance(cv, float):
        return (Range(0, round(cv * _NUMBERS)),)
    edges = [_NUMBERS * fold // cv for fold in range(cv + 1)]
    return tuple(map(Range, edges, edges[1:]))


class Places:
    """The own numbers of a rank's blocks.

    Parameters
    ----------
    seed : int
    first : int
        The row of the whole data with which this rank's rows begin, where its block holds rows in that order.
    """

    def __init__(self, seed: int, first: int = 0):
        self._seed, self._first = seed, first

    def of(self, key: tuple[int, ...]) -> np.uint64:
        """The number of a block, to which its rows' are added."""
        drawn = int(generator(self._seed, FOLDS, *key).integers(1 << 63))
        return np.uint64((drawn + self._first * 0x9E3779B97F4A7C15) % (1 << 64))

    def numbers(self, key: tuple[int, ...], rows: int) -> np.ndarray:
        """The numbers of a block's rows; int64."""
        out = np.empty(rows, np.int64)
        place_numbers(self.of(key), out)
        return out


class LaneShare(Share):
    """A rank's rows as one lane sees them: those left out weigh nothing."""

    def __init__(self, *arguments: Any, places: Places, left_out: Range, **options: Any):
        super().__init__(*arguments, **options)
        self.places, self.left_out = places, left_out

    def training(self, epoch: int | None = None) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield the training rows; see :class:`dsgd.objective.share.Share`."""
        for key, block, starts in self.chosen(epoch):
            yield self._weighed(key, block), starts

    def validation(self) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield the validation rows."""
        if self._fraction > 0:
            for key, block, starts in self.chosen(held_out=True):
                yield self._weighed(key, block), starts

    def _weighed(self, key: tuple[int, ...], block: Block) -> Rows:
        rows = self.problem.rows_of(block)
        if self.left_out.is_empty:
            return rows
        numbers = self.places.numbers(key, block.rows)
        kept = ((numbers < self.left_out.low) | (numbers >= self.left_out.high)).astype(self.problem.dtype)
        return rows._replace(weight=kept * rows.weight if rows.weight.size else kept)


def sums_of_split(store: Any, places: Places, outputs: int, groups: int, left_out: Range) -> np.ndarray:
    """Rows and weight of every class, of those left out and of the others; shape (2, 2, groups), float64."""
    sums = np.zeros((2, 2, groups))
    for key, block in store.keyed_blocks():
        numbers = places.numbers(key, block.rows)
        out = (numbers >= left_out.low) & (numbers < left_out.high)
        group = class_numbers(block.label, outputs) if groups > 1 else np.zeros(block.rows, np.intp)
        weight = block.weight if block.weight.size else np.ones(block.rows)
        for part, chosen in enumerate((out, ~out)):
            sums[part, 0] += np.bincount(group[chosen], minlength=groups)
            sums[part, 1] += np.bincount(group[chosen], weight[chosen], minlength=groups)
    return sums


def check_split(sums: np.ndarray, number: int, cv: Any) -> None:
    """Raise DataError when a split has nothing to train on, or nothing to measure by."""
    for part, what in enumerate(("measured on", "trained on")):
        if not sums[part, 1].sum() > 0:
            raise DataError(
                f"split {number} of cv={cv} has no rows with a weight to be {what}; give more rows, or fewer folds"
            )


def statistics_of_split(statistics: Statistics, sums: np.ndarray) -> Statistics:
    """The statistics that a lane goes by: its own weights and classes, and the columns' means and variances of all rows."""
    rows, weight = sums[1]
    share = weight.sum() / statistics.weight
    scaled = {name: getattr(statistics, name) * share for name in _SUMS}
    label = statistics.label
    if len(rows) > 1:
        label = replace(label, class_rows=rows.astype(np.int64), class_weight=weight)
    return replace(statistics, **scaled, label=label)


_SUMS = ("weight", "column_weight", "m2", "sparse_sum", "sparse_square", "norm_sum")
