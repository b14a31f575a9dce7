"""The shape of the aggregate tree: which partial results are folded together, level by level.

It depends on the number of results and the depth only, never on the engine, so that floats are added in one order
everywhere. Every group is a run of neighbours, folded from the left.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import ConfigError

T = TypeVar("T")


def fan_in(count: int, depth: int) -> int:
    """Smallest ``f >= 2`` with ``f ** depth >= count``.

    Examples
    --------
    >>> fan_in(100, 2), fan_in(101, 2), fan_in(3, 5)
    (10, 11, 2)
    """
    fan = 2
    while fan**depth < count:
        fan += 1
    return fan


def levels(count: int, depth: int) -> list[list[tuple[int, int]]]:
    """Return the groups of every level, each as ``(start, stop)`` among the results of the level below.

    Parameters
    ----------
    count : int
        Number of results at the bottom, ``>= 1``.
    depth : int
        Levels of folding at most, ``>= 1``; 1 folds all results at once, in the driver.

    Returns
    -------
    list of lists of (int, int)
        At most ``depth`` levels, at least one; the last has a single group.

    Raises
    ------
    ConfigError
        When ``count`` or ``depth`` is below 1.

    Examples
    --------
    >>> levels(5, 2)
    [[(0, 3), (3, 5)], [(0, 2)]]
    >>> levels(4, 1)
    [[(0, 4)]]
    """
    if count < 1:
        raise ConfigError("an aggregate needs at least one payload; found none")
    if depth < 1:
        raise ConfigError(f"the depth of an aggregate must be at least 1, not {depth}")
    fan = fan_in(count, depth)
    shape: list[list[tuple[int, int]]] = []
    while not shape or count > 1:
        groups = [(start, min(start + fan, count)) for start in range(0, count, fan)]
        shape.append(groups)
        count = len(groups)
    return shape


def fold(results: Sequence[T], combine: Callable[[T, T], T]) -> T:
    """Fold one group from the left."""
    total = results[0]
    for result in results[1:]:
        total = combine(total, result)
    return total


def reduce(results: Sequence[T], combine: Callable[[T, T], T], depth: int) -> T:
    """Fold results through the whole tree, in one process: what every engine's aggregate must equal, bit for bit.

    Examples
    --------
    >>> reduce(["a", "b", "c", "d", "e"], lambda left, right: f"({left}{right})", depth=2)
    '(((ab)c)(de))'
    """
    for groups in levels(len(results), depth):
        results = [fold(results[start:stop], combine) for start, stop in groups]
    return results[0]
