"""Which of all weights a rank's vectors are of, and the way from one rank's vectors to another's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Held:
    """The weights that a vector of shape ((n + 1) k,) has, before the intercepts at its end.

    Attributes
    ----------
    ranges : tuple of (int, int)
        Among the weights of all columns.
    positions : ndarray of shape (n,), or None
        Which of those of the ranges, counted from their beginning, in the order of the vector; None for all of them.

    Examples
    --------
    >>> Held(((0, 2), (10, 12)), None).places().tolist(), Held(((0, 2), (10, 12)), np.array([3, 0])).places().tolist()
    ([0, 1, 10, 11], [11, 0])
    """

    ranges: tuple[tuple[int, int], ...]
    positions: np.ndarray | None = None

    def places(self) -> np.ndarray:
        """Each weight's place among all weights; shape (n,), int64."""
        whole = np.concatenate([np.arange(0), *(np.arange(start, stop) for start, stop in self.ranges)])
        return whole if self.positions is None else whole[self.positions]

    def same_as(self, other: "Held") -> bool:
        """Whether vectors of one are vectors of the other."""
        if self.ranges != other.ranges:
            return False
        if self.positions is None or other.positions is None:
            return self.positions is other.positions
        return np.array_equal(self.positions, other.positions)


def own_positions(ranges: Sequence[tuple[int, int]], places: np.ndarray) -> np.ndarray:
    """Of some places among all weights, those within the ranges, counted from their beginning; int64.

    Examples
    --------
    >>> own_positions([(0, 2), (10, 12)], np.array([11, 5, 1])).tolist()
    [3, 1]
    """
    found, begin = np.full(len(places), -1), 0
    for start, stop in ranges:
        inside = (places >= start) & (places < stop)
        found[inside] = places[inside] - start + begin
        begin += stop - start
    return found[found >= 0]


def carried(sources: Sequence[tuple[Held, np.ndarray]], target: Held, outputs: int) -> np.ndarray:
    """A vector of the target's weights from vectors of others', which have each weight once at most; zero where none has it.

    Parameters
    ----------
    sources : sequence of (Held, ndarray of shape ((n + 1) k,))
    target : Held
    outputs : int
        ``k``.

    Examples
    --------
    >>> old = [(Held(((0, 2),)), np.array([1.0, 2.0, 9.0])), (Held(((2, 4),)), np.array([3.0, 4.0, 9.0]))]
    >>> carried(old, Held(((1, 3),)), 1).tolist()
    [2.0, 3.0, 9.0]
    """
    for held, vector in sources:
        if held.same_as(target):
            return vector
    first = sources[0][1]
    if target.positions is None and all(held.positions is None for held, _ in sources):
        return _by_ranges(sources, target, outputs)
    wanted = target.places()
    out = np.zeros((len(wanted) + 1, outputs), first.dtype)
    # The intercepts, which all have.
    out[-1] = first.reshape(-1, outputs)[-1]
    for held, vector in sources:
        places, rows = held.places(), vector.reshape(-1, outputs)
        order = np.argsort(places)
        at = np.minimum(np.searchsorted(places, wanted, sorter=order), max(len(places) - 1, 0))
        if len(places):
            found = places[order[at]] == wanted
            out[:-1][found] = rows[order[at[found]]]
    return out.ravel()


def _by_ranges(sources: Sequence[tuple[Held, np.ndarray]], target: Held, outputs: int) -> np.ndarray:
    """As :func:`carried`, where all have whole ranges: without a list of places, which takes more than the weights."""
    first = sources[0][1].reshape(-1, outputs)
    out = np.zeros((sum(stop - start for start, stop in target.ranges) + 1, outputs), first.dtype)
    out[-1] = first[-1]
    for held, vector in sources:
        rows, begin = vector.reshape(-1, outputs), 0
        for start, stop in held.ranges:
            at = 0
            for low, high in target.ranges:
                a, z = max(start, low), min(stop, high)
                if a < z:
                    out[at + a - low : at + z - low] = rows[begin + a - start : begin + z - start]
                at += high - low
            begin += stop - start
    return out.ravel()
