"""Divides Arrow batches by columns: of all columns in, of each block's columns out, with the same rows.

A vector column that several blocks own is divided by ranges of its elements; labels, weights and offsets go to all blocks. Rows
that cannot be used are told as far as it takes all columns to see it; the rest is the encoder's.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from .categories import as_dictionary
from .encode import named_column
from .numbers import refuse_nonfinite
from .resolve import Roles, is_text
from .spec import FeatureSpec, Vector, VectorPiece
from .vectors import check_type, dense_rows, spark_parts, spark_vectors
from .where import Where


class Divider:
    """Divides batches among blocks of columns.

    Parameters
    ----------
    specs : sequence of FeatureSpec
        Of the blocks, as :func:`dsgd.data.column_blocks.column_blocks` gives them.
    roles : Roles
        The columns that all blocks get.
    """

    def __init__(self, specs: Sequence[FeatureSpec], roles: Roles):
        self._specs, self._roles = list(specs), roles
        self._missing = any(spec.missing == "mean" for spec in specs)
        self._divided: dict[str, list[VectorPiece]] = {}
        for spec in specs:
            for vector in spec.vectors:
                if isinstance(vector, VectorPiece):
                    self._divided.setdefault(vector.name, []).append(vector)

    def __call__(self, batch: pa.RecordBatch, where: Where) -> list[pa.RecordBatch]:
        """Return a batch for each block, whose columns fit :func:`undivided`'s spec of it.

        Raises
        ------
        DataError
            For a missing column, or a vector that cannot be divided; the message names column, file and row.
        """
        pieces: dict[tuple[str, int], pa.Array] = {}
        for name, vectors in self._divided.items():
            array = named_column(batch, name, where)
            for vector, piece in zip(vectors, self._divide(array, vectors, where), strict=True):
                pieces[name, vector.first] = piece
        whole: dict[str, pa.Array] = {}
        return [self._block(spec, batch, where, pieces, whole) for spec in self._specs]

    def _block(
        self,
        spec: FeatureSpec,
        batch: pa.RecordBatch,
        where: Where,
        pieces: dict[tuple[str, int], pa.Array],
        whole: dict[str, pa.Array],
    ) -> pa.RecordBatch:
        arrays: dict[str, pa.Array] = {}
        parts = {vector.name: vector for vector in spec.vectors if isinstance(vector, VectorPiece)}
        for name in (*spec.columns, *self._roles.names):
            if name in parts:
                arrays[name] = pieces[name, parts[name].first]
                continue
            if name not in whole:
                whole[name] = _light(named_column(batch, name, where))
            arrays[name] = whole[name]
        return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))

    def _divide(self, array: pa.Array, vectors: Sequence[VectorPiece], where: Where) -> list[pa.Array]:
        first = vectors[0]
        vector = Vector(first.name, first.whole, first.sparse)
        check_type(array, vector, where)
        if vector.sparse:
            return _divide_sparse(array, vector, vectors, where)
        rows = dense_rows(array, vector, where)
        if not np.isfinite(rows.sum(dtype=np.float64)):
            refuse_nonfinite(rows, vector.name, where, allow_nan=self._missing)
        parts = (rows[:, v.first : v.first + v.width] for v in vectors)
        return [pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]) for part in parts]


def _divide_sparse(array: pa.Array, vector: Vector, vectors: Sequence[VectorPiece], where: Where) -> list[pa.Array]:
    indptr, indices, values = spark_parts(array, vector, where)
    rows = np.repeat(np.arange(len(array)), np.diff(indptr))
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = ~np.isfinite(values)
        for i in np.flatnonzero(bad)[:1]:
            name = f"{vector.name}[{indices[i]}]"
            refuse_nonfinite(values[i : i + 1], name, where.after(int(rows[i])), allow_nan=False)
    # Small integers are sorted digit by digit, in one pass over the values whatever the number of blocks.
    owner = np.searchsorted([v.first for v in vectors[1:]], indices, side="right").astype(np.uint16)
    order = np.argsort(owner, kind="stable")
    indices, values = indices[order], values[order]
    counts = np.bincount(owner * np.int64(len(array)) + rows, minlength=len(vectors) * len(array))
    ends = np.concatenate([[0], np.cumsum(counts)])
    parts = []
    for number, piece in enumerate(vectors):
        own = ends[number * len(array) : (number + 1) * len(array) + 1]
        span = slice(own[0], own[-1])
        parts.append(spark_vectors(own - own[0], indices[span] - piece.first, values[span], piece.width))
    return parts


def _light(array: pa.Array) -> pa.Array:
    """Text as a dictionary of the values that occur: a table's may be longer than the few rows that are on their way."""
    if not is_text(array.type) or pt.is_boolean(array.type):
        return array
    if pt.is_dictionary(array.type):
        if len(array.dictionary) <= len(array):
            return array
        array = array.dictionary_decode()
    return as_dictionary(array)


def undivided(spec: FeatureSpec) -> FeatureSpec:
    """The spec of a block's own columns: pieces of vectors are vectors of their own in a divided batch.

    Examples
    --------
    >>> undivided(FeatureSpec(vectors=(VectorPiece("v", 3, first=2, whole=5),))).vectors
    (Vector(name='v', width=3, sparse=False),)
    """
    return replace(spec, vectors=tuple(Vector(v.name, v.width, v.sparse) for v in spec.vectors))
