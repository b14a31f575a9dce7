"""The one-class support vector machine: scikit-learn's face of linear outlier detection, on matrices in memory."""

import time
import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

from ..data.block import make_block
from ..data.layout import no_crosses
from ..data.matrices import canonical
from ..display import shown
from ..errors import DataError
from ..kernels.plain import PlainStep, shuffle_rows
from ..kernels.rows import Rows
from ..kernels.score import plain_frame
from ..losses import Hinge
from ..train.one_class import MOST_COLUMNS, solve_one_class
from ..train.plain_lines import SPARSE_DECAY, Line, rates
from .inputs import weights_of_rows
from .one_class_answers import OneClassAnswers
from .one_class_values import beginning, refuse_values
from .parameters import generator_of, warn_of_power

_PATIENCE = 5
_STATE = ("_standard_coef", "_standard_intercept", "_average_coef", "_average_intercept")


class SGDOneClassSVM(OneClassAnswers):
    """Linear one-class support vector machine: which rows are unlike most others.

    Minimises ``nu / 2 |w|^2 + mean_i max(0, offset - w x_i) - nu offset``. At most a share ``nu`` of the training rows has a
    negative ``decision_function``, and at least that share one that is not positive. The defaults give the minimum, by an
    interior-point method, for up to 1024 columns; with more, or when rates are given, plain stochastic gradient descent takes
    one row a step, and the steps are scikit-learn's.

    Parameters
    ----------
    nu : float, default=0.5
        Bound on the share of training rows that are outliers, in (0, 1].
    fit_intercept : bool, default=True
        Whether the offset is fitted; it is 1 otherwise.
    max_iter : int, default=1000
        Epochs, or steps of the interior-point method, at most.
    tol : float or None, default=1e-3
        Of steps: stop when the mean objective of an epoch improves by less for 5 epochs; None never stops early.
    shuffle : bool, default=True
        Visit the rows in another random order in each epoch.
    verbose : int or callable, default=0
        1 is a bar in a notebook or a terminal, and a line an epoch elsewhere; 2 is always lines. Or what to call with each
        epoch's record, a dict.
    random_state : int, RandomState or None, default=None
        The seed of the order.
    learning_rate : {"auto", "constant", "optimal", "invscaling", "adaptive"}, default="auto"
        "auto" solves for the minimum where it can; with ``eta0`` it is "constant", otherwise "optimal".
    eta0 : float or "auto", default="auto"
        First learning rate, which asks for steps; "auto" is 0.01 where one is needed.
    power_t : float, default=0.5
        Exponent of "invscaling".
    warm_start : bool, default=False
        Go on from the previous fit; it makes steps of the rows.
    average : bool or int, default=False
        Average the iterates (from that many rows on); asks for steps.

    Attributes
    ----------
    coef_ : ndarray of shape (d,)
    offset_ : ndarray of shape (1,)
        The score of the boundary.
    n_iter_ : int
        Epochs, or steps of the interior-point method.
    t_ : float
        Of steps: 1 and the rows that were used.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        For frames.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> SGDOneClassSVM(nu=0.4).fit(X).predict([[1.0], [3.5]]).tolist()
    [-1, 1]
    """

    def __init__(
        self,
        nu=0.5,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        shuffle=True,
        verbose=0,
        random_state=None,
        learning_rate="auto",
        eta0="auto",
        power_t=0.5,
        warm_start=False,
        average=False,
    ):
        self.nu, self.fit_intercept, self.max_iter, self.tol = nu, fit_intercept, max_iter, tol
        self.shuffle, self.verbose, self.random_state = shuffle, verbose, random_state
        self.learning_rate, self.eta0, self.power_t = learning_rate, eta0, power_t
        self.warm_start, self.average = warm_start, average

    def fit(self, X, y=None, coef_init=None, offset_init=None, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array, sparse matrix or frame of numbers, of shape (n, d)
        y : ignored
        coef_init : array of shape (d,), optional
            Where steps begin; asks for steps.
        offset_init : number or array of shape (1,), optional
        sample_weight : array of shape (n,), optional

        Returns
        -------
        self

        Raises
        ------
        ConfigError, DataError
        """
        refuse_values(self)
        warn_of_power(self.power_t, self.learning_rate)
        X, weight = self._rows(X, sample_weight, reset=True)
        if self.warm_start and hasattr(self, "coef_"):
            coef_init = self.coef_ if coef_init is None else coef_init
            offset_init = self.offset_ if offset_init is None else offset_init
        for name in (*_STATE, "coef_"):
            if hasattr(self, name):
                delattr(self, name)
        if coef_init is None and offset_init is None and self._solves(X.shape[1]):
            return self._solve(X, weight)
        self._begin(X, coef_init, offset_init)
        converged = self._steps(X, weight, self.max_iter, self.tol)
        if self.tol is not None and not converged:
            self._warn("epochs")
        return self

    def partial_fit(self, X, y=None, sample_weight=None):
        """Go over some rows once, from where the model is, in plain steps.

        Parameters
        ----------
        X, y, sample_weight : as in :meth:`fit`

        Returns
        -------
        self

        Raises
        ------
        ConfigError, DataError
        """
        refuse_values(self)
        first = not hasattr(self, "coef_")
        X, weight = self._rows(X, sample_weight, reset=first)
        if first:
            self._begin(X, None, None)
        self._steps(X, weight, 1, None)
        return self

    def _rows(self, X, sample_weight, *, reset: bool):
        X = self._checked(X, reset=reset)
        return X, weights_of_rows(sample_weight, X.shape[0])

    def _solves(self, columns: int) -> bool:
        """Whether the minimum is computed, rather than approached in steps."""
        return self.learning_rate == "auto" and self.eta0 == "auto" and not self.average and columns <= MOST_COLUMNS

    def _solve(self, X, weight):
        used = np.flatnonzero(weight)
        chosen = X if len(used) == X.shape[0] else X[used]
        share = weight[used] / weight.sum()
        coef, offset, steps = solve_one_class(chosen, share, float(self.nu), self.fit_intercept, self.max_iter)
        self.coef_, self.offset_ = coef.astype(X.dtype), np.array([offset], X.dtype)
        self.n_iter_, self.t_ = steps, 1.0
        if self.tol is not None and steps == self.max_iter:
            self._warn("steps")
        return self

    def _warn(self, what: str) -> None:
        warnings.warn(
            f"SGDOneClassSVM stopped after max_iter={self.max_iter} {what} and had not converged; give more, or a larger tol",
            ConvergenceWarning,
            stacklevel=3,
        )

    def _begin(self, X, coef_init, offset_init) -> None:
        coef, offset = beginning(X.shape[1], coef_init, offset_init)
        self.coef_, self.offset_, self.t_ = coef.astype(X.dtype), offset.astype(X.dtype), 1.0

    def _step(self, sparse: bool) -> PlainStep:
        name = self.learning_rate
        if name == "auto":
            name = "optimal" if self.eta0 == "auto" else "constant"
        eta0 = 0.01 if self.eta0 == "auto" else float(self.eta0)
        nu = float(self.nu)
        return PlainStep(
            *rates(name, eta0, float(self.power_t), nu), 0.0, nu, int(self.average), bool(self.fit_intercept),
            SPARSE_DECAY if sparse else 1.0, nu, -1,
        )  # fmt: skip

    def _line(self, X) -> Line:
        """The line of an epoch, from where the model is."""
        frame = plain_frame(no_crosses(), X.dtype)
        averaged = bool(self.average) and hasattr(self, "_average_coef")
        last = self._standard_coef if averaged else self.coef_
        constant = self._standard_intercept if averaged else 1 - self.offset_
        line = Line(Hinge(), self._step(scipy.sparse.issparse(X)), frame, np.append(last, constant).astype(X.dtype))
        line.adaptive = self.learning_rate == "adaptive"
        mean = np.append(self._average_coef, self._average_intercept) if averaged else None
        line.go_on_from(line.params.copy(), mean, int(self.t_) - 1)
        return line

    def _steps(self, X, weight, epochs: int, tol: float | None) -> bool:
        """Go over the rows; return whether the rule of stopping ended it."""
        self.densify()
        rows, line, count = _as_rows(X, weight), self._line(X), X.shape[0]
        order, began = np.arange(count), time.perf_counter()
        # The draw, and the shuffles from it, are scikit-learn's: the same random_state, the same steps.
        seed = max(1, int(generator_of(self.random_state).randint(0, np.iinfo(np.int32).max)))
        with shown(type(self).__name__, epochs, self.verbose) as report:
            while line.epochs < epochs and not line.done:
                if self.shuffle:
                    shuffle_rows(order, seed)
                line.judge(line.take(rows, order) / count, tol, _PATIENCE)
                if not line.finite():
                    raise DataError(
                        f"Floating-point under-/overflow occurred at epoch #{line.epochs}. Scaling input data with "
                        "StandardScaler or MinMaxScaler might help; so does a lower eta0."
                    )
                seconds = time.perf_counter() - began
                report({"epoch": line.epochs, "objective": line.objective, "seconds": seconds, "rows": count})
        self._keep(line)
        return line.done

    def _keep(self, line: Line) -> None:
        answer = line.answer
        self.coef_[:] = answer[:-1]
        self.offset_ = 1 - answer[-1:]
        self.n_iter_, self.t_ = line.epochs, line.step + 1.0
        if self.average:
            self._standard_coef, self._standard_intercept = line.params[:-1], line.params[-1:]
            self._average_coef, self._average_intercept = line.mean[:-1], line.mean[-1:]


def _as_rows(X: Any, weight: np.ndarray) -> Rows:
    """A matrix as the kernels take it, every row a member of the class."""
    count, dtype = X.shape[0], X.dtype
    parts: dict[str, Any] = {"dense": X}
    if scipy.sparse.issparse(X):
        X = canonical(X)
        parts = {"indptr": X.indptr, "indices": X.indices, "values": X.data}
    weights = None if (weight == 1).all() else weight
    return Rows(**vars(make_block(np.ones(count), dtype=dtype, weight=weights, **parts)))
