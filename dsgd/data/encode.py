"""The encoder: an Arrow batch in, a Block out, by a FeatureSpec; the same when fitting and when predicting.

No Python object is made per value: numbers are interleaved from Arrow's buffers, categories go through their dictionaries, and
the rows are permuted in the same loops that write them.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..errors import DataError
from ..kernels.gather import gather_floats, scatter_rows
from .block import Block, make_block
from .categories import as_dictionary, encode_categories
from .crosses import encode_with_crosses
from .labels import LabelCodes, encode_label
from .numbering import Numbering
from .numbers import as_floats, refuse_nonfinite, refuse_nulls, refuse_values
from .resolve import Roles
from .spec import CrossColumn, FeatureSpec
from .vectors import dense_rows, sparse_rows
from .where import Where


class Encoder:
    """Encodes batches by one spec.

    Parameters
    ----------
    spec : FeatureSpec
    roles : Roles
        The label, weight and offset columns; a role that is None is left out of the blocks (a label is then zero).
    dtype : numpy dtype
        float32 or float64.
    numbering : Numbering, optional
        Numbers the weights of the codes as they are met; without it codes are positions of the layout.

    Attributes
    ----------
    labels : LabelCodes
        Codes given to labels that are not numbers.
    """

    def __init__(self, spec: FeatureSpec, roles: Roles, dtype=np.float32, numbering: Numbering | None = None):
        self.spec = spec
        self.roles = roles
        self.dtype = np.dtype(dtype)
        self._numbering = numbering
        self.labels = LabelCodes()

    def __call__(
        self, batch: pa.RecordBatch, where: Where | None = None, shuffle: np.random.Generator | None = None
    ) -> Block:
        """Encode a batch; ``shuffle`` draws the permutation of its rows, None keeps their order.

        Raises
        ------
        DataError
            For a missing column, a wrong type, or a value that cannot be used; the message names column, file and row.
        """
        where = where or Where()
        n = batch.num_rows
        order = None if shuffle is None else shuffle.permutation(n)
        destination = np.arange(n) if order is None else order
        sparse = self._sparse(batch, order, where)
        return make_block(
            self._label(batch, where, order),
            dense=self._dense(batch, destination, where),
            codes=self._codes(batch, destination, where),
            weight=self._role(batch, "weight", where, order),
            offset=self._role(batch, "offset", where, order),
            dtype=self.dtype,
            **sparse,
        )

    def _column(self, batch: pa.RecordBatch, name: str, where: Where) -> pa.Array:
        return named_column(batch, name, where)

    def _codes(self, batch, destination, where) -> np.ndarray | None:
        columns = self.spec.categorical
        if not columns:
            return None
        ranges = [column for column in self.spec.layout.columns if column.kind == "categorical"]
        names = dict.fromkeys(name for column in columns for name in column.sources)
        arrays = {name: as_dictionary(self._column(batch, name, where)) for name in names}
        if any(isinstance(column, CrossColumn) for column in columns):
            return encode_with_crosses(arrays, columns, ranges, destination, where, self._numbering)
        return encode_categories(list(arrays.values()), columns, ranges, destination, where, self._numbering)

    def _dense(self, batch, destination, where) -> np.ndarray | None:
        layout, spec = self.spec.layout, self.spec
        if not layout.dense:
            return None
        columns = [self._numeric(batch, name, where) for name in spec.numeric]
        vectors = [
            dense_rows(self._column(batch, v.name, where), v, where).astype(self.dtype, copy=False)
            for v in spec.dense_vectors
        ]
        out = np.empty((batch.num_rows, layout.dense), self.dtype)
        sums = np.zeros(layout.dense)
        addresses = np.array([column.__array_interface__["data"][0] for column in columns], np.uint64)
        gather_floats(addresses, np.empty(0, self.dtype), destination, 0, out, sums)
        first = len(columns)
        for rows in vectors:
            scatter_rows(np.ascontiguousarray(rows), destination, first, out, sums[first:])
            first += rows.shape[1]
        if not np.isfinite(sums).all():
            self._search(dict(zip(spec.columns, columns, strict=False)), where)
            self._search({v.name: rows for v, rows in zip(spec.dense_vectors, vectors, strict=True)}, where)
            self._impute(out)
        return out

    def _numeric(self, batch, name, where) -> np.ndarray:
        array = self._column(batch, name, where)
        if self.spec.missing == "raise":
            refuse_nulls(array, name, where, "set missing='mean' to impute it, or filter such rows out")
        try:
            return np.ascontiguousarray(as_floats(array, self.dtype))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"column {name!r} of {where.path or 'the data'} is of type {array.type} and was expected to be a number"
            ) from error

    def _search(self, columns: dict[str, np.ndarray], where: Where) -> None:
        for name, values in columns.items():
            refuse_nonfinite(values, name, where, allow_nan=self.spec.missing == "mean")

    def _impute(self, out: np.ndarray) -> None:
        if self.spec.means is not None:
            impute(out, self.spec.means)

    def _sparse(self, batch, order, where) -> dict:
        vectors = self.spec.sparse_vectors
        if not vectors:
            return {}
        arrays = [self._column(batch, vector.name, where) for vector in vectors]
        return sparse_rows(arrays, vectors, self.spec.sparse_start, self.dtype, order, where)

    def _label(self, batch, where, order) -> np.ndarray:
        if self.roles.label is None:
            return np.zeros(batch.num_rows, self.dtype)
        array = self._column(batch, self.roles.label, where)
        return permuted(encode_label(array, self.roles.label, self.labels, self.dtype, where), order)

    def _role(self, batch, role: str, where: Where, order) -> np.ndarray | None:
        name = getattr(self.roles, role)
        if name is None:
            return None
        array = self._column(batch, name, where)
        refuse_nulls(array, name, where, f"every row needs a {role}")
        values = as_floats(array, self.dtype)
        wanted = f"a {role} must be finite" + (" and not negative" if role == "weight" else "")
        with np.errstate(invalid="ignore"):
            bad = ~np.isfinite(values) | ((values < 0) if role == "weight" else False)
        refuse_values(bad, values, name, where, wanted)
        return permuted(values, order)


def named_column(batch: pa.RecordBatch, name: str, where: Where) -> pa.Array:
    """Return a column of a batch; DataError when there is none of that name, or more than one."""
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        found = "has no column" if not places else f"has {len(places)} columns"
        raise DataError(
            f"{where.path or 'the data'} {found} {name!r}, and the model needs one; the columns are {batch.schema.names}"
        )
    return batch.column(places[0])


def impute(dense: np.ndarray, means: Sequence[float] | np.ndarray) -> None:
    """Replace NaN by the column's mean, in place; ``dense`` has shape (n, p) and ``means`` (p,)."""
    missing = np.isnan(dense)
    if missing.any():
        dense[missing] = np.broadcast_to(np.asarray(means, dense.dtype), dense.shape)[missing]


def permuted(values: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Move element ``i`` to ``order[i]``."""
    if order is None:
        return values
    out = np.empty_like(values)
    out[order] = values
    return out


def encode_batch(
    spec: FeatureSpec,
    batch: pa.RecordBatch,
    dtype=np.float32,
    *,
    label: str | None = None,
    weight: str | None = None,
    offset: str | None = None,
    where: Where | None = None,
) -> Block:
    """Encode one Arrow batch of n rows, in their order; the label is zero unless a column is named.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from dsgd.data.spec import Categorical
    >>> spec = FeatureSpec(("age",), (Categorical("city", values=("Ulm", "Bonn")),))
    >>> block = encode_batch(spec, pa.record_batch({"age": [30, 41], "city": ["Bonn", "Rome"]}))
    >>> block.dense.ravel().tolist(), block.codes.ravel().tolist()
    ([30.0, 41.0], [2, 3])
    """
    return Encoder(spec, Roles(label, weight, offset), dtype)(batch, where)
