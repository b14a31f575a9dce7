"""Statistics of a dataset, gathered while it is encoded, as a monoid: workers' statistics are merged in rank order.

What comes out is what a fit needs before its first step: how to standardise, how large the rows are (step sizes), which classes
there are and how much they weigh. Means and variances merge by the formula of Chan, Golub and LeVeque (1979), in float64.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..errors import DataError
from ..foreign import is_count, is_number
from .arrays import pack, unpack
from .label_statistics import LabelStatistics, merge_labels


@dataclass(frozen=True)
class Statistics:
    """Statistics of n rows with p dense columns and s sparse ones.

    Attributes
    ----------
    rows : int
    weight : float
        Sum of the rows' weights.
    column_weight : ndarray of shape (p,), float64
        Weight of the rows in which a dense column is not missing.
    mean : ndarray of shape (p,), float64
        Weighted means of the dense columns.
    m2 : ndarray of shape (p,), float64
        Weighted sums of squared deviations from the mean.
    sparse_sum, sparse_square : ndarray of shape (s,), float64
        Weighted sums and weighted sums of squares of the sparse columns.
    norm_sum : float
        Weighted sum of the rows' squared norms over the dense and the sparse part; each code adds 1 more.
    label : LabelStatistics
    """

    rows: int
    weight: float
    column_weight: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    sparse_sum: np.ndarray
    sparse_square: np.ndarray
    norm_sum: float
    label: LabelStatistics

    @property
    def variance(self) -> np.ndarray:
        """Weighted population variance of each dense column, missing values counted as the mean; shape (p,)."""
        return self.m2 / self.weight if self.weight > 0 else np.zeros_like(self.m2)

    @property
    def sparse_mean(self) -> np.ndarray:
        """Weighted mean of each sparse column, zeros included; shape (s,)."""
        return self.sparse_sum / self.weight if self.weight > 0 else np.zeros_like(self.sparse_sum)

    @property
    def sparse_variance(self) -> np.ndarray:
        """Weighted population variance of each sparse column, zeros included; shape (s,)."""
        if self.weight <= 0:
            return np.zeros_like(self.sparse_sum)
        return np.maximum(self.sparse_square / self.weight - self.sparse_mean**2, 0.0)

    @property
    def norm_mean(self) -> float:
        """Weighted mean of the rows' squared norms."""
        return self.norm_sum / self.weight if self.weight > 0 else 0.0

    def imputed(self) -> "Statistics":
        """Return the statistics of the data with each missing value replaced by its column's mean."""
        missing = np.maximum(self.weight - self.column_weight, 0.0)
        return replace(
            self,
            column_weight=np.full_like(self.column_weight, self.weight),
            norm_sum=self.norm_sum + float(missing @ self.mean**2),
        )

    def to_bytes(self) -> bytes:
        """Return the statistics as bytes, for an all-gather."""
        label, label_meta = self.label.to_parts()
        arrays = {name: getattr(self, name) for name in _ARRAYS} | label
        meta = {name: getattr(self, name) for name in _SCALARS} | {"label": label_meta}
        return pack(arrays, meta)

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Statistics":
        """The inverse of :meth:`to_bytes`.

        Raises
        ------
        DataError
            When these are no statistics, or damaged ones.
        """
        arrays, meta = unpack(payload, "a worker's statistics")
        shapes = {name: arrays[name].shape for name in _ARRAYS if name in arrays and arrays[name].dtype == np.float64}
        dense, sparse = shapes.get("mean", ()), shapes.get("sparse_sum", ())
        expected = dict(zip(_ARRAYS, (dense, dense, dense, sparse, sparse), strict=True))
        numbers = is_count(meta.get("rows")) and all(is_number(meta.get(name)) for name in _SCALARS)
        if not numbers or shapes != expected or not len(dense) == len(sparse) == 1:
            raise DataError("a worker's statistics are damaged: they are not those of some rows")
        label = LabelStatistics.from_parts(arrays, meta.get("label"))
        fields = {name: arrays[name] for name in _ARRAYS} | {name: meta[name] for name in _SCALARS}
        return cls(**fields, label=label)


_ARRAYS = ("column_weight", "mean", "m2", "sparse_sum", "sparse_square")
_SCALARS = ("rows", "weight", "norm_sum")


def merge(left: Statistics, right: Statistics) -> Statistics:
    """Return the statistics of both sets of rows; associative up to rounding, so folded in rank order by everybody.

    Raises
    ------
    DataError
        When the two are of different columns, or of labels of different kinds.
    """
    if left.mean.shape != right.mean.shape or left.sparse_sum.shape != right.sparse_sum.shape:
        raise DataError(
            f"statistics of {left.mean.size} + {left.sparse_sum.size} columns cannot be merged with those of "
            f"{right.mean.size} + {right.sparse_sum.size}"
        )
    weight = left.column_weight + right.column_weight
    share = np.divide(right.column_weight, weight, out=np.zeros_like(weight), where=weight > 0)
    delta = right.mean - left.mean
    return Statistics(
        rows=left.rows + right.rows,
        weight=left.weight + right.weight,
        column_weight=weight,
        mean=left.mean + delta * share,
        m2=left.m2 + right.m2 + delta * delta * left.column_weight * share,
        sparse_sum=left.sparse_sum + right.sparse_sum,
        sparse_square=left.sparse_square + right.sparse_square,
        norm_sum=left.norm_sum + right.norm_sum,
        label=merge_labels(left.label, right.label),
    )
