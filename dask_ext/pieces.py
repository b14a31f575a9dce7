"""A collection in pieces, each on a worker: a table, or a matrix with its labels, weights and offsets beside it.

Everything here runs on the workers, as module-level functions. Rows are counted, and columns are put beside them, where the
rows are.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import scipy.sparse

from dsgd.data.dataset import Dataset
from dsgd.data.elements import SAMPLE_ROWS, Sample
from dsgd.data.resolve import Roles
from dsgd.data.sources import as_dataset
from dsgd.data.spec import FeatureSpec
from dsgd.data.tables import as_table
from dsgd.data.vectors import check_type, spark_parts
from dsgd.data.where import Where
from dsgd.errors import ConfigError, DataError

# What a role is called by the user, who gives it as a parameter of fit.
GIVEN = {"label": "y", "weight": "sample_weight", "offset": "offset"}
# In the metadata of a table: the names of the columns that were put beside it, by role.
_BESIDE = b"dsgd-beside"
# Rows of a partition that are looked at for its columns.
_PEEK = 1024

Piece: TypeAlias = pa.Table | tuple[Any, dict[str, np.ndarray]]


class Described(NamedTuple):
    """What the driver knows of a piece: rows, columns by role, and features, None where there are no rows."""

    rows: int
    roles: dict[str, str]
    spec: FeatureSpec | None


def encode(number: int, part: Any, roles: Sequence[str], *columns: Any) -> Piece:
    """Return a partition as a piece, with the columns of some roles put beside its rows.

    Parameters
    ----------
    number : int
        Of the partition, for messages.
    part : frame, table, matrix, or (X, y), (X, y, sample_weight), (X, y, sample_weight, offset)
    roles : sequence of str
    *columns : Series or array of shape (n,) or (n, 1)
        One for each of the roles.

    Raises
    ------
    ConfigError, DataError
        With the partition's number.
    """
    try:
        return _encode(part, dict(zip(roles, columns, strict=True)))
    except (ConfigError, DataError) as error:
        raise type(error)(f"partition {number}: {error}") from error


def _encode(part: Any, beside: dict[str, Any]) -> Piece:
    if isinstance(part, (tuple, list)):
        if not 2 <= len(part) <= 1 + len(GIVEN):
            raise DataError(f"a tuple of {len(part)} was found; (X, y), or (X, y, sample_weight, offset), was expected")
        beside = {**dict(zip(GIVEN, part[1:], strict=False)), **beside}
        part = part[0]
    table = as_table(part)
    piece: Piece = (_matrix(part), {}) if table is None else table
    index = getattr(part, "index", None) if table is not None else None
    given = {role: values for role, values in beside.items() if values is not None}
    return put_beside(piece, {role: _in_order_of(index, values, GIVEN[role]) for role, values in given.items()})


def _matrix(part: Any) -> Any:
    X = part if scipy.sparse.issparse(part) else np.asarray(part)
    if X.ndim != 2:
        raise DataError(f"frames, tables or matrices of shape (n, d) were expected, not {type(part).__name__}")
    return X


def _in_order_of(index: Any, values: Any, name: str) -> Any:
    """Return a Series in the order of a frame's index; anything else as it is."""
    own: Any = getattr(values, "index", None)
    if index is None or not hasattr(own, "equals") or own.equals(index):
        return values
    if len(own) == len(index) and own.is_unique and own.isin(index).all():
        return values.loc[index]
    raise DataError(
        f"{name} and X have other rows: {len(own)} and {len(index)} of them, with indices that differ; name a column of X, or "
        "give both the same index"
    )


def flat(values: Any, name: str) -> np.ndarray:
    """Return a Series, a frame of one column, or an array of shape (n,) or (n, 1) as an array of shape (n,)."""
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape} in a partition; one value a row is needed")
    return array


def put_beside(piece: Piece, columns: dict[str, Any]) -> Piece:
    """Return a piece with columns by their role; its own rows are not copied."""
    for role, values in columns.items():
        array = flat(values, GIVEN[role])
        if len(array) != count(piece):
            raise DataError(f"{GIVEN[role]} has {len(array)} rows and X has {count(piece)}; one value a row is needed")
        table = isinstance(piece, pa.Table)
        piece = _append(piece, role, array) if table else (piece[0], {**piece[1], role: array})
    return piece


def _append(table: pa.Table, role: str, array: np.ndarray) -> pa.Table:
    name = GIVEN[role]
    while name in table.column_names:
        name = "_" + name
    try:
        column = pa.array(array, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{GIVEN[role]} holds values of mixed types: {error}; convert it") from error
    noted = {**(table.schema.metadata or {}), _BESIDE: json.dumps({**names_beside(table), role: name}).encode()}
    return table.append_column(name, column).replace_schema_metadata(noted)


def names_beside(piece: Piece) -> dict[str, str]:
    """Names of the columns beside a piece, by role."""
    if isinstance(piece, pa.Table):
        return json.loads((piece.schema.metadata or {}).get(_BESIDE, b"{}"))
    return {role: GIVEN[role] for role in piece[1]}


def count(piece: Any) -> int:
    """Rows of a piece, or of a column."""
    if isinstance(piece, pa.Table):
        return piece.num_rows
    return piece[0].shape[0] if isinstance(piece, tuple) else len(piece)


def join(number: int, piece: Piece, cuts: dict[str, list[tuple[Any, int, int]]]) -> Piece:
    """Put columns beside a piece that were cut elsewhere: by role, the ranges of other pieces that make up its rows."""
    try:
        return put_beside(
            piece,
            {
                role: np.concatenate([flat(values, GIVEN[role])[a:b] for values, a, b in ranges] or [np.empty(0)])
                for role, ranges in cuts.items()
            },
        )
    except DataError as error:
        raise DataError(f"partition {number}: {error}") from error


def describe(number: int, piece: Piece, named: dict[str, str], features: dict[str, Any]) -> Described:
    """Return what the driver wants to know of a piece; ``named`` are roles that its own columns have, by name."""
    rows, roles = count(piece), {**named, **names_beside(piece)}
    if not rows:
        return Described(0, roles, None)
    if not isinstance(piece, pa.Table):
        return Described(rows, roles, as_dataset(piece[0][:1], missing=features["missing"]).spec)
    try:
        peek = as_dataset(piece.slice(0, _PEEK), *(roles.get(role) for role in GIVEN), **features)
    except (ConfigError, DataError) as error:
        raise type(error)(f"partition {number}: {error}") from error
    return Described(rows, roles, peek.spec)


def samples(number: int, piece: Piece, spec: FeatureSpec) -> dict[str, Sample]:
    """Return which elements of sparse vector columns the first rows of a piece have."""
    where = Where(f"partition {number}")
    if not isinstance(piece, pa.Table):
        rows = scipy.sparse.csr_array(piece[0][:SAMPLE_ROWS])
        return {vector.name: Sample(rows.indices.astype(np.int64), rows.shape[0]) for vector in spec.sparse_vectors}
    found = {}
    for vector in spec.sparse_vectors:
        array = piece.column(vector.name).slice(0, SAMPLE_ROWS).combine_chunks()
        check_type(array, vector, where)
        found[vector.name] = Sample(spark_parts(array, vector, where)[1], len(array))
    return found


def open_piece(piece: Piece, roles: Roles, spec: FeatureSpec) -> Dataset:
    """Return a piece as a dataset in memory."""
    if isinstance(piece, pa.Table):
        return as_dataset(piece, roles.label, roles.weight, roles.offset, spec=spec)
    X, columns = piece
    return as_dataset(X, *(columns.get(role) for role in GIVEN), spec=spec)
