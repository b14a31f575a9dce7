"""The recipe of variance reduction: steps whose noise vanishes at the optimum, so that a constant rate converges.

Each epoch sums the full gradient at an anchor, then takes mini-batch steps with the gradient
``mean_B (g_i(w) - g_i(anchor)) + full(anchor)`` (Johnson & Zhang 2013); the penalty is applied as in every step (Xiao & Zhang
2014 for the proximal form). The rate comes from the smoothness of a mini-batch.
"""

from typing import Any

import numpy as np

from ..collectives.base import Collective
from ..errors import ConfigError
from ..kernels.coordinates import update_dense
from ..objective.passes import Pass
from ..objective.share import Share
from ..optim.schedules import stretched
from .batches import batches, steps_of_epoch
from .checkpoints.kept import Kept
from .field import GangField
from .progress import Progress
from .recipe import Recipe, leave_steps

# Every step moves every weight; beyond this many another rule is the better choice.
MOST_PARAMETERS = 1 << 21
RECIPE = "svrg"


class SVRG:
    """The recipe on one rank of a gang; parameters as of :class:`dsgd.train.stepwise.Stepwise`."""

    def __init__(self, recipe: Recipe, share: Share, work: Pass, collective: Collective, progress: Progress, rows: int):
        if share.problem.size > MOST_PARAMETERS:
            raise ConfigError(
                f"optimizer='svrg' moves every weight at every step, and there are {share.problem.size:,}; use 'adagrad' or "
                "'auto', or fewer hash_bits"
            )
        self.recipe, self.share, self.work, self.collective = recipe, share, work, collective
        self.progress, self.rows, self.problem = progress, rows, share.problem
        self.field = GangField(share, work, collective, recipe.seed)
        self.own_rows = share.training_rows()
        self.step = 0
        # The last epoch is the gradient that shows that the fit may stop.
        steps = (progress.limit - 1) * steps_of_epoch(rows, recipe.batch_rows)
        self.schedule = stretched(recipe.schedule, steps)

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` brings the count of steps."""
        params = np.array(params, self.problem.dtype)
        kept = self.progress.take_up(RECIPE, params)
        if kept is not None:
            self.step = int(kept.meta["step"])
        while True:
            full = self.field.gradient(params)
            objective = full.loss / full.rows + self.problem.penalty_value(params)
            if self.progress.round(objective, params):
                leave_steps(state, self.step)
                return params
            self._inner(params, (full.gradient / full.rows).astype(self.problem.dtype))
            self.progress.keep(RECIPE, self.step, lambda: Kept({"params": params.copy()}, meta={"step": self.step}))

    def _inner(self, params: np.ndarray, mean: np.ndarray) -> None:
        """One epoch of steps around ``params``, in place."""
        p, work = self.problem, self.work
        anchor = params.copy()
        count = steps_of_epoch(self.rows, self.recipe.batch_rows)
        epoch = len(self.progress.history)
        parts = self.share.training(epoch if self.recipe.shuffle else None)
        one = p.dtype.type(1)
        for pieces in batches(parts, work.run, self.own_rows, count):
            rows = 0
            for arrays, starts, begin, end in pieces:
                rows += work.add_batch(arrays, starts, begin, end, params, anchor)[1]
            work.buffer[-1] = rows
            self.collective.allreduce(work.buffer)
            if work.buffer[-1] == 0:
                continue  # With fewer rows a step than ranks, some steps have none: the gradient at the anchor alone only drifts.
            work.unfold(work.gradient)
            work.gradient *= one / max(work.buffer[-1], one)
            work.gradient += mean
            update_dense(
                self.recipe.rule, self.schedule, p.penalty(), p.outputs, params, None, None, work.gradient, one, self.step
            )  # fmt: skip
            self.step += 1
