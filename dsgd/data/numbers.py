"""Columns of numbers to floats, and the search for the value that cannot be used.

Whether all values are finite is told by sums that the encoder makes anyway; only a sum that is not finite starts the search
for the culprit, here, which ends in a DataError with column, file and row.
"""

from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from ..errors import DataError
from .where import Where


def as_floats(array: pa.Array, dtype: np.dtype) -> np.ndarray:
    """Return a column of numbers or booleans as an array of ``dtype``, nulls as NaN, without a copy where possible."""
    kind = pa.from_numpy_dtype(dtype)
    if pt.is_decimal(array.type):
        array = array.cast(pa.float64())
    if array.type != kind:
        array = array.cast(kind, safe=False)
    return array.to_numpy(zero_copy_only=False)


def refuse_nulls(array: pa.Array, name: str, where: Where, hint: str) -> None:
    """Raise DataError at the first null of a column, if there is one."""
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"column {name!r} is null in {where.row(row)}; {hint}")


def refuse_values(bad: np.ndarray, values: np.ndarray, name: str, where: Where, wanted: str) -> None:
    """Raise DataError at the first row where ``bad`` is true, if there is one."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(f"column {name!r} is {values[row]} in {where.row(row)}; {wanted}")


def refuse_nonfinite(values: np.ndarray, name: str, where: Where, allow_nan: bool) -> None:
    """Find the value of a column that is not finite, if there is one, and raise DataError.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, w)
    allow_nan : bool
        NaN is a missing value that will be imputed, only infinities are refused.
    """
    bad = np.isinf(values) if allow_nan else ~np.isfinite(values)
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), bad.shape)
        element = f"[{place[1]}]" if values.ndim > 1 else ""
        _raise_nonfinite(values[place], repr(name + element), where.row(int(place[0])), values.dtype)


def _raise_nonfinite(value, name: str, row: str, dtype) -> NoReturn:
    advice = (
        "set missing='mean' to impute it, or clean the data"
        if np.isnan(value)
        else f"numbers must be finite as {dtype}"
    )
    shown = "NaN" if np.isnan(value) else value
    raise DataError(f"column {name} is {shown} in {row}; {advice}")
