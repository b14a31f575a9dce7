"""Anything that holds rows as a Dataset, and any Dataset's share of a worker as a store."""

from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse

from ..errors import ConfigError, DataError
from .dataset import Dataset, Split
from .matrices import COLUMN, MatrixDataset
from .memory_store import MemoryStore
from .numbering import Numbering
from .resolve import DEFAULT_BITS, Options, Roles
from .spec import FeatureSpec
from .store import MEMORY_BYTES, BlockStore
from .tables import TableDataset, as_table

NO_NAMES = "a matrix has no column names; give a frame or a table"
_NAMES = {"label": "y", "weight": "sample_weight", "offset": "offset"}


def as_dataset(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    *,
    numeric: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    vectors: Sequence[str] | None = None,
    interactions: Sequence[Sequence[str]] = (),
    hash_bits: int | Mapping[Any, int] = DEFAULT_BITS,
    vocabulary: Mapping[str, Sequence[Any]] | None = None,
    missing: str = "raise",
    spec: FeatureSpec | None = None,
) -> Dataset:
    """Return data in memory, or a dataset, as a Dataset.

    Parameters
    ----------
    X : ndarray or scipy sparse matrix of shape (n, d), pandas or polars frame, Arrow table or batch, or Dataset
        A float array in the fit's dtype and C order is wrapped, not copied.
    y, sample_weight, offset : array of shape (n,), or str, optional
        Beside X; or, for a frame or a table, the name of one of its columns.
    numeric, categorical, vectors, interactions, hash_bits, vocabulary, missing
        As in :func:`dsgd.data.parquet.read_parquet`; a matrix without column names takes ``missing`` only, and a Dataset,
        which has features already, none of them.
    spec : FeatureSpec, optional
        The features of a fitted model, to predict with; the options before are then not used.

    Raises
    ------
    ConfigError, DataError
        For options that do not suit, arrays of other lengths, unknown columns or wrong types.

    Examples
    --------
    >>> import numpy as np
    >>> dataset = as_dataset(np.eye(3, dtype=np.float32), [0, 1, 1])
    >>> dataset.spec.layout.size, dataset.splits()[0].rows
    (3, 3)
    """
    beside = {"label": y, "weight": sample_weight, "offset": offset}
    options = Options(numeric, categorical, vectors, interactions, hash_bits, vocabulary, missing)
    if isinstance(X, Dataset):
        refuse_options(options, "a dataset says itself what its columns are; say it in read_parquet(...)")
        return _dataset_as_it_is(X, beside, spec)
    table = as_table(X)
    if table is None:
        refuse_options(options, NO_NAMES, but="missing")
        return _matrix(X, beside, missing, spec)
    if spec is not None and spec.columns == (COLUMN,) and COLUMN not in table.column_names:
        return _matrix(_to_matrix(table, beside), beside, missing, spec)
    return _table(table, beside, options, spec)


def open_store(
    dataset: Dataset,
    splits: Sequence[Split],
    directory: str,
    *,
    dtype=np.float32,
    seed: int | None = 0,
    memory_bytes: int = MEMORY_BYTES,
    cache_bytes: int | None = None,
    memory_limit: int | None = None,
    threads: int = 1,
    numbering: Numbering | None = None,
    moved: Callable[[], None] = lambda: None,
    sparse_moments: bool = True,
) -> BlockStore | MemoryStore:
    """Encode a worker's splits, or wrap them if they are a matrix; the parameters are those of BlockStore.

    A matrix has no categories, so there is nothing to number. The caller closes the store.
    """
    if isinstance(dataset, MatrixDataset):
        return MemoryStore(dataset, splits, dtype=dtype, sparse_moments=sparse_moments)
    return BlockStore(
        dataset,
        splits,
        directory,
        dtype=dtype,
        seed=seed,
        memory_bytes=memory_bytes,
        cache_bytes=cache_bytes,
        memory_limit=memory_limit,
        threads=threads,
        numbering=numbering,
        moved=moved,
        sparse_moments=sparse_moments,
    )


def _dataset_as_it_is(dataset: Dataset, beside: dict[str, Any], spec: FeatureSpec | None) -> Dataset:
    given = [_NAMES[role] for role, values in beside.items() if values is not None]
    if given:
        raise ConfigError(
            f"{given[0]} was given beside a dataset, which names its own label, weight and offset columns"
        )
    return dataset if spec is None else dataset.with_spec(spec)


def refuse_options(options: Options, why: str, but: str = "") -> None:
    """Raise ConfigError for options about columns that differ from their defaults, all ``but`` one: they would not be used."""
    for name, default in vars(Options()).items():
        value = getattr(options, name)
        empty = value is None or (isinstance(value, Sized) and not len(value))
        if name != but and not empty and not np.all(value == default):
            raise ConfigError(f"{name}={value!r} is about columns that have names: {why}")


def _matrix(X: Any, beside: dict[str, Any], missing: str, spec: FeatureSpec | None) -> MatrixDataset:
    if not scipy.sparse.issparse(X):
        X = np.asarray(X)
        if X.dtype.kind not in "fiub":
            raise DataError(
                f"a matrix of numbers was expected, not one of dtype {X.dtype}; give a frame for columns of text"
            )
    if X.ndim != 2:
        raise DataError(f"a matrix of shape (n, d) was expected, not an array of shape {X.shape}; use X.reshape(-1, 1)")
    columns, names = {}, {}
    for role, values in beside.items():
        if values is None:
            continue
        if isinstance(values, str):
            raise ConfigError(
                f"{_NAMES[role]}={values!r} names a column, and a matrix has no column names; give an array"
            )
        names[role] = _NAMES[role]
        columns[_NAMES[role]] = _vector(values, role, X.shape[0])
    return MatrixDataset(X, columns, Roles(**names), missing, spec)


def _vector(values: Any, role: str, rows: int) -> np.ndarray:
    name = _NAMES[role]
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (rows,):
        raise DataError(f"{name} has shape {array.shape} and X has {rows} rows; {name} must be of shape ({rows},)")
    if role != "label":
        return _as_numbers(array, name)
    if array.dtype.kind == "O":
        _refuse_mixture(array, name)
    return array


def _as_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind != "O":
        raise DataError(f"{name} is of type {array.dtype}; numbers were expected: convert it")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must hold numbers: {error}; convert it") from error


def _refuse_mixture(array: np.ndarray, name: str) -> None:
    try:
        pa.array(array)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in array})
        raise DataError(
            f"{name} holds values of the types {', '.join(kinds)}, which are no labels of one kind; make them all numbers, "
            "or all strings"
        ) from error


def _table(table: pa.Table, beside: dict[str, Any], options: Options, spec: FeatureSpec | None) -> TableDataset:
    names = {}
    for role, values in beside.items():
        if values is None:
            continue
        if isinstance(values, str):
            names[role] = values
            continue
        names[role] = _NAMES[role]
        while names[role] in table.column_names:
            names[role] = "_" + names[role]
        table = table.append_column(names[role], pa.array(_vector(values, role, table.num_rows)))
    return TableDataset(table, Roles(**names), options, spec)


def _to_matrix(table: pa.Table, beside: dict[str, Any]) -> np.ndarray:
    """The columns of a table that are no labels, side by side, for a model that was fitted on a matrix."""
    used = {values for values in beside.values() if isinstance(values, str)}
    columns = [table.column(name).to_numpy() for name in table.column_names if name not in used]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
