"""From a DataFrame and the names of columns to what the ranks need: the columns in Arrow's form, the roles, the features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import to_arrow_schema

from dsgd.data.elements import SAMPLE_ROWS, Sample
from dsgd.data.resolve import Options, Roles, is_text, resolve_spec
from dsgd.data.spec import FeatureSpec
from dsgd.data.vectors import vector_shape
from dsgd.errors import DataError

from .cluster.messages import translate

# Rows that are looked at for the length of a vector column.
_PEEK = 64


def plain(frame: DataFrame, names: Sequence[str]) -> DataFrame:
    """Select columns, vectors as the structs that they are stored as.

    Raises
    ------
    DataError
        For a column that is not there.
    """
    unique = list(dict.fromkeys(names))
    check_present(frame, unique)
    return frame.select(*(plain_column(frame, name) for name in unique))


def check_present(frame: DataFrame, names: Sequence[str]) -> None:
    """Raise DataError for a column that is not there."""
    columns = frame.columns
    missing = [name for name in names if name not in columns]
    if missing:
        raise DataError(f"the DataFrame has no column {missing[0]!r}; its columns are {columns}")


def plain_column(frame: DataFrame, name: str) -> Column:
    """A column, unwrapped when it is of vectors; a dot in a name is part of the name."""
    column = F.col(f"`{name}`")
    return (F.unwrap_udt(column) if isinstance(frame.schema[name].dataType, VectorUDT) else column).alias(name)


def feature_columns(featuresCol: str | list[str]) -> list[str]:
    """The columns that ``featuresCol`` names."""
    return [featuresCol] if isinstance(featuresCol, str) else list(featuresCol)


def features(selected: DataFrame, names: Sequence[str], roles: Roles, options: dict[str, Any]) -> FeatureSpec:
    """Return the features that a DataFrame's columns give.

    Parameters
    ----------
    selected : DataFrame
        What :func:`plain` returned.
    names : sequence of str
        The feature columns.
    roles : Roles
    options : dict
        ``categorical`` (columns to hash besides those of text), ``interactions``, ``hash_bits``, ``missing``.
    """
    schema: pa.Schema = to_arrow_schema(selected.schema)
    kept = [*names, *roles.names]
    schema = pa.schema([schema.field(name) for name in schema.names if name in kept])
    hashed = [name for name in names if name in options["categorical"] or is_text(schema.field(name).type)]
    unknown = sorted(set(options["categorical"]) - set(names))
    if unknown:
        raise DataError(f"categoricalCols names {unknown}, which featuresCol does not name: {list(names)}")

    def shape(name: str) -> tuple[int, bool]:
        rows = _first(selected.select(f"`{name}`").where(F.col(f"`{name}`").isNotNull()), _PEEK)
        if not rows and not _first(selected, 1):
            raise DataError("the DataFrame has no rows; a fit needs at least one (check its filters)")
        values = [row[0].asDict() if hasattr(row[0], "asDict") else row[0] for row in rows]
        return vector_shape(pa.array(values, schema.field(name).type), name)

    spec = resolve_spec(schema, roles, Options(**options | {"categorical": hashed}), shape)
    unused = [name for name in names if name not in spec.columns]
    if unused:
        raise DataError(
            f"column {unused[0]!r} of type {schema.field(unused[0]).type} is named in featuresCol, which takes numbers, strings, "
            "booleans, arrays of numbers and vectors; convert it, or name it in categoricalCols as well"
        )
    return spec


def samples(selected: DataFrame, spec: FeatureSpec) -> dict[str, Sample]:
    """Look which elements of sparse vector columns the first rows have.

    Parameters
    ----------
    selected : DataFrame
        What :func:`plain` returned.
    spec : FeatureSpec
    """
    found = {}
    for vector in spec.sparse_vectors:
        rows = _first(selected.select(f"`{vector.name}`").where(F.col(f"`{vector.name}`").isNotNull()), SAMPLE_ROWS)
        indices = [row[0]["indices"] if row[0]["indices"] is not None else range(len(row[0]["values"])) for row in rows]
        flat = np.array([i for own in indices for i in own if 0 <= i < vector.width], np.int64)
        found[vector.name] = Sample(flat, len(rows))
    return found


def _first(frame: DataFrame, count: int) -> list[Any]:
    """The first rows; what fails on the way to them, the user's own functions say, is told without Java's stack."""
    try:
        return frame.limit(count).collect()
    except Exception as error:
        raise translate(str(error)) from None
