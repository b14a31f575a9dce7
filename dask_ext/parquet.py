"""A Dask DataFrame that is nothing but Parquet files, some of their columns and a plain filter: ranks read the files themselves.

Dask's expression is looked at, not computed. Row groups are then read by the rank that trains on them, only the columns in
use, and only where statistics do not exclude the filter. Where rows or types might not be the same as Dask's, the answer is
None, and Dask reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from dsgd.data.files import list_files
from dsgd.data.filters import as_expression
from dsgd.data.parquet import ParquetDataset
from dsgd.data.resolve import Options, Roles, is_number, resolve_spec

from .kinds import is_series

_COMPARED: dict[str, Callable[[Any, Any], pc.Expression]] = {
    "GT": lambda a, b: a > b,
    "GE": lambda a, b: a >= b,
    "LT": lambda a, b: a < b,
    "LE": lambda a, b: a <= b,
    "EQ": lambda a, b: a == b,
}
_TURNED = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE", "EQ": "EQ"}
# Whole numbers up to here are the same in every type of float.
_EXACT = 1 << 24


class _Other(Exception):
    """The expression is something else than files, columns and filters."""


@dataclass(frozen=True)
class _Read:
    """What an expression reads: a node of Dask's, and the filters above it."""

    node: Any
    filters: tuple[pc.Expression, ...] = ()

    def same_rows(self, other: "_Read") -> bool:
        mine, its = (
            {
                name: read.node.operand(name)
                for name in read.node._parameters
                if name not in ("columns", "_series", "_dataset_info_cache", "_pq_length_stats")
            }
            for read in (self, other)
        )
        return (
            type(self.node) is type(other.node)
            and str(mine) == str(its)
            and len(self.filters) == len(other.filters)
            and all(a.equals(b) for a, b in zip(self.filters, other.filters, strict=True))
        )


def recognised(X: Any, beside: dict[str, Any], features: dict[str, Any]) -> ParquetDataset | None:
    """Return the files that a frame reads as a dataset, if it is certain that they have the same rows and types.

    Parameters
    ----------
    X : dask.dataframe.DataFrame
    beside : dict
        By role a column's name, a Series of the same files and filters, or None.
    features : dict
        Options about the columns.
    """
    try:
        read = _read(X.expr)
        named = {role: _name(X, read, values) for role, values in beside.items() if values is not None}
        wanted = list(dict.fromkeys([*X.columns, *named.values()]))
        return _dataset(read, X, wanted, Roles(**named), features)
    except (_Other, AttributeError, KeyError):  # Attributes of Dask's are looked at that another version may not have.
        return None


def _name(X: Any, read: _Read, values: Any) -> str:
    """The column that holds a role; a Series counts if it has the rows of the frame."""
    if isinstance(values, str) and values in X.columns:
        return values
    if not is_series(values) or values.name in X.columns or not isinstance(values.name, str):
        raise _Other
    if not read.same_rows(_read(values.expr)):
        raise _Other
    return values.name


def _read(node: Any) -> _Read:
    """Go down from an expression to the files."""
    kind, filters = type(node).__name__, []
    while kind in ("Projection", "Filter"):
        if kind == "Filter":
            filters.append(_expression(node.predicate, node.frame))
        node = node.frame
        kind = type(node).__name__
    if kind not in ("ReadParquetFSSpec", "ReadParquetPyarrowFS") or node.operand("_partitions") is not None:
        raise _Other
    if node.operand("categories"):
        raise _Other
    return _Read(node, tuple(filters))


def _expression(predicate: Any, frame: Any) -> pc.Expression:
    """A predicate in Arrow's words, as far as both treat missing values alike: comparisons with a constant, and "and"."""
    kind = type(predicate).__name__
    if kind == "And":
        return _expression(predicate.left, frame) & _expression(predicate.right, frame)
    if kind not in _COMPARED:
        raise _Other
    left, right = predicate.left, predicate.right
    if not hasattr(left, "_meta"):
        kind, left, right = _TURNED[kind], right, left
    return _COMPARED[kind](pc.field(_column(left, frame, right)), right)


def _column(node: Any, frame: Any, value: Any) -> str:
    """The column that is compared with a value, if types leave no doubt about the answer."""
    if type(node).__name__ != "Projection" or not _below(frame, node.frame):
        raise _Other
    dtype, name = node._meta.dtype, node._meta.name
    if isinstance(value, str):
        certain = isinstance(dtype, pd.StringDtype)
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        certain = False
    elif isinstance(value, int):
        certain = dtype.kind in "iuf" and abs(value) <= _EXACT
    else:
        certain = dtype == np.float64 and np.isfinite(value)
    if not certain or not isinstance(name, str):
        raise _Other
    return name


def _below(frame: Any, node: Any) -> bool:
    """Whether a frame's rows are those of a node, of which it may be some columns."""
    while frame._name != node._name:
        if type(frame).__name__ != "Projection":
            return False
        frame = frame.frame
    return True


def _dataset(read: _Read, X: Any, wanted: list[str], roles: Roles, features: dict[str, Any]) -> ParquetDataset:
    filesystem, paths = _files(read.node)
    expression = as_expression(read.node.operand("filters"))
    for more in read.filters:
        expression = more if expression is None else expression & more
    _, files, base = list_files(paths, filesystem)
    if any("=" in part for file in files for part in file[len(base) :].split("/")[:-1]):
        raise _Other  # Hive partitions: Dask makes categories of them.
    options = Options(**features)
    dataset = ParquetDataset(paths, roles, options, expression, filesystem)
    schema = _same_types(dataset.schema, read.node, wanted)
    return dataset.with_spec(resolve_spec(schema, roles, options, dataset._vector_shape))


def _files(node: Any) -> tuple[Any, list[str]]:
    """The filesystem and the files that Dask has found."""
    if type(node).__name__ == "ReadParquetFSSpec":
        return node._dataset_info["fs"], sorted(node._dataset_info["ds"].files)
    return node.fs, sorted(info.path for info in node._dataset_info["all_files"])


def _same_types(schema: pa.Schema, node: Any, wanted: list[str]) -> pa.Schema:
    """The columns of the files in Dask's order, if each is to a fit what it is in Dask's frame."""
    dtypes, fields = node._dataset_info["base_meta"].dtypes, []
    for name in wanted:
        if name not in schema.names or name not in dtypes.index:
            raise _Other
        field = schema.field(name)
        if _kind(field.type) is None or _kind(field.type) != _kind_of(dtypes[name]):
            raise _Other
        fields.append(field)
    return pa.schema(fields)


def _kind(kind: pa.DataType) -> str | None:
    if pt.is_boolean(kind):
        return "boolean"
    if is_number(kind) and not pt.is_decimal(kind):
        return "number"
    return "text" if pt.is_string(kind) or pt.is_large_string(kind) else None


def _kind_of(dtype: Any) -> str | None:
    if isinstance(dtype, pd.StringDtype):
        return "text"
    kind = getattr(dtype, "kind", None)
    return {"b": "boolean", "i": "number", "u": "number", "f": "number", "O": "text"}.get(str(kind))
