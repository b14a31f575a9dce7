"""From Dask's collections to a dataset of partitions: computed once, described on their workers, never brought to the client."""

import math
from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import distributed
import pyarrow as pa

from dsgd.data.dataset import Dataset
from dsgd.data.resolve import Options, Roles
from dsgd.data.sources import NO_NAMES, as_dataset, refuse_options
from dsgd.data.spec import FeatureSpec
from dsgd.data.tables import as_table
from dsgd.errors import ConfigError, DataError

from .partitions import Partition, PartitionsDataset
from .watching import wait

_ROLES = {"label": "y", "weight": "sample_weight", "offset": "offset"}
# Rows of a partition that are looked at for its columns.
_PEEK = 1024


def is_frame(X: Any) -> bool:
    """Whether X is a Dask DataFrame."""
    return isinstance(X, dd.DataFrame)


def is_array(X: Any) -> bool:
    """Whether X is a Dask Array."""
    return isinstance(X, da.Array)


def collect(
    client: distributed.Client,
    X: Any,
    beside: dict[str, Any],
    features: dict[str, Any],
    places: Sequence[str],
) -> PartitionsDataset:
    """Compute a collection's partitions on the workers and return them as a dataset.

    Parameters
    ----------
    client : distributed.Client
    X : dask.dataframe.DataFrame or dask.array.Array
    beside : dict
        By role ("label", "weight", "offset") a column's name, a Dask Series or Array of the same partitions, or None.
    features : dict
        Options about the columns of a frame; an array takes ``missing`` only.
    places : sequence of str
        The worker of each rank.

    Raises
    ------
    ConfigError, DataError
        For collections that do not fit together, unknown columns and wrong types.
    """
    if is_array(X):
        refuse_options(Options(**features), NO_NAMES, but="missing")
    parts, roles = _frame_parts(X, beside) if is_frame(X) else _array_parts(X, beside)
    futures = client.compute(parts)
    descriptions = [client.submit(describe, future, roles, features) for future in futures]
    wait(client, descriptions)
    described = client.gather(descriptions)
    holders = client.who_has(futures)
    partitions = [
        Partition(future, rows, tuple(holders.get(future.key, ())))
        for future, (rows, _) in zip(futures, described, strict=True)
    ]
    spec = next((spec for _, spec in described if spec is not None), None)
    if spec is None:
        raise DataError("the Dask collection has no rows; a fit needs at least one")
    return PartitionsDataset(partitions, roles, spec, places)


def describe(part: Any, roles: Roles, features: dict[str, Any]) -> tuple[int, FeatureSpec | None]:
    """Return a partition's rows, and the features that its columns give, on the worker that has it; None if it is empty."""
    if isinstance(part, pa.Table):
        if part.num_rows == 0:
            return 0, None
        peek: Dataset = as_dataset(part.slice(0, _PEEK), roles.label, roles.weight, roles.offset, **features)
        return part.num_rows, peek.spec
    X, _ = part
    return (X.shape[0], as_dataset(X[:1], missing=features["missing"]).spec) if X.shape[0] else (0, None)


def _frame_parts(X: dd.DataFrame, beside: dict[str, Any]) -> tuple[list, Roles]:
    names: dict[str, Any] = {}
    for role, values in beside.items():
        if isinstance(values, dd.Series):
            if values.npartitions != X.npartitions:
                raise ConfigError(
                    f"{_ROLES[role]} has {values.npartitions} partitions and X has {X.npartitions}; name a column of X"
                )
            names[role] = f"__{role}__"
            X = X.assign(**{names[role]: values})
        elif values is None or isinstance(values, str):
            names[role] = values
        else:
            raise ConfigError(
                f"{_ROLES[role]} must be the name of a column of X, or a Dask Series, when X is a Dask DataFrame; not "
                f"{type(values).__name__}"
            )
    missing = [name for name in names.values() if name is not None and name not in X.columns]
    if missing:
        raise DataError(f"X has no column {missing[0]!r}; its columns are {list(X.columns)}")
    return [dask.delayed(as_table)(part) for part in X.to_delayed()], Roles(**names)


def _array_parts(X: da.Array, beside: dict[str, Any]) -> tuple[list, Roles]:
    if X.ndim != 2:
        raise DataError(f"a matrix of shape (n, d) was expected, not an array of {X.ndim} dimensions")
    X = X.rechunk({1: -1})
    columns = {role: aligned(X, role, values) for role, values in beside.items() if values is not None}
    names: dict[str, Any] = {role: _ROLES[role] for role in columns}
    blocks = X.to_delayed().ravel()
    roles = list(columns)
    parts = [dask.delayed(_beside)(block, roles, *(columns[r][i] for r in roles)) for i, block in enumerate(blocks)]
    return parts, Roles(**names)


def aligned(X: da.Array, role: str, values: Any) -> list:
    """Return the labels, weights or offsets of a matrix in delayed pieces, one to each of its chunks of rows.

    Raises
    ------
    ConfigError, DataError
        For names of columns, chunks of unknown length, and another number of rows.
    """
    if isinstance(values, str):
        raise ConfigError(
            f"{_ROLES[role]}={values!r} names a column, and a Dask Array has no column names; give an array"
        )
    values = values if is_array(values) else da.asarray(values)
    for name, array in (("X", X), (_ROLES[role], values)):
        if any(math.isnan(length) for length in array.shape):
            raise ConfigError(
                f"{name} has chunks of unknown length, as a Dask Array that was a frame has; find them out first: "
                f"{name} = {name}.compute_chunk_sizes()"
            )
    if values.ndim != 1 or values.shape[0] != X.shape[0]:
        raise DataError(f"{_ROLES[role]} has shape {values.shape} and X has shape {X.shape}; one value a row is needed")
    return list(values.rechunk((X.chunks[0],)).to_delayed().ravel())


def _beside(X: Any, roles: list[str], *columns: Any) -> tuple[Any, dict[str, Any]]:
    return X, dict(zip(roles, columns, strict=True))
