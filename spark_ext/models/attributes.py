"""ML attributes, Spark ML's metadata of columns: what a vector's elements are called, how many a model writes, of which kind."""

from typing import Any

import numpy as np
from pyspark.sql.types import StructType

from dsgd.errors import DataError
from dsgd.fitted import LinearModel

# The kinds of attributes that Spark ML writes, each a list of objects with "idx" and "name".
_KINDS = ("numeric", "nominal", "binary")


def output_metadata(core: LinearModel, parameter: str) -> dict[str, Any]:
    """Return the metadata of a column that a model adds, as Spark ML writes it.

    Parameters
    ----------
    core : LinearModel
    parameter : str
        That names the column, such as ``"predictionCol"``.
    """
    if core.classes is None:
        return {"ml_attr": {}}
    k = len(core.classes)
    if parameter != "predictionCol":
        return {"ml_attr": {"num_attrs": k}}
    return {"ml_attr": {"type": "nominal", "num_vals": k}} if indexed(core.classes) else {}


def indexed(classes: np.ndarray) -> bool:
    """Whether labels are 0 to k - 1, as Spark ML has them.

    Examples
    --------
    >>> indexed(np.array([0.0, 1.0])), indexed(np.array([1, 2])), indexed(np.array([False, True]))
    (True, False, False)
    """
    return classes.dtype.kind in "iuf" and np.array_equal(classes, np.arange(len(classes)))


def element_names(schema: StructType, column: Any) -> list[str] | None:
    """Return the names of a vector column's elements, or None when its metadata does not say them.

    Parameters
    ----------
    schema : StructType
    column : str or list of str
        As ``featuresCol``; only one column has elements.
    """
    attributes = _attributes(schema, column)
    found = [item for kind in _KINDS for item in attributes.get("attrs", {}).get(kind, ())]
    if not any("name" in item for item in found):
        return None
    names = [f"{column}_{i}" for i in range(max(len(found), attributes.get("num_attrs", 0)))]
    for item in found:
        if 0 <= item["idx"] < len(names):
            names[item["idx"]] = item.get("name", names[item["idx"]])
    return names


def check_size(schema: StructType, column: Any, size: int) -> None:
    """Raise DataError when a vector column's metadata says that its vectors are of another size."""
    found = _attributes(schema, column).get("num_attrs", size)
    if found != size:
        raise DataError(
            f"column {column!r} has vectors of size {found} by its metadata, and the model was fitted on {size} features;"
            " assemble the columns that it was fitted on"
        )


def _attributes(schema: StructType, column: Any) -> dict[str, Any]:
    if not isinstance(column, str) or column not in schema.names:
        return {}
    return schema[column].metadata.get("ml_attr", {})
