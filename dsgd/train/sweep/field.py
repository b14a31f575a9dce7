"""What a lane's recipe sees of the rows: sums over all of them, which it waits for, and a sample that all lanes share.

What does not depend on a lane (which weights are in use, the sampled features) is found out by the first lane that asks, and
kept for the others. Lanes take turns in the same order on every rank, so that they also meet in the small operations that a
recipe does by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...kernels.rows import Rows
from ...losses.smoothing import smoothed, steepness
from ...objective.curvature import Sample, SampledRows, SamplePlan, SampleSums, plan_sample
from ...objective.passes import Partial, Pass
from ...objective.problem import class_numbers
from ..field import GangField, GangSample
from .passes import Asked
from .splits import LaneShare
from .turns import Turn

Made = dict[Any, Any]

# A step whose second-order part is a smaller part of the loss leaves the curvature about as it was. Points at which it is kept.
_SAME_CURVATURE, _MOST_KNOWN = 2e-3, 4


class LaneField(GangField):
    """The field of a lane on one rank.

    Parameters
    ----------
    share : LaneShare
    work : Pass
    collective : Collective
    seed : int
    turn : Turn
    made : dict
        What other lanes have made and this one may use.
    """

    share: LaneShare

    def __init__(self, share: LaneShare, work: Pass, collective: Any, seed: int, turn: Turn, made: Made):
        super().__init__(share, work, collective, seed)
        self._turn, self.made = turn, made

    def gradient(self, params: np.ndarray, width: float = 0.0) -> Partial:
        """Gradient and loss of the training rows, made in one pass with the other lanes'."""
        loss = smoothed(self.problem.loss, width)
        return self._turn.ask(Asked(self.share, self.work, params, loss))

    def active(self, limit: int) -> np.ndarray | None:
        """Positions of the weights in use."""
        return self._once(("active", limit), lambda: super(LaneField, self).active(limit))

    def entries(self) -> float:
        """Mean number of codes, interactions and sparse values of a row."""
        return self._once("entries", super().entries)

    def squares(self, active: np.ndarray) -> np.ndarray:
        """Mean squares of the active features."""
        return self._once("squares", lambda: super(LaneField, self).squares(active))

    def count_rows(self, fraction: float) -> int:
        """Training rows of all ranks, when this part is held out of them; those that lanes leave out count."""

        def count() -> int:
            own = np.array([self.share.training_rows()], np.float64)
            self.collective.allreduce(own)
            return int(own[0])

        return self._once(("rows", fraction), count)

    def sample(self, active: np.ndarray) -> "LaneSample":
        """The sample, drawn once, with this lane's weights."""
        return LaneSample(self, active)

    def draw(self, active: np.ndarray) -> "Drawn":
        """The sample that all lanes share."""
        return self._once("sample", lambda: Drawn(self, active))

    def _once(self, name: Any, make: Callable[[], Any]) -> Any:
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]


class PlainShare:
    """A rank's rows with the weights that they came with, and their numbers: what lanes have in common."""

    def __init__(self, share: LaneShare):
        self._share, self.run = share, share.run
        self.problem = replace(share.problem, weight_scale=1.0, class_weight=np.zeros(0))
        self.numbers = np.zeros(0, np.int64)

    def training(self) -> Iterator[tuple[Rows, np.ndarray]]:
        """Yield the training rows; ``numbers`` are those of the rows of the block last yielded."""
        for key, block, starts in self._share.chosen():
            self.numbers = self._share.places.numbers(key, block.rows)
            yield self.problem.rows_of(block), starts


class NumberedSample(Sample):
    """A rank's sampled rows, and the number of each, of shape (n,), int64."""

    def __init__(self, share: PlainShare, active: np.ndarray, plan: SamplePlan, seed: int, rank: int):
        self._plain, self._numbers = share, [np.zeros(0, np.int64)]
        super().__init__(share, active, plan, seed, rank)  # type: ignore[arg-type]
        self.number = np.concatenate(self._numbers)

    def _note(self, chosen: np.ndarray) -> None:
        self._numbers.append(self._plain.numbers[chosen])


class Drawn:
    """The sample that lanes share, over the ranks of a gang."""

    def __init__(self, field: LaneField, active: np.ndarray):
        problem = field.problem
        plan = plan_sample(problem.rows, len(active), problem.layout.dense + field.entries(), problem.outputs)
        self.rows = NumberedSample(PlainShare(field.share), active, plan, field.seed, field.collective.rank)
        self.fraction, self.squares = plan.fraction, self.rows.squares
        field.collective.allreduce(self.squares)


class LaneSample(GangSample):
    """The sample of a lane: the shared features, and weights of its own."""

    def __init__(self, field: LaneField, active: np.ndarray):
        drawn, problem = field.draw(active), field.problem
        own, left_out = drawn.rows, field.share.left_out
        weight = own.weight * problem.dtype.type(problem.weight_scale)
        if problem.class_weight.size:
            weight = weight * problem.class_weight[class_numbers(own.target, problem.outputs)].astype(problem.dtype)
        if not left_out.is_empty:
            weight = weight * ((own.number < left_out.low) | (own.number >= left_out.high))
        self.fraction, self.squares, self._collective = drawn.fraction, drawn.squares, field.collective
        self._known: list[_Known] = field.made.setdefault("curvature", [])
        self._smooth = steepness(problem.loss) == 0
        self._own: Any = SampledRows(problem, own.features, own.target, weight, own.offset)

    def sums(self, weights: np.ndarray, part: float = 1.0, width: float = 0.0, floor: float = 0.0) -> SampleSums:
        """Loss, gradient and curvature at active weights.

        The curvature may be that which a lane with the same loss has summed near these weights: it changes slowly where the
        loss is smooth, and it only says how far to step, not when to stop.
        """
        name = repr(self._own.problem.loss), part, width, floor, len(weights)
        known = next((known for known in self._known if known.name == name and known.serves(weights)), None)
        vector = self._own.sums(weights, part, width, floor, curved=known is None).to_vector()
        self._collective.allreduce(vector)
        found = SampleSums.from_vector(vector)
        if known is not None:
            return replace(found, matrix=known.sums.matrix * (found.rows / max(known.sums.rows, 1.0)))
        if self._smooth:
            self._known.insert(0, _Known(name, weights.copy(), found))
            del self._known[_MOST_KNOWN:]
        return found


@dataclass(frozen=True)
class _Known:
    """Sums over the sample, and the weights and the terms for which they hold."""

    name: tuple
    weights: np.ndarray
    sums: SampleSums

    def serves(self, weights: np.ndarray) -> bool:
        """Whether the loss changes so little from there to ``weights`` that its curvature is about the same."""
        step = weights - self.weights
        return float(step @ self.sums.matrix @ step) <= _SAME_CURVATURE * abs(self.sums.loss)
