"""The linear one-class support vector machine, solved to its optimum.

In comes a matrix of n rows, out come the weights ``w`` and the offset ``rho`` that minimise ``nu/2 |w|^2 + sum_i p_i max(0,
rho - w x_i) - nu rho`` (Schölkopf et al. 2001, divided by n; ``p_i`` are the rows' shares of the weight). The dual has one number
``a_i`` a row, between 0 and ``p_i``, which add up to nu, and ``w = sum_i a_i x_i / nu``. An interior-point method walks there: a
step costs one pass over the rows and a d x d matrix, because the dual's matrix is a diagonal and d outer products (Ferris &
Munson 2002).
"""

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse

# Columns up to which a matrix of d x d pays.
MOST_COLUMNS = 1 << 10
# Gap between primal and dual at which the walk ends, relatively; the part of the way to a bound that a step may go.
_GAP, _WAY = 1e-10, 0.995


def solve_one_class(X: Any, share: np.ndarray, nu: float, intercept: bool, most: int) -> tuple[np.ndarray, float, int]:
    """Return weights of shape (d,), offset, and the steps that were taken.

    Parameters
    ----------
    X : ndarray or scipy CSR matrix of shape (n, d)
    share : ndarray of shape (n,)
        Of the weight, above 0, adding up to 1.
    nu : float
        In (0, 1].
    intercept : bool
        Whether the offset is free; it is 1 otherwise.
    most : int
        Steps.

    Examples
    --------
    >>> X = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> weights, offset, _ = solve_one_class(X, np.full(4, 0.25), 0.4, True, 100)
    >>> weights.round(6).tolist(), round(float(offset), 6)
    ([1.375], 2.75)
    """
    if intercept and nu >= 1:
        # Every row is at its bound, and any offset from the largest score on will do.
        weights = _product(X.T, share)
        return weights, float(_product(X, weights).max()), 1
    walk = _Walk(X, share, nu, intercept)
    if not walk.size():
        # All rows are zero: no weight changes a score, and at the offset of their scores there is nothing to walk to.
        return np.zeros(X.shape[1]), 0.0 if intercept else 1.0, 1
    gap, steps = walk.gap(), 0
    best = gap, walk.weights(), walk.offset
    # Beyond ten times the least gap, rounding has taken over.
    while steps < most and gap > _GAP * walk.size() and gap < 10 * best[0]:
        walk.step()
        gap, steps = walk.gap(), steps + 1
        if gap < best[0]:
            best = gap, walk.weights(), walk.offset
    return walk.without_rounding(best[1]), best[2], steps


class _Walk:
    """The walk: the dual's numbers, the multipliers of their bounds, and the offset, which is that of their sum."""

    def __init__(self, X: Any, share: np.ndarray, nu: float, intercept: bool):
        self._X, self._share, self._nu, self._free = X, share.astype(np.float64), nu, intercept
        self._a = self._share * min(nu, 0.5) if not intercept else self._share * nu
        squares = X.multiply(X) if scipy.sparse.issparse(X) else np.square(X, dtype=np.float64)
        self._square = float(_product(squares.sum(axis=1).T, self._share).sum())
        scores = self._scores()
        self.offset = float(np.average(scores, weights=self._share)) if intercept else 1.0
        size = max(float(np.abs(scores - self.offset).max()), 1e-6)
        self._low = np.maximum(scores - self.offset, 0) + size
        self._high = np.maximum(self.offset - scores, 0) + size

    def weights(self) -> np.ndarray:
        return _product(self._X.T, self._a) / self._nu

    def _scores(self) -> np.ndarray:
        return _product(self._X, self.weights())

    def without_rounding(self, weights: np.ndarray) -> np.ndarray:
        """Weights, those that are no more than the rounding of their sums being 0."""
        rounding = 8 * np.finfo(np.float64).eps * _product(abs(self._X).T, self._a) / self._nu
        return np.where(np.abs(weights) > rounding, weights, 0.0)

    def gap(self) -> float:
        """Sum of the products that vanish at the optimum, and how far the conditions are from being met."""
        apart = self._low @ self._a + self._high @ (self._share - self._a)
        unmet = np.abs(self._scores() - self.offset - self._low + self._high) @ self._share
        return float(apart + unmet)

    def size(self) -> float:
        """What the gap is compared with: the penalty, but a hundredth of what it is at a typical row at least."""
        weights = self.weights()
        return 0.5 * self._nu * max(float(weights @ weights), 0.01 * self._square)

    def step(self) -> None:
        """Predict how far the gap would fall, then aim accordingly, and for the curve of the way (Mehrotra 1992)."""
        above = self._share - self._a
        move = self._solver(self._low / self._a + self._high / above)
        ones = move(np.ones(len(above))) if self._free else None
        gap = (self._low @ self._a + self._high @ above) / (2 * len(above))
        change, low, high, turn = self._direction(move, ones, above, 0.0, 0.0)
        way = self._way(above, change, low, high, 1.0)
        left = (self._low + way * low) @ (self._a + way * change) + (self._high + way * high) @ (above - way * change)
        aim = gap * (left / (2 * len(above)) / gap) ** 3
        change, low, high, turn = self._direction(move, ones, above, aim - change * low, aim + change * high)
        way = self._way(above, change, low, high, _WAY)
        self._a, self._low, self._high = self._a + way * change, self._low + way * low, self._high + way * high
        self.offset += way * turn

    def _direction(self, move: Any, ones: Any, above: np.ndarray, low_aim: Any, high_aim: Any) -> tuple:
        """Newton's step to products of ``low_aim`` and ``high_aim``: of the numbers, the multipliers and the offset."""
        change, turn = move(self.offset - self._scores() + low_aim / self._a - high_aim / above), 0.0
        if self._free:
            turn = (self._nu - self._a.sum() - change.sum()) / ones.sum()
            change = change + turn * ones
        low = low_aim / self._a - self._low - self._low / self._a * change
        high = high_aim / above - self._high + self._high / above * change
        return change, low, high, turn

    def _way(self, above: np.ndarray, change: np.ndarray, low: np.ndarray, high: np.ndarray, part: float) -> float:
        pairs = ((self._a, change), (above, -change), (self._low, low), (self._high, high))
        return min(1.0, *(part * _reach(at, by) for at, by in pairs))

    def _solver(self, diagonal: np.ndarray) -> Any:
        """Solve with ``diag(diagonal) + X X' / nu``, by the matrix of d x d that Woodbury's identity leaves."""
        X, nu, inverse = self._X, self._nu, 1.0 / diagonal
        scaled = X.multiply(inverse[:, None]).tocsr() if scipy.sparse.issparse(X) else X * inverse[:, None]
        inner = X.T @ scaled
        inner = inner.toarray() if scipy.sparse.issparse(inner) else np.array(inner, np.float64)
        inner[np.diag_indices_from(inner)] += nu
        factor = scipy.linalg.cho_factor(inner, check_finite=False)

        def solve(vector: np.ndarray) -> np.ndarray:
            first = inverse * vector
            return first - inverse * _product(X, scipy.linalg.cho_solve(factor, _product(X.T, first)))

        return solve


def _reach(at: np.ndarray, by: np.ndarray) -> float:
    """The longest step along ``by`` that keeps ``at`` at or above zero."""
    down = by < 0
    return float((at[down] / -by[down]).min(initial=np.inf))


def _product(matrix: Any, vector: np.ndarray) -> np.ndarray:
    return np.asarray(matrix @ vector, np.float64).ravel()
