"""The minimum of a loss with kinks, without penalty, as a linear program that scipy's HiGHS solves exactly.

Comes in: X (n, d) dense, y, and the loss's name. Goes out: the least mean loss.
"""

import numpy as np
from scipy import sparse
from scipy.optimize import linprog


def least_mean(loss: str, X, y, *, quantile: float = 0.5, epsilon: float = 0.1) -> float:
    """Least mean of "quantile", "epsilon_insensitive" or "hinge" over (coef, intercept).

    The kink of every row is a variable that is at least zero and at least its argument: u >= s - y - epsilon and
    v >= y - s - epsilon, weighted 1 - quantile and quantile; or u >= 1 - y s.
    """
    n = len(y)
    features = sparse.csr_array(np.column_stack([X, np.ones(n)]))
    unit, none = sparse.identity(n), sparse.csr_array((n, n))
    if loss == "hinge":
        cost, rows, bound = [1.0, 0.0], [[-features * y[:, None], -unit, none]], [-np.ones(n)]
    else:
        cost = [1 - quantile, quantile] if loss == "quantile" else [1.0, 1.0]
        epsilon = 0.0 if loss == "quantile" else epsilon
        rows = [[features, -unit, none], [-features, none, -unit]]
        bound = [y + epsilon, -y + epsilon]
    weights = np.concatenate([np.zeros(features.shape[1]), np.repeat(cost, n) / n])
    limits = [(None, None)] * features.shape[1] + [(0, None)] * (2 * n)
    found = linprog(weights, A_ub=sparse.block_array(rows).tocsc(), b_ub=np.concatenate(bound), bounds=limits)
    if not found.success:
        raise RuntimeError(f"the linear program ended with {found.message}")
    return float(found.fun)
