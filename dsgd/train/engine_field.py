"""What the driver of an engine's rounds sees: sums over all rows, each one a round of :mod:`dsgd.train.rounds`."""

import secrets
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.statistics import Statistics
from ..objective.curvature import SampleSums, plan_sample
from ..objective.passes import Partial
from .field import has_sparse_columns
from .plan import Plan, make_plan
from .rounds import ADD, FUNCTION, MERGE, UNITE, Round, forget
from .task import FitTask


class EngineField:
    """The field of a driver: sums by the engine's tree-aggregate."""

    def __init__(self, engine: Any, tasks: list[FitTask]):
        self._engine, self._tasks = engine, tasks
        self.fit = secrets.token_hex(8)
        self._statistics = b""
        self._statistics = self.ask("statistics", MERGE)
        config, dataset = tasks[0].config, tasks[0].dataset
        self.plan: Plan = make_plan(config, dataset.spec, Statistics.from_bytes(self._statistics), tasks[0].classes)
        self.problem = self.plan.problem
        self._held_out = config.early_stopping or tasks[0].validation is not None

    def ask(self, work: str, combine: str = ADD, **arguments: Any) -> bytes:
        """One round."""
        jobs = [
            Round(self.fit, number, task, self._statistics, work, arguments) for number, task in enumerate(self._tasks)
        ]
        return self._engine.aggregate(FUNCTION, jobs, combine)

    def sums(self, work: str, **arguments: Any) -> np.ndarray:
        """One round whose answer is a vector."""
        return np.frombuffer(self.ask(work, **arguments), np.float64).copy()

    def gradient(self, params: np.ndarray) -> Partial:
        """Gradient and loss of the training rows."""
        return Partial.from_vector(self.sums("gradient", params=params))

    def validation(self, params: np.ndarray) -> float | None:
        """Mean loss of the validation rows."""
        if not self._held_out:
            return None
        loss, weight = self.sums("validation", params=params)
        return float(loss / weight) if weight > 0 else None

    def active(self, limit: int) -> np.ndarray | None:
        """Positions of the weights in use."""
        found = np.frombuffer(self.ask("active", UNITE, limit=limit), np.int64)[1:]
        layout = self.problem.layout
        if not len(found) and layout.size:
            return None
        return found if len(found) <= limit else None

    def entries(self) -> float:
        """Mean number of codes, interactions and sparse values of a row."""
        layout = self.problem.layout
        values, rows = self.sums("entries") if has_sparse_columns(layout) else (0.0, 1.0)
        return layout.codes + layout.crosses.count + values / max(rows, 1.0)

    def agree(self, vector: np.ndarray) -> None:
        """There is one driver, which agrees with itself."""

    def sample(self, active: np.ndarray) -> "EngineSample":
        """Draw the sample."""
        return EngineSample(self, active)

    def close(self) -> None:
        """Let the shares in this process go; those on workers go with the next fit, or with the engine."""
        forget(self.fit)


class EngineSample:
    """A sample whose rows are with the engine's workers."""

    def __init__(self, field: EngineField, active: np.ndarray):
        self._field, self._active = field, active
        problem = field.problem
        entries = problem.layout.dense + field.entries()
        self._plan = plan_sample(problem.rows, len(active), entries, problem.outputs)
        self.fraction = self._plan.fraction
        self.squares = field.sums("squares", active=active, plan=self._plan)
        # To find out would cost a round, as much as the step that it could save.
        self.even = not self.squares.any()

    def sums(self, weights: np.ndarray, part: float = 1.0) -> SampleSums:
        """Loss, gradient and curvature at active weights, over a part of the sample."""
        vector = self._field.sums("sums", active=self._active, plan=self._plan, weights=weights, part=part)
        return SampleSums.from_vector(vector)


def share_sums(vector: np.ndarray, sizes: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Undo the concatenation of ``ShareOnWorker.epoch``: the means of its arrays, and its tail."""
    tail = vector[-3:]
    edges = np.cumsum([0, *sizes])
    return [vector[a:b] / max(tail[1], 1.0) for a, b in pairwise(edges)], tail
