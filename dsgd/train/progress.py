"""What happened so far, and whether to go on: the history of a fit and its stopping rule, alike on every rank."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DataError
from .checkpoints.kept import AnyKeeper, Kept, NoKeeper
from .config import FitConfig

# Part of ``tol`` that counts under l1, for recipes that come to rest.
_L1_PART = 1e-4
# The loss of a sample of rows held out is noisy, and what it still gains late is mostly gained by chance.
_WATCH_PART = 20.0


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
    watch : bool
        Judge by the validation rows although the user did not ask for early stopping: the fit holds out a few by itself.
    keeper : AnyKeeper, optional
        Of the fit's checkpoints.

    Attributes
    ----------
    history : list of dict
    more : dict
        What else the next record is to hold.
    times : callable
        What the ranks know of their times at the end of an epoch, for its record; called on all of them.
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
        watch: bool = False,
        keeper: AnyKeeper | None = None,
    ):
        self._keeper: AnyKeeper = NoKeeper() if keeper is None else keeper
        self._past: list[dict[str, Any]] = []
        self._config, self._rows, self._validate, self._report = config, rows, validate, report
        self._began = time.perf_counter()
        self._best_value, self._since_best = np.inf, 0
        # Which weights are zero settles later than the objective does.
        self._exact_part = _L1_PART if config.strengths[0] else 1.0
        self._judges_held_out = config.early_stopping or watch
        self._tol = None if config.tol is None else config.tol * (_WATCH_PART if watch else 1.0)
        self.history: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self.times: Callable[[], dict[str, Any]] = dict
        self.converged = False
        self.best: np.ndarray | None = None

    def round(
        self, objective: float, params: np.ndarray, *, expected: float | None = None, exact: bool = False
    ) -> bool:
        """Note the end of an epoch; return whether to stop.

        Parameters
        ----------
        objective : float
            Penalty included: at ``params``, or the mean over the epoch's steps where the recipe has only that.
        params : ndarray of shape ((d + 1) k,)
        expected : float, optional
            The objective that the recipe expects after its next step.
        exact : bool
            Whether ``objective`` is that of all rows at ``params``. Then ``tol`` is compared with an estimate of what further
            epochs could still bring, instead of with what the last one brought.
        """
        if not np.isfinite(objective):
            raise DataError(
                f"the objective is {objective} after epoch {len(self.history) + 1}: the steps are too large for this data, "
                "or the data holds numbers too large for its dtype; lower eta0, standardise the columns, or use optimizer='auto'"
            )
        held_out = self._validate(params)
        if self._config.early_stopping and held_out is None:
            raise DataError(
                "early_stopping has no validation rows, or none with a weight: the validation set is empty, or "
                f"validation_fraction={self._config.validation_fraction} of {self._rows} training rows leaves none; give more "
                "rows, or another validation set"
            )
        self._record(objective, expected, held_out)
        return self._stop(objective, held_out, params, exact) or self.full

    def note(self, objective: float, params: np.ndarray) -> None:
        """Note the end of an epoch of a recipe that stops by a rule of its own."""
        self._record(objective, None, self._validate(params))

    def _record(self, objective: float, expected: float | None, held_out: float | None) -> None:
        record = {
            "epoch": len(self.history) + 1,
            "objective": float(objective),
            "expected": None if expected is None else float(expected),
            "validation": held_out,
            "seconds": time.perf_counter() - self._began,
            "rows": self._rows,
            **self.more,
            **self.times(),
        }
        if len(self.history) < len(self._past):
            # Gone through again, to come to where an earlier beginning ended.
            record["seconds"] = self._past[len(self.history)]["seconds"]
            self.history.append(record)
            return
        self.history.append(record)
        self._report(record)

    # ---- checkpoints

    @property
    def kept(self) -> bool:
        """Whether the fit makes checkpoints."""
        return self._keeper.on

    def parts(self, rows: int, steps: int) -> int:
        """Parts that an epoch of so many rows and steps is divided into, between which checkpoints may be made."""
        return self._keeper.parts(rows, steps)

    def take_up(self, recipe: str, params: np.ndarray, *, again: bool = False) -> Kept | None:
        """Go on from a checkpoint, if there is one.

        Parameters
        ----------
        recipe : str
            Who asks. What another recipe kept is of no use to it but for the weights.
        params : ndarray of shape ((d + 1) k,)
            Is given the checkpoint's weights, in place.
        again : bool
            Whether the recipe goes through all epochs again, without their cost, where the checkpoint is exact.

        Returns
        -------
        Kept or None
            What the same recipe kept.
        """
        found = self._keeper.take_up(recipe)
        if found is None:
            return None
        by, kept = found
        params[:] = kept.vectors["params"]
        state = kept.progress
        self._began = time.perf_counter() - float(state["seconds"])
        if again and by == recipe and kept.exact:
            self._past = list(state["history"])
            return kept
        self.restore(state, kept.vectors.pop("best", None))
        return kept if by == recipe else None

    def restore(self, state: dict[str, Any], best: np.ndarray | None) -> None:
        """Go on after the epochs of an earlier beginning of the fit, as :attr:`state` described them."""
        self._began = time.perf_counter() - float(state["seconds"])
        self.history[:] = state["history"]
        self._best_value, self._since_best = float(state["best_value"]), int(state["since_best"])
        self.best = best

    @property
    def state(self) -> dict[str, Any]:
        """JSON-ready: what has been noted so far, the best weights aside."""
        return {
            "history": list(self.history), "best_value": float(self._best_value), "since_best": self._since_best,
            "seconds": time.perf_counter() - self._began,
        }  # fmt: skip

    def keep(self, recipe: str, step: int, make: Callable[[], Kept]) -> None:
        """Make a checkpoint if one is due; all ranks ask at the same places. ``make`` tells what the recipe needs to go on."""
        if not self._keeper.due(step):
            return
        kept = make()
        if self.best is not None:
            kept.vectors["best"] = self.best.astype(kept.vectors["params"].dtype, copy=False)
        kept.progress = self.state
        self._keeper.save(recipe, step, kept)

    @property
    def epochs(self) -> int:
        """Epochs so far."""
        return len(self.history)

    @property
    def full(self) -> bool:
        """Whether the limit of epochs is reached."""
        return len(self.history) >= self.limit

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
        done = tol is not None and not self._judges_held_out and fall <= tol * self._exact_part * abs(value)
        self.converged = self.converged or done
        return done

    def _stop(self, objective: float, held_out: float | None, params: np.ndarray, exact: bool) -> bool:
        value, tol = objective, self._tol
        if self._judges_held_out and held_out is not None:
            value = held_out
            if value < self._best_value:
                if self.best is None:
                    self.best = np.empty(len(params), params.dtype)
                self.best[:] = params
        if tol is None:
            self._best_value = min(self._best_value, value)
            return False
        gain = self._best_value - value
        if exact and not self._judges_held_out:
            gain, tol = self._gain_to_come(value), tol * self._exact_part
        # The first epoch has nothing to be compared with, and an infinite gain.
        self._since_best = 0 if gain > tol * abs(min(value, self._best_value)) else self._since_best + 1
        self._best_value = min(self._best_value, value)
        if self._since_best >= self._config.n_iter_no_change:
            self.converged = True
            return True
        return False

    def _gain_to_come(self, value: float) -> float:
        """Three times what the later half of the epochs brought: enough where the distance shrinks as 1 / sqrt(epochs)."""
        epochs = len(self.history)
        return np.inf if epochs < 2 else 3.0 * (self.history[epochs // 2 - 1]["objective"] - value)
