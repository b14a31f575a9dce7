"""Gathers the statistics of blocks as they are encoded, one worker's worth."""

import numpy as np

from ..errors import DataError
from ..kernels.moments import dense_moments, dense_moments_missing, sparse_moments
from .block import Block
from .label_statistics import LabelCounter
from .labels import LabelCodes
from .numbers import refuse_nonfinite
from .spec import FeatureSpec
from .statistics import Statistics
from .where import Where


class StatisticsPass:
    """Adds block after block.

    Parameters
    ----------
    spec : FeatureSpec
    dtype : numpy dtype
        That of the blocks.
    sparse_moments : bool
        Whether sums of each sparse column are wanted; without them the statistics have none.
    """

    def __init__(self, spec: FeatureSpec, dtype=np.float32, sparse_moments: bool = True):
        p, sparse = spec.layout.dense, sum(vector.width for vector in spec.sparse_vectors) if sparse_moments else 0
        self._sparse_start = spec.sparse_start
        self._spec = spec
        self._rows, self._weight, self._norm_sum = 0, 0.0, 0.0
        self._total, self._mean, self._m2 = np.zeros(p), np.zeros(p), np.zeros(p)
        self._sum, self._square = np.zeros(sparse), np.zeros(sparse)
        self._label = LabelCounter()

    def add(self, block: Block, where: Where | None = None) -> None:
        """Count a block's rows, with their labels as the encoder wrote them.

        Raises
        ------
        DataError
            For a value that is not finite; rows are named only as far as the block is in the order of ``where``.
        """
        norms = np.zeros(block.rows)
        if block.dense.shape[1]:
            self._dense(block, norms, where or Where())
        if block.indptr.size > 1:
            sparse = (block.indptr, block.indices, block.values)
            sparse_moments(*sparse, block.weight, self._sparse_start, self._sum, self._square, norms)
            self._check_sparse(block, norms, where or Where())
        self._rows += block.rows
        self._weight += float(block.weight.sum(dtype=np.float64)) if block.weight.size else float(block.rows)
        self._norm_sum += float(block.weight @ norms) if block.weight.size else float(norms.sum())
        self._label.add(block.label, block.weight)

    def _dense(self, block: Block, norms: np.ndarray, where: Where) -> None:
        state = (self._total, self._mean, self._m2)
        if self._spec.missing == "mean" and self._spec.means is None:
            dense_moments_missing(block.dense, block.weight, *state, norms)
        else:
            scratch = np.empty((3, block.dense.shape[1]), block.dense.dtype)
            dense_moments(block.dense, block.weight, *state, norms, scratch)
        if not (np.isfinite(self._m2).all() and np.isfinite(norms).all()):
            self._search(block, where)

    def _check_sparse(self, block: Block, norms: np.ndarray, where: Where) -> None:
        """A row whose norm is not finite has a value that is not, or one too large to be squared."""
        for row in np.flatnonzero(~np.isfinite(norms)):
            span = slice(block.indptr[row], block.indptr[row + 1])
            for index, value in zip(block.indices[span], block.values[span], strict=True):
                if not np.isfinite(value):
                    column = next(c for c in self._spec.layout.columns if c.start <= index < c.stop)
                    name = f"{column.name}[{index - column.start}]"
                    refuse_nonfinite(np.array([value]), name, where.after(int(row)), allow_nan=False)

    def _search(self, block: Block, where: Where) -> None:
        names = [c for c in self._spec.layout.columns if c.kind in ("numeric", "vector")]
        for column in names:
            values = block.dense[:, column.start : column.stop]
            one = values[:, 0] if column.kind == "numeric" else values
            refuse_nonfinite(one, column.name, where, allow_nan=self._spec.missing == "mean")
        raise DataError(
            "Floating-point under-/overflow occurred at epoch #0: the squares of the features overflow. Scaling input data with "
            "StandardScaler or MinMaxScaler might help; so does dtype='float64'"
        )

    def result(self, codes: LabelCodes) -> Statistics:
        """Return the statistics of all blocks added."""
        return Statistics(
            rows=self._rows,
            weight=self._weight,
            column_weight=self._total,
            mean=self._mean,
            m2=self._m2,
            sparse_sum=self._sum,
            sparse_square=self._square,
            norm_sum=self._norm_sum,
            label=self._label.result(codes),
        )
