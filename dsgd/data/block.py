"""A block: some rows of encoded features, and the named per-row columns that go with them.

A row's features have up to three parts, and every kernel adds them up:

* ``dense``: numeric and dense vector columns, ``p`` values a row; the weights of column ``j`` are at index ``j``;
* ``codes``: categorical columns, one weight index a row and column, the value being 1;
* ``indptr, indices, values``: sparse vector columns, compressed by row.

A part that a dataset does not have has zero width, so that one kernel serves every layout. Indices are positions in
the one flat weight vector: each source column owns a range of its own (see :class:`dsgd.data.layout.Layout`).
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Block:
    """Rows ready for a kernel. Arrays are C-contiguous; in-memory data of the user is wrapped, not copied.

    Attributes
    ----------
    dense : ndarray of shape (n, p), float32 or float64
    codes : ndarray of shape (n, c), int32
        Positions in the weight vector.
    indptr : ndarray of shape (n + 1,), int64, or of shape (1,) when there is no sparse part
    indices : ndarray of shape (nnz,), int32
    values : ndarray of shape (nnz,), dtype of ``dense``
    label : ndarray of shape (n,), dtype of ``dense``
        -1 and +1 for two classes, 0 .. k-1 for more, the target itself for regression.
    weight : ndarray of shape (n,), dtype of ``dense``, or of shape (0,) when all rows weigh 1
    offset : ndarray of shape (n,), dtype of ``dense``, or of shape (0,) when there is none
    """

    dense: np.ndarray
    codes: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    offset: np.ndarray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.dense.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)

    def slice(self, start: int, stop: int) -> "Block":
        """Rows ``start`` to ``stop``, as views."""
        sparse = {}
        if self.indptr.size > 1:
            sparse = {"indptr": self.indptr[start : stop + 1]}
        return replace(
            self,
            dense=self.dense[start:stop],
            codes=self.codes[start:stop],
            label=self.label[start:stop],
            weight=self.weight[start:stop],
            offset=self.offset[start:stop],
            **sparse,
        )


def make_block(
    label,
    *,
    dense=None,
    codes=None,
    indptr=None,
    indices=None,
    values=None,
    weight=None,
    offset=None,
    dtype=np.float32,
) -> Block:
    """Build a block, giving every absent part its zero-width array.

    Examples
    --------
    >>> import numpy as np
    >>> block = make_block(np.array([1.0, -1.0]), dense=np.eye(2))
    >>> block.rows, block.codes.shape, block.dense.dtype
    (2, (2, 0), dtype('float32'))
    """
    n = len(label)

    def floats(array, shape):
        return np.empty(shape, dtype) if array is None else np.ascontiguousarray(array, dtype)

    def integers(array, shape, kind):
        return np.zeros(shape, kind) if array is None else np.ascontiguousarray(array, kind)

    return Block(
        dense=floats(dense, (n, 0)),
        codes=integers(codes, (n, 0), np.int32),
        indptr=integers(indptr, (1,), np.int64),
        indices=integers(indices, (0,), np.int32),
        values=floats(values, (0,)),
        label=floats(label, (n,)),
        weight=floats(weight, (0,)),
        offset=floats(offset, (0,)),
    )
