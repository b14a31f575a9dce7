"""The minimum of a convex objective, found by scipy's L-BFGS-B in float64: what trained models are compared with.

Comes in: a loss by name, X (n, d) dense or CSR, y, and the penalty. Goes out: coefficients, intercept and objective, where

    objective = sum_i weight_i loss_i / sum_i weight_i + alpha (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|_2^2),

the intercept free of penalty. Columns are whitened or scaled inside, which changes the path and not the minimum. With an l1
part, w is split into its positive and negative parts, both bounded below by zero: the problem is smooth again, and coordinates
at zero are exactly zero. Results are kept in the system's temporary directory under a hash of all
inputs, because the tests of many optimisers ask for the same minimum.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.optimize import minimize

from .formulas import LOSSES

WHITEN = 2000  # columns up to which their covariance is worth a Cholesky decomposition
CURVATURE = 0.25  # a typical second derivative of the losses


@dataclass(frozen=True)
class Optimum:
    """The minimum.

    Attributes
    ----------
    coef : ndarray of shape (d,), or (k, d) for "multinomial"
    intercept : float, or ndarray of shape (k,)
    objective : float
    """

    coef: np.ndarray
    intercept: np.ndarray | float
    objective: float


class Objective:
    """The objective and its gradient at (coef, intercept); there are k = 1 outputs but for "multinomial"."""

    def __init__(self, loss, X, y, *, weight=None, offset=None, alpha=0.0, l1_ratio=0.0, **parameters):
        self.X = sparse.csr_matrix(X, dtype=np.float64) if sparse.issparse(X) else np.asarray(X, np.float64)
        self.y = np.asarray(y, np.int64 if loss == "multinomial" else np.float64)
        n = self.X.shape[0]
        weight = np.ones(n) if weight is None else np.asarray(weight, np.float64)
        self.share = weight / weight.sum()
        self.offset = np.zeros(n) if offset is None else np.asarray(offset, np.float64)
        self.l1, self.l2 = alpha * l1_ratio, alpha * (1 - l1_ratio)
        self.outputs = int(self.y.max()) + 1 if loss == "multinomial" else 1
        self._loss, self._parameters = LOSSES[loss], parameters

    def smooth(self, coef: np.ndarray, intercept: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean loss and its gradients, without penalty; coef (k, d), intercept (k,)."""
        score = np.asarray(self.X @ coef.T) + intercept + self.offset[:, None]
        if self.outputs == 1:
            value, slope = self._loss(score[:, 0], self.y, **self._parameters)
            slope = slope[:, None]
        else:
            value, slope = self._loss(score, self.y, **self._parameters)
        slope = slope * self.share[:, None]
        return float(self.share @ value), np.asarray((self.X.T @ slope).T), slope.sum(axis=0)

    def __call__(self, coef, intercept) -> float:
        """The objective, penalty included; accepts the shapes of :class:`Optimum`."""
        coef = np.atleast_2d(np.asarray(coef, np.float64))
        value, _, _ = self.smooth(coef, np.atleast_1d(np.asarray(intercept, np.float64)))
        return value + self.l1 * float(np.abs(coef).sum()) + self.l2 / 2 * float((coef**2).sum())


def solve(
    loss, X, y, weight=None, alpha=0.0, l1_ratio=0.0, fit_intercept=True, *, offset=None, **parameters
) -> Optimum:
    """Find (or recall) the minimum.

    Parameters
    ----------
    loss : str
        A name in ``formulas.LOSSES``; ``parameters`` are its own (``epsilon`` of "huber").
    X : ndarray or CSR of shape (n, d)
    y : ndarray of shape (n,)
    weight, offset : ndarray of shape (n,), optional
    alpha, l1_ratio : float
    fit_intercept : bool
    """
    objective = Objective(loss, X, y, weight=weight, offset=offset, alpha=alpha, l1_ratio=l1_ratio, **parameters)
    key = _key(objective, loss, fit_intercept, sorted(parameters.items()))
    path = Path(tempfile.gettempdir()) / "dsgd-optimum" / f"{key}.npz"
    if not path.exists():
        _save(path, *_minimise(objective, fit_intercept))
    with np.load(path, allow_pickle=False) as saved:
        coef, intercept = saved["coef"], saved["intercept"]
    if loss != "multinomial":
        coef, intercept = coef[0], float(intercept[0])
    return Optimum(coef, intercept, objective(coef, intercept))


def _minimise(objective: Objective, fit_intercept: bool) -> tuple[np.ndarray, np.ndarray]:
    k, d = objective.outputs, objective.X.shape[1]
    center, basis = _coordinates(objective, fit_intercept)
    size, signs = k * d, ((1.0, -1.0) if objective.l1 else (1.0,))

    def unpack(z):
        parts = [z[i * size : (i + 1) * size].reshape(k, d) @ basis for i in range(len(signs))]
        coef = sum(sign * part for sign, part in zip(signs, parts, strict=True))
        return coef, z[len(signs) * size :] - coef @ center, sum(part.sum() for part in parts)

    def value_and_gradient(z):
        coef, intercept, total = unpack(z)
        value, gradient, free = objective.smooth(coef, intercept)
        value += objective.l2 / 2 * (coef**2).sum() + objective.l1 * (total if objective.l1 else 0.0)
        gradient = gradient + objective.l2 * coef - np.outer(free, center)
        sides = [((sign * gradient + objective.l1) @ basis.T).ravel() for sign in signs]
        return value, np.concatenate([*sides, free * fit_intercept])

    bounds = [(0, None) if objective.l1 else (None, None)] * (size * len(signs)) + [(None, None)] * k
    tolerance = 1e-6 * min(objective.l1 or 1e-2, 1.0)
    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-16, "gtol": tolerance, "maxcor": 30}
    start = np.zeros(len(bounds))
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    coef, intercept, _ = unpack(found.x)
    return coef, intercept


def _coordinates(objective: Objective, fit_intercept: bool):
    """Where L-BFGS walks: coef = z @ basis, intercept = free - coef @ center, so that the Hessian starts near the identity.

    Without an l1 part ``basis`` whitens the columns' covariance; with one it may only scale them, or the bounds would move.
    """
    X, share = objective.X, objective.share
    d = X.shape[1]
    center = share @ X if fit_intercept else np.zeros(d)
    if objective.l1 or d > WHITEN:
        squares = X.multiply(X).tocsr() if sparse.issparse(X) else X**2
        spread = np.sqrt(np.maximum(share @ squares - center**2, 0))
        return center, sparse.diags(1 / np.where(spread > 0, spread, 1.0))
    weighted = X.multiply(share[:, None]).tocsr() if sparse.issparse(X) else X * share[:, None]
    gram = X.T @ weighted
    gram = (gram.toarray() if sparse.issparse(gram) else gram) - np.outer(center, center)
    hessian = CURVATURE * gram + max(objective.l2, 1e-10 * np.trace(gram) / d) * np.eye(d)
    return center, np.linalg.inv(np.linalg.cholesky(hessian))


def _key(objective: Objective, loss: str, fit_intercept: bool, parameters: list) -> str:
    digest = hashlib.sha256(repr((loss, objective.l1, objective.l2, fit_intercept, parameters, 2)).encode())
    X = objective.X
    arrays = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (np.ascontiguousarray(X),)
    for array in (*arrays, objective.y, objective.share, objective.offset):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def _save(path: Path, coef: np.ndarray, intercept: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, coef=coef, intercept=intercept)
    os.replace(file.name, path)


def kkt_violation(objective: Objective, coef, intercept, *, fit_intercept: bool = True) -> float:
    """Return how far (coef, intercept) is from optimal: the largest distance of zero from a coordinate's subdifferential.

    Compare it with a fraction of ``alpha``. Where a coefficient is zero, a gradient of the smooth part within the l1
    strength is no violation; elsewhere the gradient must cancel the l1 strength exactly.
    """
    coef = np.atleast_2d(np.asarray(coef, np.float64))
    _, gradient, free = objective.smooth(coef, np.atleast_1d(np.asarray(intercept, np.float64)))
    gradient = gradient + objective.l2 * coef
    at_zero = np.maximum(np.abs(gradient) - objective.l1, 0)
    elsewhere = np.abs(gradient + objective.l1 * np.sign(coef))
    violation = float(np.where(coef == 0, at_zero, elsewhere).max())
    return max(violation, float(np.abs(free).max())) if fit_intercept else violation
