"""A dataset's columns, divided into blocks of about equal load: what each rank of model-parallel training owns.

A block is a set of whole columns, because each column owns its own range of the weight vector; a vector column that is too large
for a block is divided by ranges of its elements. An interaction is a column like any other: its members may be in other blocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from .crosses import cross_columns
from .spec import Categorical, FeatureSpec, Vector, VectorPiece

# A numeric value is read in order, and costs this part of a value whose weight is looked up.
_DENSE = 0.25
# Pieces that a block is made of, where a vector is divided.
_PIECES = 32


@dataclass(frozen=True)
class ColumnBlock:
    """Some of the columns of a dataset.

    Attributes
    ----------
    spec : FeatureSpec
        Of these columns alone.
    ranges : tuple of (int, int)
        The block's weights among those of all columns, range by range, in the order of the block's own.
    load : float
        Values of a row, weighed by what they cost.
    """

    spec: FeatureSpec
    ranges: tuple[tuple[int, int], ...]
    load: float

    @property
    def size(self) -> int:
        """Weights of the block."""
        return sum(stop - start for start, stop in self.ranges)

    def positions(self) -> np.ndarray:
        """The block's weights among those of all columns; shape (d_r,), int64."""
        return np.concatenate([np.arange(0), *(np.arange(start, stop) for start, stop in self.ranges)])


@dataclass(frozen=True)
class _Unit:
    """A column, or a piece of a vector; ``start`` is the first of its weights among those of all columns."""

    start: int
    load: float
    width: int
    numeric: tuple[str, ...] = ()
    categorical: tuple[Categorical, ...] = ()
    vectors: tuple[Vector, ...] = ()


def column_blocks(
    spec: FeatureSpec, count: int, values: Mapping[str, np.ndarray | float] | None = None
) -> list[ColumnBlock]:
    """Divide a dataset's columns into blocks.

    Parameters
    ----------
    spec : FeatureSpec
    count : int
        Blocks, at most as many as there are weights.
    values : dict, optional
        For sparse vector columns, by name, their values a row, or those of each element (shape (w,)); where it is not known
        a column counts as one value a row.

    Returns
    -------
    list of ColumnBlock
        The answer depends on nothing but the arguments.

    Raises
    ------
    ConfigError
        When there are fewer columns than blocks, and none that could be divided.

    Examples
    --------
    >>> spec = FeatureSpec(("a", "b"), (Categorical("c", bits=3),), (Vector("v", 100, sparse=True),))
    >>> for block in column_blocks(spec, 2, {"v": 3.0}):
    ...     print(block.spec.columns, block.ranges)
    ('a', 'b', 'c', 'v') ((0, 1), (1, 2), (2, 10), (10, 34))
    ('v',) ((34, 110),)
    """
    values = values or {}
    units = list(_units(spec, values))
    total = sum(unit.load for unit in units)
    pieces = [piece for unit in units for piece in _divided(unit, total / count, values)]
    if len(pieces) < count:
        raise ConfigError(
            f"{count} ranks need a column each at least, and there are {len(pieces)} that can be told apart; use fewer workers, "
            "or mode='sync', which divides the rows"
        )
    return [_block(spec, members) for members in _shares(pieces, count)]


def _units(spec: FeatureSpec, values: Mapping[str, np.ndarray | float]):
    parts: list[tuple[str, Any, float, int]] = [("numeric", name, _DENSE, 1) for name in spec.numeric]
    parts += [("vectors", v, _DENSE * v.width, v.width) for v in spec.dense_vectors]
    parts += [("categorical", column, 1.0, column.width) for column in (*spec.categorical, *cross_columns(spec))]
    parts += [("vectors", v, float(np.sum(values.get(v.name, 1.0))), v.width) for v in spec.sparse_vectors]
    start = 0
    for group, part, load, width in parts:
        yield _Unit(start, load, width, **{group: (part,)})
        start += width


def _divided(unit: _Unit, share: float, values: Mapping[str, np.ndarray | float]) -> list[_Unit]:
    """A unit, or its pieces where it is a vector with more than a block's share of the load."""
    if not unit.vectors or unit.load <= share or unit.width < 2:
        return [unit]
    (vector,) = unit.vectors
    # Small parts of a share, so that the blocks can be filled evenly.
    count = min(int(np.ceil(_PIECES * unit.load / share)), vector.width)
    known = values.get(vector.name) if vector.sparse else None
    if known is not None and np.ndim(known):
        loads = np.asarray(known, float)
        # An element that is never used still takes room.
        total = np.cumsum(loads + max(loads.mean(), 1e-12) / 1000)
        edges = np.searchsorted(total, total[-1] * np.arange(1, count) / count) + 1
        edges = np.unique(np.concatenate([[0], np.minimum(edges, vector.width), [vector.width]]))
    else:
        # All alike: no vector as long as the weights is made here.
        edges, total = np.array([-(-vector.width * i // count) for i in range(count + 1)]), None
    pieces = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if total is None:
            part = unit.load * (stop - start) / vector.width
        else:
            part = unit.load * float(total[stop - 1] - (total[start - 1] if start else 0.0)) / float(total[-1])
        piece = VectorPiece(vector.name, stop - start, vector.sparse, first=start, whole=vector.width)
        pieces.append(_Unit(unit.start + start, part, stop - start, vectors=(piece,)))
    return pieces


def _shares(units: Sequence[_Unit], count: int) -> list[list[_Unit]]:
    """The units in their order, cut where a block has its share of the load; every block has at least one."""
    ends = np.cumsum([unit.load for unit in units])
    middles = ends - np.array([unit.load for unit in units]) / 2
    owner = np.minimum((middles * count / ends[-1]).astype(int), count - 1)
    for i in range(len(units)):
        # No block is left out, at either end.
        owner[i] = max(min(owner[i], owner[i - 1] + 1 if i else 0), count - (len(units) - i), 0)
    return [[unit for unit, who in zip(units, owner, strict=True) if who == block] for block in range(count)]


def _block(spec: FeatureSpec, units: Sequence[_Unit]) -> ColumnBlock:
    def parts(name: str) -> tuple:
        return tuple(part for unit in units for part in getattr(unit, name))

    means = None
    own = FeatureSpec(parts("numeric"), parts("categorical"), _joined(parts("vectors")), missing=spec.missing)
    # Units are neighbours, and in the order of their weights.
    first = units[0].start
    ranges = tuple((first + column.start, first + column.stop) for column in own.layout.columns)
    if spec.means is not None:
        means = tuple(spec.means[j] for start, stop in ranges for j in range(start, min(stop, spec.layout.dense)))
    return ColumnBlock(replace(own, means=means), ranges, sum(unit.load for unit in units))


def _joined(vectors: Sequence[Vector]) -> tuple[Vector, ...]:
    """Neighbouring pieces of a vector as one."""
    joined: list[Vector] = []
    for vector in vectors:
        last = joined[-1] if joined else None
        if isinstance(vector, VectorPiece) and isinstance(last, VectorPiece) and last.name == vector.name:
            joined[-1] = replace(last, width=last.width + vector.width)
        else:
            joined.append(vector)
    return tuple(joined)
