"""The recipes of small steps in whitened coordinates: variance reduction, and averaging of the iterates.

Both take mini-batch gradients of the weights in use, sum them over the ranks, and step against them in the coordinates of
:mod:`dsgd.train.whitening`; every rank takes the same steps. Both watch the exact objective once an epoch, and go back with
half the rate when it rose, so that a rate from the data need not be right for every row.

Sources: Johnson & Zhang 2013 (variance reduction), Xiao & Zhang 2014 (its proximal form), Polyak & Juditsky 1992 and Shamir &
Zhang 2013 (averaging, later iterates counting for more).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..kernels.protocols import schedule_rate
from ..objective.problem import Problem
from .batches import batches, steps_of_epoch
from .checkpoints.kept import Kept
from .config import FitConfig
from .field import GangField
from .progress import Progress
from .recipe import Recipe, leave_steps
from .whitening import Whitener

RECIPE = "whitened "
_MOST_HALVINGS = 12
# The smallest mini-batch that is worth a step in Python.
_LEAST_BATCH = 16
# A rise within this part of the objective is rounding, not divergence.
_ROUNDING = 1e-6
# An average wavers a little, by less than this part, which is no sign of steps that are too large.
_WAVERING = 3e-4
# Factor on the rate of variance reduction: with the watch over the objective it may be bolder than without.
_BOLDER = 5.0 / 3.0
# Power of the step's number by which iterates are weighted in an average.
_LATER = 3.0


def takes_whitened_steps(config: FitConfig, problem: Problem, ranks: int) -> bool:
    """Whether a fit takes its steps in whitened coordinates, if the weights in use are few."""
    # A single epoch does not repay the sample; and it may be one of many over data that comes in parts.
    averaged = config.optimizer == "sgd" and bool(config.average) and not problem.l1 and config.max_iter > 1
    exact = ranks == 1 or (config.mode.compression == "none" and config.mode.local_steps == 1)
    smooth = getattr(getattr(problem.loss, "loss", problem.loss), "smooth", True)
    automatic = config.eta0 == "auto" and (config.batch_size == "auto" or config.batch_size >= _LEAST_BATCH)
    return (config.optimizer == "svrg" or averaged) and exact and smooth and automatic


class Whitened:
    """What the two recipes share: epochs of steps, and the watch over the objective.

    Parameters
    ----------
    recipe : Recipe
    field : GangField
    progress : Progress
    rows : int
        Training rows of all ranks.
    whitener : Whitener
    """

    def __init__(self, recipe: Recipe, field: GangField, progress: Progress, rows: int, whitener: Whitener):
        self.recipe, self.field, self.progress, self.rows, self.whitener = recipe, field, progress, rows, whitener
        self.problem, self.work = field.problem, field.work
        self.own_rows = field.share.training_rows()
        self.step, self.epochs, self.slowed = 0, 0, 1.0
        k = self.problem.outputs
        self._whitened_at = np.zeros(0, self.problem.dtype)
        self._places = (whitener.positions[:, None] * k + np.arange(k)).ravel()

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` brings the count of steps."""
        best = np.array(params, self.problem.dtype)
        kept = self.progress.take_up(RECIPE + type(self).__name__, best)
        if kept is not None:
            best = kept.vectors["lowest"].astype(best.dtype)
        best_value, best_mean = self._measure(best)
        allowed = self._allowed_rise(best_value)
        current, mean, halvings = best, best_mean, 0
        if kept is not None:
            current, allowed, halvings = self._go_on(kept)
            value, mean = self._measure(current)
        while True:
            begun = self.step
            current = self._epoch(current, mean)
            value, mean = self._measure(current)
            if not value <= best_value + allowed and halvings < _MOST_HALVINGS:
                self.step = begun  # The epoch is taken again, and a schedule counts it once.
                halvings, self.slowed = halvings + 1, 0.5 * self.slowed
                self._forget()
                current, mean = best, best_mean
                continue
            if value <= best_value:
                best, best_value, best_mean = current, value, mean
            if self.progress.round(value, current, exact=True):
                leave_steps(state, self.step)
                return best
            self.progress.keep(
                RECIPE + type(self).__name__, self.step, partial(self._kept, best, current, allowed, halvings)
            )

    def _kept(self, best: np.ndarray, current: np.ndarray, allowed: float, halvings: int) -> Kept:
        """What is needed to go on after an epoch; the rest is measured again."""
        at = best.copy()
        at[self._places] = self._whitened_at
        vectors = {"params": current.copy(), "lowest": best.copy(), "at": at}
        scalars = {"allowed": allowed, "halvings": halvings, "slowed": self.slowed, "step": self.step}
        return Kept(vectors, meta={**scalars, "epochs": self.epochs})

    def _go_on(self, kept: Kept) -> tuple[np.ndarray, float, int]:
        """Take up what was kept; return the present weights, the rise allowed and how often the rate was halved."""
        meta, dtype = kept.meta, self.problem.dtype
        self.slowed, self.step, self.epochs = float(meta["slowed"]), int(meta["step"]), int(meta["epochs"])
        self._whitened_at = kept.vectors["at"].astype(dtype)[self._places]
        self.whitening = self.whitener.at(self._whitened_at)
        return kept.vectors["params"].astype(dtype), float(meta["allowed"]), int(meta["halvings"])

    def _measure(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        """The objective, and the mean gradient of the loss by the weights in use, of shape (a + 1, k)."""
        full = self.field.gradient(params)
        value = full.loss / max(full.rows, 1) + self.problem.penalty_value(params)
        mean = (full.gradient[self._places] / max(full.rows, 1)).astype(self.problem.dtype)
        return value, mean.reshape(-1, self.problem.outputs)

    def _allowed_rise(self, start: float) -> float:
        """By how much the objective may be above its best before the rate counts as too high."""
        raise NotImplementedError

    def _speed(self) -> float:
        """Factor on the rate of an epoch."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Drop what was gathered at a rate that was too high."""

    def _epoch(self, params: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """The parameters after an epoch of steps from ``params``, which stay as they are."""
        raise NotImplementedError

    def _steps(
        self,
        params: np.ndarray,
        anchor: np.ndarray | None,
        mean: np.ndarray | float,
        after: Callable[[np.ndarray], None],
    ) -> None:
        """Change ``params`` by an epoch of steps; ``after`` is shown the weights in use after each."""
        p, work = self.problem, self.work
        count = steps_of_epoch(self.rows, self.recipe.batch_rows)
        parts = self.field.share.training(self.epochs if self.recipe.shuffle else None)
        weights = params[self._places].reshape(-1, p.outputs)
        if self.epochs & (self.epochs - 1) == 0:
            # The curvature changes most at the beginning: it is taken anew at epochs 0, 1, 2, 4, 8, ...
            self._whitened_at = weights.ravel().copy()
            self.whitening = self.whitener.at(self._whitened_at)
        speed = self._speed() * self.slowed / self.whitening.smoothness
        for pieces in batches(parts, work.run, self.own_rows, count):
            rows = 0
            for arrays, starts, begin, end in pieces:
                rows += work.add_batch(arrays, starts, begin, end, params, anchor)[1]
            work.unfold(work.gradient)
            sums = np.append(work.gradient[self._places], p.dtype.type(rows))
            work.gradient[self._places] = 0
            self.field.collective.allreduce(sums)
            gradient = sums[:-1].reshape(weights.shape) / max(sums[-1], p.dtype.type(1)) + mean
            rate = speed * float(schedule_rate(self.recipe.schedule, self.step))
            weights = self.whitening.step(p, weights, gradient, rate)
            params[self._places] = weights.ravel()
            self.step += 1
            after(weights)
        self.epochs += 1


class WhitenedSVRG(Whitened):
    """Steps whose noise vanishes at the optimum: ``mean_B (g_i(w) - g_i(anchor)) + full gradient at the anchor``."""

    def _speed(self) -> float:
        return _BOLDER

    def _allowed_rise(self, start: float) -> float:
        return _ROUNDING * abs(start)

    def _epoch(self, params: np.ndarray, mean: np.ndarray) -> np.ndarray:
        moved = params.copy()
        self._steps(moved, params, mean, lambda weights: None)
        self.field.agree(moved)
        return moved


class WhitenedAverage(Whitened):
    """Plain steps, whose iterates are averaged; the average is the model."""

    _iterate: np.ndarray | None = None
    _seen = 0

    def _allowed_rise(self, start: float) -> float:
        return _WAVERING * abs(start)

    def _speed(self) -> float:
        # Falling more slowly than 1 / t, the rate takes its bias along and leaves the averaging to work (Polyak & Juditsky).
        return (1.0 + self.epochs) ** -0.5

    def _forget(self) -> None:
        self._iterate, self._seen = None, 0

    def _kept(self, best: np.ndarray, current: np.ndarray, allowed: float, halvings: int) -> Kept:
        kept = super()._kept(best, current, allowed, halvings)
        if self._iterate is not None:
            kept.vectors["iterate"] = self._iterate.copy()
        kept.meta["seen"] = self._seen
        return kept

    def _go_on(self, kept: Kept) -> tuple[np.ndarray, float, int]:
        iterate = kept.vectors.get("iterate")
        self._iterate = None if iterate is None else iterate.astype(self.problem.dtype)
        self._seen = int(kept.meta["seen"])
        return super()._go_on(kept)

    def _epoch(self, params: np.ndarray, mean: np.ndarray) -> np.ndarray:
        iterate = params.copy() if self._iterate is None else self._iterate
        average = params[self._places].astype(np.float64).reshape(-1, self.problem.outputs)

        def include(weights: np.ndarray) -> None:
            nonlocal average
            self._seen += 1
            average += (weights - average) * ((_LATER + 1) / (_LATER + self._seen))

        self._steps(iterate, None, 0.0, include)
        self._iterate = iterate
        answer = iterate.copy()
        answer[self._places] = average.ravel()
        self.field.agree(iterate)
        self.field.agree(answer)
        return answer
