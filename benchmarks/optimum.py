"""The minimum of the logistic loss with an l2 penalty, by scipy's L-BFGS-B in float64: what stale steps are compared with.

objective = mean_i log(1 + exp(-y_i (x_i w + c))) + alpha / 2 |w|_2^2,   the intercept c free of penalty
"""

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit


class Objective:
    """The objective of X (n, d) CSR and y (n,) in -1, +1.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> objective = Objective(sparse.csr_matrix([[1.0], [-1.0]]), np.array([1.0, -1.0]), alpha=0.5)
    >>> round(objective(np.zeros(1), 0.0), 4), objective.minimum() < 0.6
    (0.6931, True)
    """

    def __init__(self, X: sparse.csr_matrix, y: np.ndarray, alpha: float):
        self._X, self._y, self._alpha = X, y, alpha

    def __call__(self, coef: np.ndarray, intercept: float) -> float:
        """The objective at ``coef`` (d,) and ``intercept``."""
        coef = np.asarray(coef, np.float64).ravel()
        margin = self._y * (self._X @ coef + float(np.squeeze(intercept)))
        return float(np.logaddexp(0, -margin).mean() + self._alpha / 2 * coef @ coef)

    def _with_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        coef, intercept = point[:-1], point[-1]
        slope = -self._y * expit(-self._y * (self._X @ coef + intercept)) / len(self._y)
        return self(coef, intercept), np.append(self._X.T @ slope + self._alpha * coef, slope.sum())

    def minimum(self) -> float:
        """The least value.

        Raises
        ------
        RuntimeError
            When L-BFGS-B has not come to it.
        """
        options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-8, "maxcor": 30}
        start = np.zeros(self._X.shape[1] + 1)
        found = minimize(self._with_gradient, start, jac=True, method="L-BFGS-B", options=options)
        if not found.success:
            raise RuntimeError(f"L-BFGS-B has not found the minimum: {found.message}")
        return float(found.fun)
