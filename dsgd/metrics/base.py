"""What a metric is: sums over rows that add up, and the numbers that they give at the end.

In come scores, targets and weights, in any number of pieces on any number of ranks; the state is one float64 vector
whose sum over the pieces is the state of the whole, so an all-reduce of vectors is a merge. Out come named floats.
"""

from abc import ABC, abstractmethod
from typing import TypeVar

import numpy as np

from ..errors import DataError

Self = TypeVar("Self", bound="Metric")


class Metric(ABC):
    """Sums of shape (s,), float64, that start at zero and only ever add up.

    Attributes
    ----------
    sums : ndarray of shape (s,), float64
    """

    def __init__(self, size: int):
        self.sums = np.zeros(size)

    @abstractmethod
    def update(self, scores, target, weight) -> None:
        """Add rows: scores (n,) or (n, k), target (n,), weight (n,), all float64."""

    @abstractmethod
    def results(self) -> dict[str, float]:
        """Named values; NaN where the rows seen do not define them."""

    def merge(self: Self, other: Self) -> Self:
        """Add another's rows; returns ``self``."""
        self.sums += other.sums
        return self


def mean(total: float, weight: float) -> float:
    """``total / weight``, NaN for no weight."""
    return float(total / weight) if weight > 0 else float("nan")


class Metrics:
    """Several metrics of the same rows, with one state vector.

    Examples
    --------
    >>> import numpy as np
    >>> from dsgd.metrics import metrics_for
    >>> left, right = metrics_for("regression"), metrics_for("regression")
    >>> left.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> right.update(np.array([3.0]), np.array([3.0]))
    >>> round(left.merge(right).results()["mae"], 4)
    0.6667
    """

    def __init__(self, parts: "dict[str, Metric]"):
        self.parts = parts

    def update(self, scores, target, weight=None) -> None:
        """Add rows.

        Parameters
        ----------
        scores : array of shape (n,) or (n, k)
            What the model gives before the inverse link.
        target : array of shape (n,)
            -1 and +1 for two classes, 0 .. k-1 for more, the target itself for regression.
        weight : array of shape (n,) or None
            None, or an empty array, is 1 for all.

        Raises
        ------
        DataError
            When the numbers of rows differ.
        """
        scores, target = np.asarray(scores, np.float64), np.asarray(target, np.float64)
        unweighted = weight is None or (np.size(weight) == 0 and target.size > 0)
        weight = np.ones(target.size) if unweighted else np.asarray(weight, np.float64)
        if not len(scores) == len(target) == len(weight):
            raise DataError(
                f"scores, target and weight must have as many rows as each other, "
                f"not {len(scores)}, {len(target)} and {len(weight)}"
            )
        for part in self.parts.values():
            part.update(scores, target, weight)

    def merge(self, other: "Metrics") -> "Metrics":
        """Add another's rows; returns ``self``. The other was made with the same arguments."""
        if list(self.parts) != list(other.parts):
            raise DataError(f"cannot merge metrics of {list(other.parts)} into metrics of {list(self.parts)}")
        for name, part in self.parts.items():
            part.merge(other.parts[name])
        return self

    def results(self) -> dict[str, float]:
        """All named values, NaN where the rows seen do not define them."""
        return {name: value for part in self.parts.values() for name, value in part.results().items()}

    def to_vector(self) -> np.ndarray:
        """State as a new float64 vector; the vectors of ranks add up to the vector of all rows."""
        return np.concatenate([part.sums for part in self.parts.values()])

    def from_vector(self, vector) -> "Metrics":
        """Take over the state that :meth:`to_vector` gave, or a sum of such; returns ``self``."""
        expected = sum(part.sums.size for part in self.parts.values())
        if np.shape(vector) != (expected,):
            raise DataError(f"the state of these metrics has shape ({expected},), not {np.shape(vector)}")
        start = 0
        for part in self.parts.values():
            part.sums[:] = vector[start : start + part.sums.size]
            start += part.sums.size
        return self
