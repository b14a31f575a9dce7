"""Matrices in memory as a Dataset: numpy arrays and scipy sparse matrices, wrapped without a copy where dtype and order suit."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse

from ..errors import ConfigError, DataError
from .block import Block, make_block
from .column_blocks import ColumnBlock
from .dataset import Dataset, Split
from .encode import Encoder, impute
from .labels import encode_label
from .layout import ColumnRange
from .numbers import refuse_nonfinite, refuse_values
from .order import take_rows
from .resolve import Roles
from .spec import FeatureSpec, Vector
from .vectors import spark_vectors
from .where import Where

# The name of the one vector column that a matrix without column names is.
COLUMN = "X"


class MatrixDataset(Dataset):
    """A matrix of shape (n, d), with a label, weight and offset of shape (n,); made by :func:`dsgd.data.sources.as_dataset`.

    Parameters
    ----------
    X : ndarray or scipy sparse matrix, of shape (n, d)
    columns : dict of str to ndarray of shape (n,)
        Those of label, weight and offset that there are, by their names in ``roles``.
    roles : Roles
    spec : FeatureSpec, optional
        Of a fitted model; otherwise the matrix is one vector column of width d.
    """

    # Row of the user's matrix that is the first one here, so that errors name rows as the user counts them.
    first = 0

    def __init__(self, X, columns: dict[str, np.ndarray], roles: Roles, missing: str, spec: FeatureSpec | None = None):
        self.X = canonical(X) if scipy.sparse.issparse(X) else X
        self.columns = columns
        self.roles = roles
        self._spec = spec or FeatureSpec(
            vectors=(Vector(COLUMN, X.shape[1], scipy.sparse.issparse(X)),), missing=missing
        )
        _check_width(self.X, self._spec)

    def __repr__(self):
        return f"MatrixDataset(shape={self.X.shape}, {self.roles})"

    @property
    def spec(self) -> FeatureSpec:
        """One vector column, or the columns of a fitted model by position."""
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "MatrixDataset":
        """Return the same rows with the features of a fitted model, which must be d numbers a row."""
        _check_width(self.X, spec)
        other = copy(self)
        other._spec = spec
        return other

    def of_columns(self, block: ColumnBlock) -> "MatrixDataset":
        """Return the rows with the columns of a block alone: a copy of them."""
        pieces = [self.X[:, start:stop] for start, stop in block.ranges]
        sparse = scipy.sparse.issparse(self.X)
        X = (
            pieces[0]
            if len(pieces) == 1
            else (scipy.sparse.hstack(pieces, format="csr") if sparse else np.hstack(pieces))
        )
        vectors = tuple(Vector(v.name, v.width, v.sparse) for v in block.spec.vectors)
        other = MatrixDataset(X, self.columns, self.roles, block.spec.missing, replace(block.spec, vectors=vectors))
        other.first, other.cut_like = self.first, self.spec.layout
        return other

    def values_per_row(self) -> dict[str, np.ndarray | float]:
        """Of a sparse matrix, the values of each column."""
        if not scipy.sparse.issparse(self.X) or not self._spec.sparse_vectors or not self.X.shape[0]:
            return {}
        counts = np.bincount(self.X.indices, minlength=self.X.shape[1]) / self.X.shape[0]
        starts = {column.name: column for column in self._spec.layout.columns}
        return {v.name: counts[starts[v.name].start : starts[v.name].stop] for v in self._spec.sparse_vectors}

    def splits(self) -> list[Split]:
        """All rows; ``assign`` cuts them into one range a rank."""
        return [Split("", 0, 0, self.X.shape[0])] if self.X.shape[0] else []

    def only(self, splits: Sequence[Split]) -> tuple["MatrixDataset", list[Split]]:
        """Return the splits' rows alone; a single range is a view."""
        joined = _ranges(splits)
        other = copy(self)
        if joined == [(0, self.X.shape[0])]:
            return self, self.splits()
        if len(joined) == 1:
            rows: slice | np.ndarray = slice(*joined[0])
            other.first = self.first + joined[0][0]
        else:
            rows = np.concatenate([np.arange(0), *(np.arange(a, b) for a, b in joined)])
        other.X = self.X[rows]
        other.columns = {name: values[rows] for name, values in self.columns.items()}
        return other, other.splits()

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield rows as Arrow batches of the features and of the columns beside them; encoding does not come this way."""
        for start in range(split.start, split.start + split.rows, batch_rows):
            rows = slice(start, min(start + batch_rows, split.start + split.rows))
            arrays = {column.name: self._column(rows, column) for column in self._spec.layout.columns}
            arrays |= {name: pa.array(values[rows]) for name, values in self.columns.items()}
            yield pa.record_batch(arrays), Where("", self.first + start)

    def _column(self, rows: slice, column: ColumnRange) -> pa.Array:
        """Some rows of a feature: numbers, lists of them, or vectors compressed by their non-zeros."""
        X = self.X[rows, column.start : column.stop]
        if column.kind == "sparse":
            X = scipy.sparse.csr_array(X)
            return spark_vectors(X.indptr, X.indices, X.data, X.shape[1])
        X = X.toarray() if scipy.sparse.issparse(X) else np.ascontiguousarray(X)
        numbers = pa.array(X.ravel())
        return numbers if column.kind == "numeric" else pa.FixedSizeListArray.from_arrays(numbers, X.shape[1])

    def labels(self, split: Split, batch_rows: int) -> Iterator[tuple[pa.Array, Where]]:
        """Yield labels alone: a wide sparse matrix written out row by row may not fit into memory."""
        values = self.columns[str(self.roles.label)]
        for start in range(split.start, split.start + split.rows, batch_rows):
            stop = min(start + batch_rows, split.start + split.rows)
            yield pa.array(values[start:stop]), Where("", self.first + start)

    def blocks(
        self,
        split: Split,
        encoder: Encoder,
        batch_rows: int,
        threads: int = 1,
        shuffle: np.random.Generator | None = None,
    ) -> Iterator[Block]:
        """Yield a split's rows as views, or copies where the dtype or the order differs."""
        for start in range(split.start, split.start + split.rows, batch_rows):
            block = self.wrap(encoder, start, min(start + batch_rows, split.start + split.rows))
            self.check(block, Where("", self.first + start))
            yield block if shuffle is None else take_rows(block, shuffle.permutation(block.rows))

    def wrap(self, encoder: Encoder, start: int, stop: int) -> Block:
        """Return rows ``start`` to ``stop`` as a Block, without a copy where dtype and order suit."""
        features = {"dense": self.X[start:stop]}
        if scipy.sparse.issparse(self.X) or self._spec.sparse_vectors:
            features = self._compressed(start, stop)
            features["dense"] = np.zeros((stop - start, self._spec.layout.dense), encoder.dtype)
        extra = self._extra(encoder.dtype, start, stop)
        block = make_block(self._label(encoder, start, stop), dtype=encoder.dtype, **features, **extra)
        if self._spec.means is not None and np.isnan(block.dense).any():
            block = replace(block, dense=block.dense.copy())
            impute(block.dense, self._spec.means)
        return block

    def _compressed(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Some rows as CSR, as views (scipy's own slices are copies)."""
        if not scipy.sparse.issparse(self.X):
            rows = scipy.sparse.csr_array(self.X[start:stop])
            return {"indptr": rows.indptr, "indices": rows.indices, "values": rows.data}
        low, high = self.X.indptr[start], self.X.indptr[stop]
        indptr = self.X.indptr[start : stop + 1]
        return {
            "indptr": indptr - low if low else indptr,
            "indices": self.X.indices[low:high],
            "values": self.X.data[low:high],
        }

    def _label(self, encoder: Encoder, start: int, stop: int) -> np.ndarray:
        name = self.roles.label
        if name is None:
            return np.zeros(stop - start, encoder.dtype)
        values = self.columns[name][start:stop]
        if values.dtype == encoder.dtype:
            encoder.labels.note("float", name, Where("", self.first + start))
            if not np.isfinite(values.sum(dtype=np.float64)):
                refuse_values(
                    ~np.isfinite(values), values, name, Where("", self.first + start), "a label must be finite"
                )
            return values
        return encode_label(pa.array(values), name, encoder.labels, encoder.dtype, Where("", self.first + start))

    def _extra(self, dtype: np.dtype, start: int, stop: int) -> dict[str, np.ndarray]:
        extra = {}
        for role in ("weight", "offset"):
            name = getattr(self.roles, role)
            if name is not None:
                values = self.columns[name][start:stop].astype(dtype, copy=False)
                bad = ~np.isfinite(values) | ((values < 0) if role == "weight" else False)
                wanted = f"a {role} must be finite" + (" and not negative" if role == "weight" else "")
                refuse_values(bad, values, name, Where("", self.first + start), wanted)
                extra[role] = values
        return extra

    def check(self, block: Block, where: Where) -> None:
        """Raise DataError when a feature of a block is not finite."""
        allow_nan = self._spec.missing == "mean" and self._spec.means is None
        if not np.isfinite(block.dense.sum(dtype=np.float64)):
            refuse_nonfinite(block.dense, COLUMN, where, allow_nan)
        if not np.isfinite(block.values.sum(dtype=np.float64)):
            bad = ~np.isfinite(block.values)
            if bad.any():
                row = int(np.searchsorted(block.indptr, int(bad.argmax()), side="right")) - 1
                refuse_nonfinite(block.values[bad][:1], COLUMN, where.after(row), allow_nan=False)


def canonical(X) -> Any:
    """Return a scipy sparse matrix as CSR whose rows name no column twice, as kernels take it; a copy only where needed."""
    rows = X.tocsr()
    if rows.has_canonical_format:
        return rows
    # Small integers would overflow.
    rows = rows.astype(
        np.promote_types(rows.dtype, np.float64) if rows.dtype.kind in "iub" else rows.dtype, copy=rows is X
    )
    rows.sum_duplicates()
    return rows


def _ranges(splits: Sequence[Split]) -> list[tuple[int, int]]:
    """The splits as ranges of rows, neighbours joined."""
    ranges: list[tuple[int, int]] = []
    for split in splits:
        if ranges and ranges[-1][1] == split.start:
            ranges[-1] = (ranges[-1][0], split.start + split.rows)
        else:
            ranges.append((split.start, split.start + split.rows))
    return ranges


def _check_width(X, spec: FeatureSpec) -> None:
    if spec.categorical:
        raise DataError(
            f"the model has the categorical columns {[c.name for c in spec.categorical]}, which a matrix of numbers does "
            "not have; give a frame or a table with the columns' names"
        )
    if X.shape[1] != spec.layout.size:
        raise DataError(f"the matrix has {X.shape[1]} columns and the model was fitted on {spec.layout.size}")
    if spec.sparse_vectors and spec.layout.dense:
        raise ConfigError("a model of dense and sparse columns needs a table with the columns' names, not a matrix")
