"""A lane: one configuration on one part of the rows, trained as a rank trains a fit of its own, in turns with the others."""

from copy import copy
from typing import Any

import numpy as np

from ...objective.passes import Pass
from ...objective.share import longest_run
from ..config import FitConfig
from ..newton import Newton
from ..plan import Plan
from ..progress import Progress
from ..worker import Rank
from .field import LaneField, Made
from .splits import LaneShare, Places, Range
from .turns import Turn


class LaneNewton(Newton):
    """The recipe for few weights, begun where another lane's sample has its minimum: that of a similar problem is near."""

    def _solve_sample(self, weights: np.ndarray) -> np.ndarray:
        known = self.field.made.setdefault("near", {})
        name = (type(self.problem.loss), len(weights))
        found = self.solver.improve(known[name]) if name in known else self.solver.solve(weights, self.fresh)
        known[name] = found.copy()
        return found


class Lane(Rank):
    """One rank's part of a lane.

    Parameters
    ----------
    rank : Rank
        Which has opened the stores and met the others.
    config : FitConfig
    plan : Plan
        Of this lane's rows.
    left_out : Range
    places : Places
    made : dict
        What lanes make for each other.
    """

    newton = LaneNewton

    def __init__(self, rank: Rank, config: FitConfig, plan: Plan, left_out: Range, places: Places, made: Made):
        self.context, self.task, self.config, self.collective = rank.context, rank.task, config, rank.collective
        self.initial, self.positions, self.plan, self.problem = None, rank.positions, plan, plan.problem
        self.left_out, self._places, self._made = left_out, places, made
        self.work = work_of(self, rank)
        self._stores = rank._stores[0], None
        self.state: dict[str, Any] = {}
        self.params = np.zeros(0)

    def train(self, turn: Turn) -> "Lane":
        """Train, asking for sums over all rows by ``turn``."""
        self._turn = turn
        self._take_up(self.config.validation_fraction if self.config.early_stopping else 0.0)
        params = self._train(self._initial(), self.state)
        self.params = params if self.progress.best is None else self.progress.best
        return self

    def _take_up(self, fraction: float, watch: bool = False) -> None:
        rank, seed = self.context.rank, self.config.seed
        self.share = LaneShare(
            self.problem, self._stores[0], self.work.run, seed=seed, rank=rank, fraction=fraction, places=self._places,
            left_out=self.left_out,
        )  # fmt: skip
        field = LaneField(self.share, self.work, self.collective, seed, self._turn, self._made)
        self.field = field
        self.rows = field.count_rows(fraction)
        validate = field.validation if self.share.held_out else _nothing
        self.progress = Progress(self.config, self.rows, validate, _ignore, watch)


class Whole(Rank):
    """A configuration on all rows, as a fit of its own trains it, with the rows that a rank has open."""

    def __init__(self, rank: Rank, config: FitConfig, plan: Plan):
        self.context, self.task, self.config, self.collective = rank.context, rank.task, config, rank.collective
        self.initial, self.positions, self.plan, self.problem = None, rank.positions, plan, plan.problem
        self.work = work_of(self, rank)
        self._stores = rank._stores[0], None
        self.state: dict[str, Any] = {}
        self._take_up(config.validation_fraction if config.early_stopping else 0.0)
        self.params = self._train(self._initial(), self.state)
        if self.progress.best is not None:
            self.params = self.progress.best


def work_of(own: Rank, rank: Rank) -> Pass:
    """The buffers of one more problem: those of ``rank`` where its runs are as long, since one of them is at work at a time."""
    fraction = own.config.validation_fraction if own.config.early_stopping else 0.0
    longest = longest_run(own._longest_batch(), fraction, own.problem.rows // own.collective.size)
    in_order = not own.config.shuffle
    if rank.problem.outputs == own.problem.outputs and rank.work.run == own.problem.run_length(longest, in_order):
        work = copy(rank.work)
        work.problem = own.problem
        return work
    return Pass(own.problem, longest, in_order=in_order)


def _nothing(params: np.ndarray) -> None:
    return None


def _ignore(record: dict[str, Any]) -> None:
    """What a single lane does is too much to report."""
