"""What happened so far, and whether to go on: the history of a fit and its stopping rule, alike on every rank."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DataError
from .config import FitConfig


class Progress:
    """Records rounds (epochs), reports them, and decides when to stop.

    Parameters
    ----------
    config : FitConfig
    rows : int
        Training rows of an epoch.
    validate : callable
        ``validate(params) -> float or None``: mean loss on the validation rows.
    report : callable
        Takes each record.

    Attributes
    ----------
    history : list of dict
    converged : bool
    best : ndarray or None
        Parameters with the lowest validation loss, when there are validation rows.
    """

    def __init__(
        self,
        config: FitConfig,
        rows: int,
        validate: Callable[[np.ndarray], float | None],
        report: Callable[[dict[str, Any]], None],
    ):
        self._config, self._rows, self._validate, self._report = config, rows, validate, report
        self._began = time.perf_counter()
        self._best_value, self._since_best = np.inf, 0
        self.history: list[dict[str, Any]] = []
        self.converged = False
        self.best: np.ndarray | None = None

    def round(self, objective: float, params: np.ndarray, *, expected: float | None = None) -> bool:
        """Note the end of an epoch; return whether to stop.

        Parameters
        ----------
        objective : float
            Penalty included: at ``params``, or the mean over the epoch's steps where the recipe has only that.
        params : ndarray of shape ((d + 1) k,)
        expected : float, optional
            The objective that the recipe expects after its next step.
        """
        if not np.isfinite(objective):
            raise DataError(
                f"the objective is {objective} after epoch {len(self.history) + 1}: the steps are too large for this data, "
                "or the data holds numbers too large for its dtype; lower eta0, standardise the columns, or use optimizer='auto'"
            )
        held_out = self._validate(params)
        record = {
            "epoch": len(self.history) + 1,
            "objective": float(objective),
            "expected": None if expected is None else float(expected),
            "validation": held_out,
            "seconds": time.perf_counter() - self._began,
            "rows": self._rows,
        }
        self.history.append(record)
        self._report(record)
        return self._stop(objective, held_out, params) or len(self.history) >= self.limit

    @property
    def limit(self) -> int:
        """Epochs at most."""
        return self._config.max_iter

    def resume(self) -> bool:
        """Forget that the rule was met, because the recipe has another way to improve; False at the limit of epochs."""
        if len(self.history) >= self.limit:
            return False
        self.converged, self._since_best = False, 0
        return True

    def settled(self, fall: float, value: float) -> bool:
        """Whether a step that lowers the objective by ``fall`` may be the last, judging by ``tol``."""
        tol = self._config.tol
        done = tol is not None and not self._config.early_stopping and fall <= tol * abs(value)
        self.converged = self.converged or done
        return done

    def _stop(self, objective: float, held_out: float | None, params: np.ndarray) -> bool:
        config = self._config
        value = objective
        if config.early_stopping and held_out is not None:
            value = held_out
            if value < self._best_value:
                self.best = np.array(params)
        if config.tol is None:
            self._best_value = min(self._best_value, value)
            return False
        if not value < self._best_value - config.tol * abs(self._best_value) and np.isfinite(self._best_value):
            self._since_best += 1
        else:
            self._since_best = 0
        self._best_value = min(self._best_value, value)
        if self._since_best >= config.n_iter_no_change:
            self.converged = True
            return True
        return False
