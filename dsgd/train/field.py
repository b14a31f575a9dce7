"""Sums over all rows, wherever the rows are: what a recipe that works in rounds asks for.

A recipe runs alike on every rank of a gang (:class:`GangField`) and in the driver above an engine's tree-aggregate
(:class:`dsgd.train.engine_field.EngineField`); it sees only this.
"""

from typing import Protocol

import numpy as np

from ..collectives.base import Collective
from ..data.layout import Layout
from ..objective.active import squares_of_features, used_weights
from ..objective.curvature import Sample, SampleSums, plan_sample
from ..objective.moments import RowCurvature, largest_squares, sums_of_squares
from ..objective.passes import Partial, Pass
from ..objective.problem import Problem
from ..objective.share import Share
from ..objective.start import totals, totals_of_rows

_EVEN = 0.02


class SampleField(Protocol):
    """Sums over a sample of the rows of all ranks; see :class:`dsgd.objective.curvature.Sample`."""

    fraction: float
    squares: np.ndarray

    def along(self, weights: np.ndarray, step: np.ndarray, part: float = 1.0, width: float = 0.0) -> np.ndarray:
        """Loss along a step; see :meth:`dsgd.objective.curvature.SampledRows.along`."""
        ...

    def totals(self) -> np.ndarray:
        """Sums over the sampled targets; see :func:`dsgd.objective.start.totals`."""
        ...

    @property
    def even(self) -> bool:
        """Whether every feature is spread over so many of the sampled rows that none of them matters by itself."""
        ...

    def sums(self, weights: np.ndarray, part: float = 1.0, width: float = 0.0, floor: float = 0.0) -> SampleSums:
        """Loss, gradient and curvature at active weights; see :meth:`dsgd.objective.curvature.SampledRows.sums`."""
        ...


class Field(Protocol):
    """Sums over the rows of all ranks.

    ``leads`` says whether others agree with what is said here, not the other way round.
    """

    problem: Problem
    leads: bool

    def gradient(self, params: np.ndarray, width: float = 0.0) -> Partial:
        """Gradient and loss of the training rows; the loss's kinks rounded off within ``width``."""
        ...

    def validation(self, params: np.ndarray) -> float | None:
        """Mean loss of the validation rows; None when there are none."""
        ...

    def active(self, limit: int) -> np.ndarray | None:
        """Positions of the weights in use, ascending, or None when they are more than ``limit``."""
        ...

    def totals(self) -> np.ndarray:
        """Sums over the targets of the training rows; see :func:`dsgd.objective.start.totals`."""
        ...

    def squares(self, active: np.ndarray) -> np.ndarray:
        """Mean squares of the active features over all rows; shape (a,)."""
        ...

    def agree(self, vector: np.ndarray) -> None:
        """Give all ranks the vector of rank 0, in place: what they decide by must not differ by a rounding."""
        ...

    def sample(self, active: np.ndarray) -> SampleField:
        """Draw the sample."""
        ...


class GangField:
    """The field of a rank in a gang: its own sums, all-reduced."""

    def __init__(self, share: Share, work: Pass, collective: Collective, seed: int):
        self.problem = share.problem
        self.share, self.work, self.collective, self.seed = share, work, collective, seed
        self.leads = collective.rank == 0

    def gradient(self, params: np.ndarray, width: float = 0.0) -> Partial:
        """Gradient and loss of the training rows."""
        vector = self.work.full_gradient(self.share.training(), params, width).to_vector()
        self.collective.allreduce(vector)
        return Partial.from_vector(vector)

    def validation(self, params: np.ndarray) -> float | None:
        """Mean loss of the validation rows."""
        if not self.share.held_out:
            return None
        sums = np.array(self.work.loss(self.share.validation(), params))
        self.collective.allreduce(sums)
        return float(sums[0] / sums[1]) if sums[1] > 0 else None

    def active(self, limit: int) -> np.ndarray | None:
        """Positions of the weights in use."""
        own = used_weights(self.problem, self.share.training(), limit)
        payload = b"-" if own is None else b"+" + own.astype(np.int64).tobytes()
        return union_of(self.collective.allgather(payload), limit)

    def entries(self) -> float:
        """Mean number of codes, interactions and sparse values of a row, over all ranks."""
        layout = self.problem.layout
        fixed = float(layout.codes + layout.crosses.count)
        if not has_sparse_columns(layout):
            return fixed
        sums = np.array([count_values(self.share), self.share.store.rows], np.float64)
        self.collective.allreduce(sums)
        return fixed + sums[0] / max(sums[1], 1.0)

    def totals(self) -> np.ndarray:
        """Sums over the targets of the training rows."""
        sums = totals_of_rows(self.share.training(), self.share.run)
        self.collective.allreduce(sums)
        return sums

    def squares(self, active: np.ndarray) -> np.ndarray:
        """Mean squares of the active features."""
        sums = squares_of_features(self.problem, self.share.training(), active)
        self.collective.allreduce(sums)
        return sums[:-1] / max(sums[-1], 1.0)

    def agree(self, vector: np.ndarray) -> None:
        """Give all ranks the vector of rank 0."""
        self.collective.broadcast(vector)

    def sample(self, active: np.ndarray) -> "GangSample":
        """Draw the sample."""
        return GangSample(self, active)


def has_sparse_columns(layout: Layout) -> bool:
    """Whether rows have sparse values, beside codes and interactions."""
    return any(column.kind == "sparse" for column in layout.columns)


def count_values(share: Share) -> int:
    """Sparse values of a rank's rows."""
    return sum(int(rows.indptr[-1] - rows.indptr[0]) for rows, _ in share.training())


class GangSample:
    """A sample over the ranks of a gang."""

    def __init__(self, field: GangField, active: np.ndarray):
        problem = field.problem
        plan = plan_sample(problem.rows, len(active), problem.layout.dense + field.entries(), problem.outputs)
        self.fraction = plan.fraction
        self._own = Sample(field.share, active, plan, field.seed, field.collective.rank)
        self._collective = field.collective
        self.squares = self._own.squares
        self._collective.allreduce(self.squares)

    def sums(self, weights: np.ndarray, part: float = 1.0, width: float = 0.0, floor: float = 0.0) -> SampleSums:
        """Loss, gradient and curvature at active weights."""
        vector = self._own.sums(weights, part, width, floor).to_vector()
        self._collective.allreduce(vector)
        return SampleSums.from_vector(vector)

    def along(self, weights: np.ndarray, step: np.ndarray, part: float = 1.0, width: float = 0.0) -> np.ndarray:
        """Loss along a step, and the number of rows."""
        vector = self._own.along(weights, step, part, width)
        self._collective.allreduce(vector)
        return vector

    def curvature(self, weights: np.ndarray, least: float) -> "GangCurvature":
        """Curvature of the rows at active weights; see :class:`dsgd.objective.moments.RowCurvature`."""
        return GangCurvature(RowCurvature(self._own, weights, least), self._collective, self.squares)

    def totals(self) -> np.ndarray:
        """Sums over the sampled targets; see :func:`dsgd.objective.start.totals`."""
        sums = totals(self._own.target, self._own.weight, self._own.offset)
        self._collective.allreduce(sums)
        return sums

    @property
    def even(self) -> bool:
        """Whether no row makes up more than a fiftieth of any feature's sum of squares."""
        total = sums_of_squares(self._own)
        self._collective.allreduce(total)
        largest = largest_over_ranks(self._collective, largest_squares(self._own))
        missed = (total[:-1] == 0) & (self.squares > 0)
        return bool((largest <= _EVEN * total).all() and not missed.any())


class GangCurvature:
    """The curvature of the sampled rows of all ranks, at some weights."""

    def __init__(self, own: RowCurvature, collective: Collective, squares: np.ndarray):
        self._own, self._collective, self._squares = own, collective, squares

    def mean(self) -> np.ndarray:
        """Mean over the rows of factor x x x'; shape (k, a + 1, a + 1), float64."""
        vector = self._own.sums()
        self._collective.allreduce(vector)
        size = len(self._squares) + 1
        return vector[:-1].reshape(-1, size, size) / max(vector[-1], 1.0)

    def largest_squares(self, missed: float) -> np.ndarray:
        """Largest factor x square of every feature, shape (k, a + 1); for features not in the sample, as if at ``missed``."""
        own = self._own.largest_squares()
        largest = largest_over_ranks(self._collective, own.ravel()).reshape(own.shape)
        return np.where(largest > 0, largest, missed * np.append(self._squares, 0.0))

    def quantile(self, matrix: np.ndarray, share: float) -> float:
        """A quantile of the rows' sizes, on the rank where it is largest."""
        return float(largest_over_ranks(self._collective, np.array([self._own.quantile(matrix, share)]))[0])

    def agree(self, vector: np.ndarray) -> None:
        """Give all ranks the vector of rank 0."""
        self._collective.broadcast(vector)


def largest_over_ranks(collective: Collective, own: np.ndarray) -> np.ndarray:
    """Element-wise maximum of the ranks' vectors, as float64."""
    parts = collective.allgather(own.astype(np.float64).tobytes())
    return np.maximum.reduce([np.frombuffer(part, np.float64) for part in parts])


def union_of(parts: list[bytes], limit: int) -> np.ndarray | None:
    """Fold the ranks' answers to ``active``."""
    if any(part[:1] == b"-" for part in parts):
        return None
    union = np.unique(np.concatenate([np.frombuffer(part[1:], np.int64) for part in parts]))
    return union if len(union) <= limit else None
