"""One line of plain stochastic gradient descent: its weights, its average, and the rule by which it stops.

In comes a block's rows in the order of their steps, epoch after epoch; out come the last iterate, and the average of the iterates
where there is one.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels.plain import MEAN, SCALE, PlainStep, plain_pass, plain_scores
from ..kernels.rows import Frame, Rows

# The intercept's rate where rows are sparse, in units of the weights': nearly every row moves it, and few move a weight.
SPARSE_DECAY = 0.01
# An adaptive rate is lowered by this factor, and not beyond the least rate.
_DIVISOR, _LEAST_RATE = 5.0, 1e-6


def rates(learning_rate: str, eta0: float, power_t: float, alpha: float) -> tuple[float, float, float]:
    """Return (eta0, start, power) of the rates ``eta0 / (start + t) ** power`` that a schedule's name means.

    Examples
    --------
    >>> rates("invscaling", 0.1, 0.25, 1e-4), rates("optimal", 0.1, 0.25, 1.0)
    ((0.1, 1.0, 0.25), (1.0, 1.0, 1.0))
    """
    if learning_rate == "optimal":
        # The first rate is the size of a typical weight (Bottou 2012).
        return 1.0 / alpha, 1.0 / (alpha * (1.0 / alpha) ** 0.25), 1.0
    return (eta0, 1.0, power_t) if learning_rate == "invscaling" else (eta0, 1.0, 0.0)


@dataclass
class Line:
    """A line and its state.

    Attributes
    ----------
    loss : a registered loss
    plan : PlainStep
    frame : Frame
    params : ndarray of shape (d + 1,)
        The last iterate.
    step : int
        Steps taken.
    adaptive : bool
        Whether the rate is lowered, rather than the fit ended, when nothing improves.
    epochs : int
    done : bool
    """

    loss: Any
    plan: PlainStep
    frame: Frame
    params: np.ndarray
    step: int = 0
    adaptive: bool = False
    epochs: int = 0
    done: bool = False
    objective: float = np.inf
    _sums: np.ndarray = field(default_factory=lambda: np.zeros(0))
    _best: float = np.inf
    _since: int = 0

    def __post_init__(self):
        size = self.params.size - 1
        self._taken = np.zeros(size if self.plan.l1 else 0)
        weights = self.params[:-1].astype(np.float64)
        self._numbers = np.array([1.0, 0.0, 0.0, 0.0, weights @ weights, np.abs(weights).sum()])
        if self.plan.average:
            self._sums = np.zeros(size)

    @property
    def averaged(self) -> int:
        """Iterates that the average is of."""
        return max(0, self.step - self.plan.average + 1) if self.plan.average else 0

    @property
    def mean(self) -> np.ndarray:
        """The average of the iterates, of shape (d + 1,); zero before the first."""
        return np.append(self._sums / max(self.averaged, 1), self._numbers[MEAN]).astype(self.params.dtype)

    @property
    def answer(self) -> np.ndarray:
        """The average once there is one, else the last iterate."""
        return self.mean if self.averaged else self.params

    def go_on_from(self, params: np.ndarray, mean: np.ndarray | None, step: int) -> None:
        """Take up the state of an earlier fit."""
        self.params[:], self.step = params, step
        self.__post_init__()
        if mean is not None and self.averaged:
            self._sums[:] = mean[:-1].astype(np.float64) * self.averaged
            self._numbers[MEAN] = mean[-1]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """All that a line is between two epochs: arrays, and JSON-ready numbers."""
        arrays = {"params": self.params, "sums": self._sums, "taken": self._taken, "numbers": self._numbers}
        numbers = {"eta0": float(self.plan.eta0), "best": float(self._best), "since": self._since}
        return arrays, numbers | {name: getattr(self, name) for name in ("step", "epochs", "done", "objective")}

    def restore(self, arrays: dict[str, np.ndarray], numbers: dict[str, Any]) -> None:
        """Become what :meth:`state` described."""
        self.params, self._sums, self._taken, self._numbers = (
            np.array(arrays[name]) for name in ("params", "sums", "taken", "numbers")
        )
        self.plan = self.plan._replace(eta0=float(numbers["eta0"]))
        self._best, self._since = float(numbers["best"]), int(numbers["since"])
        self.step, self.epochs, self.done = int(numbers["step"]), int(numbers["epochs"]), bool(numbers["done"])
        self.objective = float(numbers["objective"])

    def take(self, rows: Rows, order: np.ndarray) -> float:
        """Step once for each of some rows of a block; return the sum of the objective before each step."""
        wide, scratch = self._buffers(rows)
        total, self.step = plain_pass(
            self.loss, self.plan, rows, self.frame, order, self.params, self._sums, self._taken, self._numbers, self.step,
            wide, scratch,
        )  # fmt: skip
        return total

    def scores(self, rows: Rows, order: np.ndarray) -> np.ndarray:
        """Scores of some rows of a block by the last iterate."""
        out = np.empty(len(order))
        plain_scores(rows, self.frame, order, self.params, *self._buffers(rows), out)
        return out

    def finite(self) -> bool:
        """Whether the weights are numbers still."""
        return bool(np.isfinite(self.params).all() and self._numbers[SCALE] == 1.0)

    def judge(self, value: float, tol: float | None, patience: int) -> None:
        """End an epoch of this mean objective (or less the score): stop, or lower the rate, when nothing improves."""
        self.objective = value
        self.epochs += 1
        idle = tol is not None and value > self._best - tol
        self._since = self._since + 1 if idle else 0
        self._best = min(self._best, value)
        if self._since < patience:
            return
        if self.adaptive and self.plan.eta0 > _LEAST_RATE:
            self.plan, self._since = self.plan._replace(eta0=self.plan.eta0 / _DIVISOR), 0
        else:
            self.done = True

    def _buffers(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        codes = rows.codes.shape[1] + self.frame.cross_start.size
        return np.empty(rows.dense.shape[1], rows.dense.dtype), np.empty((1, codes), np.int32)
