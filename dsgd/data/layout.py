"""Which weights belong to which column: the layout of the one flat weight vector.

Dense columns come first, one weight each; then each categorical column, each interaction and each sparse vector column
owns a range of its own. No two columns share a weight, so a block of the model is a set of columns.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ColumnRange:
    """The weights of one source column: positions ``start`` to ``stop``.

    ``kind`` is "numeric", "vector" (dense), "categorical", "interaction" or "sparse".
    """

    name: str
    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Crosses:
    """The interactions of categorical columns, made on the fly from a row's codes by ``kernels.expand``.

    Attributes
    ----------
    columns : ndarray of shape (m, q), int32
        For each interaction the positions of its columns in ``Block.codes``; -1 pads those of fewer columns than ``q``.
    start : ndarray of shape (m,), int64
        First weight of each interaction.
    mask : ndarray of shape (m,), int64
        ``2**bits - 1``.
    """

    columns: np.ndarray
    start: np.ndarray
    mask: np.ndarray

    @property
    def count(self) -> int:
        """Number of interactions."""
        return len(self.start)


def no_crosses() -> Crosses:
    """Return the empty set of interactions."""
    return Crosses(np.zeros((0, 2), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Layout:
    """The layout of a fit's weight vector.

    Attributes
    ----------
    columns : tuple of ColumnRange
        In order of ``start``, without gaps.
    dense : int
        ``p``, the number of dense weights; they are the first.
    codes : int
        ``c``, the number of categorical columns in ``Block.codes``.
    crosses : Crosses
    size : int
        ``d``, the number of weights, the intercept not counted; below ``2**31``.
    """

    columns: tuple[ColumnRange, ...]
    dense: int
    codes: int
    crosses: Crosses
    size: int
