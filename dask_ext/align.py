"""Labels, weights and offsets that are given beside a collection, brought into its partitions.

What is cut as the collection is, or can be cut so by Dask, is paired with its partitions in the graph. The rest is paired by
position, once the rows of both have been counted.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np

from dsgd.errors import ConfigError, DataError

from .kinds import is_array, is_frame, is_parts, is_series
from .pieces import GIVEN


@dataclass
class Beside:
    """Columns of a fit by role.

    Attributes
    ----------
    named : dict of str to str
        Columns of the frame itself.
    paired : dict of str to list of Delayed
        One piece for each partition.
    loose : dict of str to list of Delayed, or ndarray
        Pieces of any length, or values in memory, to be cut by position.
    """

    named: dict[str, str] = field(default_factory=dict)
    paired: dict[str, list] = field(default_factory=dict)
    loose: dict[str, Any] = field(default_factory=dict)


def sort_out(X: Any, beside: dict[str, Any]) -> tuple[list, Beside]:
    """Return the partitions of a collection, delayed, and what is given beside them.

    Raises
    ------
    ConfigError, DataError
        For unknown columns, and for what cannot be aligned.
    """
    columns = {role: _one_column(values, GIVEN[role]) for role, values in beside.items() if values is not None}
    given = Beside(named={role: values for role, values in columns.items() if isinstance(values, str)})
    columns = {role: values for role, values in columns.items() if role not in given.named}
    if is_parts(X):
        parts = [part if hasattr(part, "key") else dask.delayed(part) for part in X]
        _beside_parts(len(parts), columns, given)
    elif is_frame(X):
        missing = [name for name in given.named.values() if name not in X.columns]
        if missing:
            raise DataError(f"X has no column {missing[0]!r}; its columns are {list(X.columns)}")
        parts = list(X.to_delayed())
        _beside_frame(X, columns, given)
    else:
        parts = _rows(X, given)
        _beside_array(X, columns, given)
    return parts, given


def _one_column(values: Any, name: str) -> Any:
    """A Dask frame of one column is taken for the column."""
    if is_frame(values):
        if len(values.columns) != 1:
            raise DataError(f"{name} has the columns {list(values.columns)}; one value a row is needed")
        return values[values.columns[0]]
    if is_array(values) and values.ndim == 2 and values.shape[1] == 1:
        return values.rechunk({1: -1})[:, 0]
    if is_array(values) and values.ndim != 1:
        raise DataError(f"{name} has shape {values.shape}; one value a row is needed")
    return values


def _rows(X: da.Array, given: Beside) -> list:
    if X.ndim != 2:
        raise DataError(f"a matrix of shape (n, d) was expected, not an array of {X.ndim} dimensions")
    for role, name in given.named.items():
        raise ConfigError(f"{GIVEN[role]}={name!r} names a column, and a Dask Array has no column names; give an array")
    return list(X.rechunk({1: -1}).to_delayed().ravel())


def _beside_parts(size: int, columns: dict[str, Any], given: Beside) -> None:
    for role, values in columns.items():
        if not is_parts(values):
            _loose(role, values, given)
        elif len(values) != size:
            raise ConfigError(
                f"{GIVEN[role]} has {len(values)} delayed partitions and X has {size}; give one for each, or (X, y) in each"
            )
        else:
            given.paired[role] = list(values)


def _beside_frame(X: dd.DataFrame, columns: dict[str, Any], given: Beside) -> None:
    for role, values in columns.items():
        if is_series(values):
            given.paired[role] = list(_in_partitions_of(X, values, GIVEN[role]).to_delayed())
        else:
            _loose(role, values, given)


def _in_partitions_of(X: dd.DataFrame, values: dd.Series, name: str) -> dd.Series:
    """Cut a Series where a frame is cut: by its divisions if both know theirs, else only if the partitions are as many."""
    if X.known_divisions and values.known_divisions and X.divisions != values.divisions:
        if (X.divisions[0], X.divisions[-1]) != (values.divisions[0], values.divisions[-1]):
            raise DataError(
                f"{name} has the index {values.divisions[0]!r} to {values.divisions[-1]!r} and X has {X.divisions[0]!r} to "
                f"{X.divisions[-1]!r}; both need the same rows"
            )
        return values.repartition(divisions=X.divisions)
    if values.npartitions != X.npartitions:
        raise ConfigError(
            f"{name} has {values.npartitions} partitions and X has {X.npartitions}, and where they are cut is not known; name a "
            "column of X, or make the divisions of both known (set_index)"
        )
    return values


def _beside_array(X: da.Array, columns: dict[str, Any], given: Beside) -> None:
    for role, values in columns.items():
        if not is_array(values) or _unknown(X) or _unknown(values):
            _loose(role, values, given)
            continue
        if values.shape[0] != X.shape[0]:
            raise DataError(
                f"{GIVEN[role]} has shape {values.shape} and X has shape {X.shape}; one value a row is needed"
            )
        given.paired[role] = list(values.rechunk((X.chunks[0],)).to_delayed().ravel())


def _unknown(array: da.Array) -> bool:
    return any(math.isnan(length) for length in array.chunks[0])


def _loose(role: str, values: Any, given: Beside) -> None:
    """Note what is to be cut by position."""
    if is_series(values) or is_array(values):
        given.loose[role] = list(values.to_delayed().ravel() if is_array(values) else values.to_delayed())
    elif is_parts(values):
        given.loose[role] = list(values)
    else:
        given.loose[role] = _in_memory(values, GIVEN[role])


def _in_memory(values: Any, name: str) -> np.ndarray:
    array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{name} has shape {array.shape}; one value a row is needed")
    return array


def cuts(wanted: list[int], lengths: list[int], name: str) -> list[list[tuple[int, int, int]]]:
    """Return for each wanted length the ranges ``(piece, start, stop)`` that make it up, in order.

    Raises
    ------
    DataError
        When the lengths do not add up to the same number of rows.

    Examples
    --------
    >>> cuts([3, 2], [1, 4], "y")
    [[(0, 0, 1), (1, 0, 2)], [(1, 2, 4)]]
    """
    if sum(wanted) != sum(lengths):
        raise DataError(f"{name} has {sum(lengths)} rows and X has {sum(wanted)}; one value a row is needed")
    found, piece, start = [], 0, 0
    for rows in wanted:
        ranges: list[tuple[int, int, int]] = []
        while rows:
            taken = min(rows, lengths[piece] - start)
            if taken:
                ranges.append((piece, start, start + taken))
            rows, start = rows - taken, start + taken
            if start == lengths[piece]:
                piece, start = piece + 1, 0
        found.append(ranges)
    return found
