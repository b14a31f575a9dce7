"""Standardisation: from the statistics to what is done to the columns, and coefficients to and from the standardised scale.

Dense columns are not touched: the kernels fold their means and deviations into the weights (:mod:`dsgd.kernels.rows`). Sparse
values are multiplied once by the inverse deviation, where blocks are kept, and not centred, so that zeros stay zeros; as Spark
ML does it. A dense column so far from zero that products with its mean would lose the digits of its deviations has the mean,
rounded to the rows' dtype, subtracted once, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..data.layout import Crosses
from ..data.statistics import Statistics
from ..kernels.rows import Frame

# A dense column whose deviation is a smaller part of its mean is constant but for rounding.
_CONSTANT = 1e-7
# Part of a deviation that rounding at the size of the mean may take away.
_LOST = 1e-4


@dataclass(frozen=True)
class Scaling:
    """What standardisation does to the columns; arrays of the fit's dtype, of shape (0,) where nothing is done.

    Attributes
    ----------
    shift : ndarray of shape (p,)
        Subtracted from the dense part where blocks are kept.
    center, scale : ndarray of shape (p,)
        What the kernels then subtract from the dense part, and multiply it by; the scale of a constant column is 0.
    sparse : ndarray of shape (s,)
        What sparse values are multiplied by where blocks are kept; 0 for a constant column.
    constant : ndarray of shape (s,)
        The value of a sparse column that is constant (zero, most likely); 0 for all others.
    """

    shift: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    sparse: np.ndarray
    constant: np.ndarray

    def frame(self, crosses: Crosses) -> Frame:
        """What the kernels need to know of it, and the interactions."""
        return Frame(self.center, self.scale, crosses.columns, crosses.start, crosses.mask)

    def original(
        self, params: np.ndarray, outputs: int, before: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (k, d) and intercepts (k,) for the data as given, from the flat vector on the standardised scale.

        ``before`` are the coefficients (k, d) of the model that the fit went on from: data in which a column is constant says
        nothing of its weight, which stays.
        """
        if not self.scale.size and not self.sparse.size:
            # Nothing to undo, and no copy of what may be long.
            as_it_is = params.reshape(-1, outputs)
            return as_it_is[:-1].T, as_it_is[-1].copy()
        matrix = params.reshape(-1, outputs).astype(np.float64)
        coef, intercept = matrix[:-1], matrix[-1]
        for columns, scale, origin in self._parts(len(coef)):
            coef[columns] *= scale[:, None]
            if before is not None:
                idle = scale == 0
                coef[columns][idle] = before.T[columns][idle]
            intercept -= origin @ coef[columns]
        return np.ascontiguousarray(coef.T, params.dtype), intercept.astype(params.dtype)

    def standardised(self, coef: np.ndarray, intercept: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`original`; what constant columns add to the scores goes into the intercept."""
        matrix = np.concatenate([coef.T, intercept[None, :]]).astype(np.float64)
        for columns, scale, origin in self._parts(len(matrix) - 1):
            part, scale = matrix[columns], scale[:, None]
            matrix[-1] += origin @ part
            matrix[columns] = np.divide(part, scale, out=np.zeros_like(part), where=scale != 0)
        return np.ascontiguousarray(matrix.ravel(), self.scale.dtype)

    def mean_norm(self, statistics: Statistics) -> float:
        """Mean squared norm of a row's dense and sparse part, as the weights meet them."""
        if not self.scale.size and not self.sparse.size:
            return statistics.norm_mean
        dense = (statistics.variance + (statistics.mean - self._origin()) ** 2) * self.scale.astype(np.float64) ** 2
        sparse = statistics.sparse_square * self.sparse.astype(np.float64) ** 2
        return float(dense.sum() + sparse.sum() / max(statistics.weight, np.finfo(np.float64).tiny))

    def _origin(self) -> np.ndarray:
        """What dense columns are measured from, float64."""
        center = self.center.astype(np.float64)
        return center + self.shift if self.shift.size else center

    def _parts(self, weights: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """The ranges of weights that are scaled, with their factors and what their columns are measured from; float64."""
        if self.scale.size:
            yield slice(0, self.scale.size), self.scale.astype(np.float64), self._origin()
        if self.sparse.size:
            columns = slice(weights - self.sparse.size, weights)
            yield columns, self.sparse.astype(np.float64), self.constant.astype(np.float64)


def no_scaling(dtype: np.dtype) -> Scaling:
    """The scaling that leaves all columns as they are."""
    nothing = np.zeros(0, dtype)
    return Scaling(nothing, nothing, nothing, nothing, nothing)


def make_scaling(statistics: Statistics, dtype: np.dtype, centred: bool) -> Scaling:
    """Return the scaling that standardises the columns, from the statistics of all ranks' rows.

    ``centred`` is False for a model without an intercept, which could not undo that columns are centred.
    """
    mean, deviation = statistics.mean, np.sqrt(statistics.variance)
    varies = deviation > _CONSTANT * np.maximum(np.abs(mean), 1e-30)
    if not centred:
        mean = np.where(varies, 0.0, mean)  # what a constant column adds to the scores is no matter of an intercept
    far = varies & (np.abs(mean) * np.finfo(dtype).eps > _LOST * deviation)
    shift = np.where(far, mean, 0.0).astype(dtype)
    sparse_varies = _sparse_varies(statistics)
    return Scaling(
        shift=shift if far.any() else shift[:0],
        center=(mean - shift).astype(dtype),
        scale=_inverse(deviation, varies).astype(dtype),
        sparse=_inverse(np.sqrt(statistics.sparse_variance), sparse_varies).astype(dtype),
        constant=np.where(sparse_varies, 0.0, statistics.sparse_mean).astype(dtype),
    )


def _sparse_varies(statistics: Statistics) -> np.ndarray:
    """Which sparse columns vary by more than rounding may have added to the sums that their variance is a difference of."""
    square = statistics.sparse_square / max(statistics.weight, np.finfo(np.float64).tiny)
    return statistics.sparse_variance > 8 * np.finfo(np.float64).eps * statistics.rows * square


def _inverse(deviation: np.ndarray, varies: np.ndarray) -> np.ndarray:
    return np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
