"""Which of Dask's collections something is."""

from typing import Any

import dask.array as da
import dask.dataframe as dd
import distributed
from dask.delayed import Delayed


def is_frame(X: Any) -> bool:
    """Whether X is a Dask DataFrame."""
    return isinstance(X, dd.DataFrame)


def is_series(X: Any) -> bool:
    """Whether X is a Dask Series."""
    return isinstance(X, dd.Series)


def is_array(X: Any) -> bool:
    """Whether X is a Dask Array."""
    return isinstance(X, da.Array)


def is_parts(X: Any) -> bool:
    """Whether X is a list of delayed partitions, or of the futures of some."""
    return (
        isinstance(X, (list, tuple)) and bool(X) and all(isinstance(part, (Delayed, distributed.Future)) for part in X)
    )


def is_collection(X: Any) -> bool:
    """Whether X is one of them all."""
    return is_frame(X) or is_series(X) or is_array(X) or is_parts(X)
