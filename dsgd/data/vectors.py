"""Vector columns: lists, fixed-size lists and Spark's vectors in; dense rows or rows compressed by their non-zeros out."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import scipy.sparse

from ..errors import DataError
from ..kernels.gather import scatter_sparse
from .numbers import as_floats, refuse_nonfinite, refuse_nulls
from .resolve import is_list, is_spark_vector
from .spec import Vector, VectorPiece
from .where import Where

# How Spark marks its vectors in the field "type".
_SPARSE = 0


def vector_shape(array: pa.Array, name: str) -> tuple[int, bool]:
    """The width of a vector column, and whether it is sparse, from some of its rows."""
    if pt.is_fixed_size_list(array.type):
        return array.type.list_size, False
    array = array.drop_null()
    if len(array) == 0:
        raise DataError(f"vector column {name!r} has no value in the first rows, so that its length cannot be told")
    if not is_spark_vector(array.type):
        return len(array[0]), False
    sparse = np.asarray(array.field("type")) == _SPARSE
    first = array[0]
    width = first["size"].as_py() if sparse[0] else len(first["values"])
    return int(width), bool(sparse.any())


def dense_rows(array: pa.Array, vector: Vector, where: Where) -> np.ndarray:
    """Return a vector column as an array of shape (n, w), without a copy where possible.

    Raises
    ------
    DataError
        For a null row, or one of another length; names column, file and row.
    """
    check_type(array, vector, where)
    if isinstance(vector, VectorPiece):
        rows = dense_rows(array, Vector(vector.name, vector.whole), where)
        return rows[:, vector.first : vector.first + vector.width]
    if is_spark_vector(array.type):
        indptr, indices, values = spark_parts(array, vector, where)
        out = np.zeros((len(array), vector.width), values.dtype)
        out[np.repeat(np.arange(len(array)), np.diff(indptr)), indices] = values
        return out
    if not pt.is_fixed_size_list(array.type):
        _check_lengths(pc.list_value_length(array).to_numpy(), np.full(len(array), vector.width), vector, where)
    elif array.type.list_size != vector.width:
        raise _wrong_length(vector, array.type.list_size, where.row(0))
    values = _numbers(array.flatten())
    return values.reshape(len(array), vector.width)


def sparse_rows(
    arrays: Sequence[pa.Array],
    vectors: Sequence[Vector],
    start: int,
    dtype: np.dtype,
    order: np.ndarray | None,
    where: Where,
) -> dict[str, np.ndarray]:
    """Return sparse vector columns side by side, as the arrays ``indptr, indices, values`` of a Block.

    Parameters
    ----------
    arrays, vectors : sequences of pyarrow.Array and Vector
    start : int
        Weight of the first element of the first column; the columns follow each other.
    order : ndarray of shape (n,), or None
        Row ``i`` becomes row ``order[i]``.
    """
    parts = []
    for array, vector in zip(arrays, vectors, strict=True):
        check_type(array, vector, where)
        whole = Vector(vector.name, vector.whole, True) if isinstance(vector, VectorPiece) else vector
        indptr, indices, values = spark_parts(array, whole, where)
        if not np.isfinite(values.sum(dtype=np.float64)):
            dense_row = np.repeat(np.arange(len(array)), np.diff(indptr))
            bad = ~np.isfinite(values)
            if bad.any():
                refuse_nonfinite(
                    values[bad][:1], vector.name, where.after(int(dense_row[bad.argmax()])), allow_nan=False
                )
        if isinstance(vector, VectorPiece):
            indptr, indices, values = _elements(indptr, indices, values, vector.first, vector.first + vector.width)
        parts.append(scipy.sparse.csr_array((values.astype(dtype), indices, indptr), shape=(len(array), vector.width)))
    joined = parts[0] if len(parts) == 1 else scipy.sparse.hstack(parts, format="csr")
    joined.sum_duplicates()  # which looks first whether there are any
    return place_sparse(joined.indptr, joined.indices, joined.data, start, dtype, order)


def _elements(indptr, indices, values, first: int, stop: int):
    """The elements ``first`` to ``stop`` of sparse rows, counted from ``first``."""
    kept = (indices >= first) & (indices < stop)
    before = np.concatenate([[0], np.cumsum(kept)])
    return before[indptr], indices[kept] - first, values[kept]


def place_sparse(indptr, indices, values, start: int, dtype: np.dtype, order) -> dict[str, np.ndarray]:
    """Shift indices to the weights that begin at ``start`` and permute the rows of a CSR matrix."""
    indptr = indptr.astype(np.int64, copy=False)
    indices = (indices + np.int64(start)).astype(np.int32) if start else indices.astype(np.int32, copy=False)
    values = values.astype(dtype, copy=False)
    if order is None:
        return {"indptr": indptr, "indices": indices, "values": values}
    lengths = np.empty(len(order), np.int64)
    lengths[order] = np.diff(indptr)
    out_indptr = np.concatenate([[0], np.cumsum(lengths)])
    out_indices, out_values = np.empty_like(indices), np.empty_like(values)
    scatter_sparse(indptr, indices, values, order, out_indptr, out_indices, out_values)
    return {"indptr": out_indptr, "indices": out_indices, "values": out_values}


def spark_vectors(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, width: int) -> pa.StructArray:
    """Rows that are compressed by their non-zeros, as Spark stores its sparse vectors: the inverse of :func:`spark_parts`.

    Parameters
    ----------
    indptr : ndarray of shape (n + 1,)
    indices, values : ndarray of shape (m,)
    width : int
        Length of each vector.

    Examples
    --------
    >>> rows = spark_vectors(np.array([0, 1, 1]), np.array([2]), np.array([0.5]), 4)
    >>> rows.to_pylist()
    [{'type': 0, 'size': 4, 'indices': [2], 'values': [0.5]}, {'type': 0, 'size': 4, 'indices': [], 'values': []}]
    """
    rows, offsets = len(indptr) - 1, pa.array(indptr.astype(np.int32))
    arrays = [
        pa.array(np.full(rows, _SPARSE, np.int8)),
        pa.array(np.full(rows, width, np.int32)),
        pa.ListArray.from_arrays(offsets, pa.array(indices.astype(np.int32, copy=False))),
        pa.ListArray.from_arrays(offsets, pa.array(values)),
    ]
    return pa.StructArray.from_arrays(arrays, ["type", "size", "indices", "values"])


def check_type(array: pa.Array, vector: Vector, where: Where) -> None:
    """Raise DataError for a column that is not of vectors, and for a null."""
    if not (is_list(array.type) or is_spark_vector(array.type)) or (vector.sparse and is_list(array.type)):
        raise DataError(
            f"column {vector.name!r} of {where.path or 'the data'} is of type {array.type}; "
            + ("sparse vectors (Spark's struct)" if vector.sparse else "lists of numbers or vectors")
            + " were expected"
        )
    refuse_nulls(array, vector.name, where, "every row needs a vector; filter such rows out")


def spark_parts(array: pa.StructArray, vector: Vector, where: Where):
    """The rows of Spark's struct as ``indptr, indices, values``; dense rows give all their elements.

    Raises
    ------
    DataError
        For a vector of another length, or an index outside of it; names column, file and row.
    """
    sparse = np.asarray(array.field("type")) == _SPARSE
    value_lists, index_lists = array.field("values"), array.field("indices")
    lengths = pc.list_value_length(value_lists).fill_null(0).to_numpy().astype(np.int64)
    index_lengths = pc.list_value_length(index_lists).fill_null(0).to_numpy()
    widths = np.where(sparse, array.field("size").fill_null(-1).to_numpy(), lengths)
    _check_lengths(widths, np.full(len(array), vector.width), vector, where)
    _check_lengths(np.where(sparse, index_lengths, lengths), lengths, vector, where)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    values = _numbers(value_lists.flatten())
    rows = np.repeat(np.arange(len(array)), lengths)
    indices = np.arange(len(values)) - indptr[rows]
    indices[sparse[rows]] = index_lists.flatten().to_numpy(zero_copy_only=False)
    bad = (indices < 0) | (indices >= vector.width)
    if bad.any():
        i = int(bad.argmax())
        raise DataError(
            f"column {vector.name!r} has index {indices[i]} in {where.row(rows[i])}, outside a vector of length {vector.width}"
        )
    return indptr, indices, values


def _numbers(values: pa.Array) -> np.ndarray:
    dtype = np.dtype(np.float32 if values.type == pa.float32() else np.float64)
    return as_floats(values, dtype)


def _check_lengths(found: np.ndarray, wanted: np.ndarray, vector: Vector, where: Where) -> None:
    bad = found != wanted
    if bad.any():
        row = int(bad.argmax())
        raise _wrong_length(vector, found[row], where.row(row), wanted[row])


def _wrong_length(vector: Vector, found, row: str, wanted=None) -> DataError:
    wanted = vector.width if wanted is None else wanted
    return DataError(f"column {vector.name!r} has a vector of length {found} in {row}; {wanted} was expected")
