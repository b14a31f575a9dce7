"""What the driver of an engine's rounds sees: sums over all rows, each one a round of :mod:`dsgd.train.rounds`."""

import secrets
from itertools import pairwise
from typing import Any

import numpy as np

from ..data.statistics import Statistics
from ..objective.curvature import SampleSums, plan_sample, step_of
from ..objective.passes import Partial
from ..objective.start import totals
from .field import has_sparse_columns
from .plan import Plan, make_plan
from .rounds import ADD, FUNCTION, MERGE, UNITE, Round, forget, spread
from .sample_parts import JOIN, from_bytes
from .sample_solver import FIRST_PART
from .task import FitTask

# Bytes of sampled rows that may come to the driver.
_GATHERED = 32 << 20


class EngineField:
    """The field of a driver: sums by the engine's tree-aggregate."""

    leads = True

    def __init__(self, engine: Any, tasks: list[FitTask]):
        self._engine, self.tasks = engine, tasks
        self.fit = secrets.token_hex(8)
        self._statistics = b""
        self._statistics = self.ask("statistics", MERGE)
        config, first = tasks[0].config, tasks[0]
        merged = Statistics.from_bytes(self._statistics)
        self.plan: Plan = make_plan(config, first.dataset, merged, first.classes, seen=first.seen)
        self.problem = self.plan.problem
        self.held_out = config.early_stopping or tasks[0].validation is not None
        self._used: np.ndarray | None = None  # positions of the parameters that some row uses, once they are known

    def ask(self, work: str, combine: str = ADD, **arguments: Any) -> bytes:
        """One round."""
        jobs = [
            Round(self.fit, number, task, self._statistics, work, arguments) for number, task in enumerate(self.tasks)
        ]
        return self._engine.aggregate(FUNCTION, jobs, combine)

    def sums(self, work: str, **arguments: Any) -> np.ndarray:
        """One round whose answer is a vector."""
        return np.frombuffer(self.ask(work, **arguments), np.float64).copy()

    def gradient(self, params: np.ndarray, width: float = 0.0) -> Partial:
        """Gradient and loss of the training rows; only the parameters that rows use travel."""
        if self._used is None:
            return Partial.from_vector(self.sums("gradient", params=params, used=None, width=width))
        partial = Partial.from_vector(self.sums("gradient", params=params[self._used], used=self._used, width=width))
        return Partial(spread(partial.gradient, self._used, self.problem.size), partial.loss, partial.rows)

    def validation(self, params: np.ndarray) -> float | None:
        """Mean loss of the validation rows."""
        if not self.held_out:
            return None
        loss, weight = self.sums("validation", params=params)
        return float(loss / weight) if weight > 0 else None

    def active(self, limit: int) -> np.ndarray | None:
        """Positions of the weights in use."""
        found = np.frombuffer(self.ask("active", UNITE, limit=limit), np.int64)[1:]
        layout = self.problem.layout
        if not len(found) and layout.size:
            return None
        if len(found) > limit:
            return None
        features, k = np.append(found, layout.size), self.problem.outputs
        self._used = (features[:, None] * k + np.arange(k)).ravel()
        return found

    def entries(self) -> float:
        """Mean number of codes, interactions and sparse values of a row."""
        layout = self.problem.layout
        values, rows = self.sums("entries") if has_sparse_columns(layout) else (0.0, 1.0)
        return layout.codes + layout.crosses.count + values / max(rows, 1.0)

    def totals(self) -> np.ndarray:
        """Sums over the targets of the training rows."""
        return self.sums("totals")

    def squares(self, active: np.ndarray) -> np.ndarray:
        """Mean squares of the active features."""
        sums = self.sums("squares", active=active)
        return sums[:-1] / max(sums[-1], 1.0)

    def agree(self, vector: np.ndarray) -> None:
        """There is one driver, which agrees with itself."""

    def sample(self, active: np.ndarray) -> "EngineSample":
        """Draw the sample."""
        return EngineSample(self, active)

    def close(self) -> None:
        """Let the shares in this process go; those on workers go with the next fit, or with the engine."""
        forget(self.fit)


class EngineSample:
    """A sample whose rows are with the engine's workers, and a part of them, or all if they are few, here.

    What can be summed here costs no round; a recipe looks at a small part first, several times.
    """

    def __init__(self, field: EngineField, active: np.ndarray):
        self._field, self._active = field, active
        problem = field.problem
        entries = problem.layout.dense + field.entries()
        self._plan = plan_sample(problem.rows, len(active), entries, problem.outputs)
        self.fraction = self._plan.fraction
        number = problem.dtype.itemsize
        row = (entries + 1) * (number + 4) if self._plan.sparse else (len(active) + 1) * number
        self._step = step_to_gather(self.fraction * problem.rows * row)
        message = field.ask("sample", JOIN, active=active, plan=self._plan, step=self._step)
        self.squares, self._rows = from_bytes(problem, message)
        # To find out would cost a round, as much as the step that it could save.
        self.even = not self.squares.any()

    def sums(self, weights: np.ndarray, part: float = 1.0, width: float = 0.0, floor: float = 0.0) -> SampleSums:
        """Loss, gradient and curvature at active weights."""
        if self._rows is not None and step_of(part) % self._step == 0:
            return self._rows.sums(weights, part * self._step, width, floor)
        arguments = {"weights": weights, "part": part, "width": width, "floor": floor}
        vector = self._field.sums("sums", active=self._active, plan=self._plan, **arguments)
        return SampleSums.from_vector(vector)

    def along(self, weights: np.ndarray, step: np.ndarray, part: float = 1.0, width: float = 0.0) -> np.ndarray:
        """Loss along a step, and the number of rows."""
        if self._rows is not None and step_of(part) % self._step == 0:
            return self._rows.along(weights, step, part * self._step, width)
        arguments = {"weights": weights, "step": step, "part": part, "width": width}
        return self._field.sums("along", active=self._active, plan=self._plan, **arguments)

    def totals(self) -> np.ndarray:
        """Sums over the sampled targets that are here; over all, where none are."""
        rows = self._rows
        return self._field.totals() if rows is None else totals(rows.target, rows.weight, rows.offset)


def step_to_gather(size: float) -> int:
    """Every how many-th row of a sample of ``size`` bytes comes to the driver: all, the recipe's first part, or none (0).

    Examples
    --------
    >>> step_to_gather(1e6), step_to_gather(1e8), step_to_gather(1e9)
    (1, 10, 0)
    """
    return next((step for step in (1, step_of(FIRST_PART)) if size / step <= _GATHERED), 0)


def share_sums(vector: np.ndarray, sizes: list[int]) -> tuple[list[np.ndarray], np.ndarray]:
    """Undo the concatenation of ``ShareOnWorker.epoch``: the means of its arrays, and its tail."""
    tail = vector[-3:]
    edges = np.cumsum([0, *sizes])
    return [vector[a:b] / max(tail[1], 1.0) for a, b in pairwise(edges)], tail
