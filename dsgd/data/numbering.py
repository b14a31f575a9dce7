"""The weights that the data uses, numbered without gaps in the order in which the data brings them.

A hashed column owns 2**18 weights by default and uses as many as it has values, which lie scattered: in training, each step
would wait for memory once a value. Numbered as they come, they fit the caches, and common values, which come first, lie
together. Nothing else changes: a number stands for one weight of the layout, and the model gets its weights back under
their own positions. It is the dictionary's values that are numbered, so rows cost nothing.
"""

from collections.abc import Iterable

import numpy as np

from ..errors import DataError
from ..kernels.numbering import number_codes
from .layout import ColumnRange, Layout, no_crosses

# Fewer weights than these are in the nearest caches as they are.
_WIDE = 1 << 14


class Numbering:
    """Numbers for the weights of a layout's categorical columns; dense weights keep theirs.

    Parameters
    ----------
    layout : Layout
        Without interactions and sparse columns: see :func:`can_number`.

    Examples
    --------
    >>> from dsgd.data.spec import Categorical, FeatureSpec
    >>> numbering = Numbering(FeatureSpec(("age",), (Categorical("city"),)).layout)
    >>> codes = np.array([70_000, 5, 70_000], np.int32)
    >>> numbering.apply(codes)
    >>> codes.tolist(), numbering.positions.tolist(), numbering.layout.size
    ([1, 2, 1], [0, 70000, 5], 3)
    """

    def __init__(self, layout: Layout):
        self._full = layout
        self._place = np.zeros(layout.size, np.int32)
        self._met = np.zeros(1 << 10, np.int32)
        self._count = 0
        self._complete = False

    def apply(self, codes: np.ndarray) -> None:
        """Replace codes, an array of shape (n,) and int32, by their numbers, in place.

        Raises
        ------
        DataError
            When the numbering is complete and a code is new.
        """
        if self._count + len(codes) > len(self._met):
            self._met = np.concatenate([self._met[: self._count], np.zeros(self._count + 2 * len(codes), np.int32)])
        count = number_codes(codes, self._place, self._met, self._count, self._full.dense)
        if self._complete and count > self._count:
            raise DataError("the data has changed while it was in use; do not write to it during a fit")
        self._count = count

    def complete(self) -> None:
        """From now on a new code is an error."""
        self._complete = True

    @property
    def codes(self) -> np.ndarray:
        """The codes in the order of their numbers, int32."""
        return self._met[: self._count]

    @property
    def positions(self) -> np.ndarray:
        """For each weight of :attr:`layout` its position in the full layout, int32."""
        return np.concatenate([np.arange(self._full.dense, dtype=np.int32), self.codes])

    @property
    def layout(self) -> Layout:
        """The layout of the numbered weights."""
        p = self._full.dense
        size = p + self._count
        dense = tuple(column for column in self._full.columns if column.stop <= p)
        codes = ColumnRange("categories", "categorical", p, size)
        return Layout((*dense, codes), p, self._full.codes, no_crosses(), size)

    def numbers_in(self, other: "Numbering") -> np.ndarray | None:
        """For each number here that of the same weight in ``other``, which has them all; None if all are the same."""
        numbers = self.positions
        other.apply(numbers[self._full.dense :])
        return None if np.array_equal(numbers, np.arange(len(numbers))) else numbers


def merge_numberings(layout: Layout, ranks: Iterable[np.ndarray]) -> Numbering:
    """Number as if each rank's :attr:`Numbering.codes` had been met one rank after the other."""
    merged = Numbering(layout)
    for codes in ranks:
        merged.apply(codes.copy())
    merged.complete()
    return merged


def can_number(layout: Layout, whole: Layout | None = None) -> bool:
    """Whether the weights are numbered: many, and all of them dense or of one category each.

    Interactions are hashed from the codes of their columns, and a sparse matrix is not copied. ``whole`` is the layout that this
    is a block of, if it is one: of many weights all blocks are numbered, so that together they have as many as one rank has.
    """
    kinds = {column.kind for column in layout.columns}
    full = whole or layout
    return full.size - full.dense > _WIDE and kinds <= {"numeric", "vector", "categorical"}
