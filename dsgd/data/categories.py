"""Categorical columns to codes: Arrow columns in, one row-major matrix of weight positions out.

Every value of a column's dictionary is hashed once, straight from Arrow's buffers, into a small table; rows then look
their dictionary index up in it. A category is its text: an integer is its decimal digits (the same for int32 and int64,
so that 7 and "7" are one category), a boolean is "true" or "false", a date is what Arrow prints, a float must be a whole
number and counts as that integer. A null is a category of its own; with a vocabulary it is unseen, unless None is among
the values.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ..errors import DataError
from ..kernels.gather import gather_codes
from ..kernels.hashing import NULL_SEED, hash_strings
from .layout import ColumnRange
from .numbering import Numbering
from .spec import Categorical
from .vocabulary import category_text
from .where import Where

_EMPTY = np.zeros(1, np.uint8)
# A dictionary of so many entries, and more than a quarter of the rows, is worth a look which of them rows use: a table's may be
# longer than the table, while a row group of Parquet has its own, all of it in use.
_LARGE = 1 << 10


def encode_categories(
    arrays: Sequence[pa.Array],
    columns: Sequence[Categorical],
    ranges: Sequence[ColumnRange],
    destination: np.ndarray,
    where: Where,
    numbering: Numbering | None = None,
) -> np.ndarray:
    """Return the codes of some columns.

    Parameters
    ----------
    arrays : sequence of pyarrow.Array, each of length n
    columns : sequence of Categorical
    ranges : sequence of ColumnRange
        The columns' weights.
    destination : ndarray of shape (n,), int64
        Row ``i`` of the batch becomes row ``destination[i]`` of the result.
    where : Where
    numbering : Numbering, optional
        Replaces positions by its numbers.

    Returns
    -------
    ndarray of shape (n, c), int32

    Raises
    ------
    DataError
        For a float that is not a whole number.
    """
    out = np.empty((len(destination), len(columns)), np.int32)
    encoded = [as_dictionary(array) for array in arrays]
    starts = np.cumsum([0] + [len(array.dictionary) + 1 for array in encoded])
    table = np.empty(starts[-1], np.int32)
    indices = []
    for i, (array, column) in enumerate(zip(encoded, columns, strict=True)):
        values = _as_text(array.dictionary, column.name, array.indices, where)
        _fill_table(values, column, ranges[i].start, table[starts[i] : starts[i + 1]])
        indices.append(_as_indices(array))
        if numbering is not None:
            _number(numbering, table[starts[i] : starts[i + 1]], indices[i], array.indices.null_count > 0)
    addresses = np.array([index.__array_interface__["data"][0] for index in indices], np.uint64)
    gather_codes(addresses, table, starts[:-1].astype(np.int64), destination, out)
    return out


def _number(numbering: Numbering, table: np.ndarray, index: np.ndarray, nulls: bool) -> None:
    """Replace the positions in a column's table by numbers; in a large one only those that rows look up."""
    if len(table) <= max(_LARGE, len(index) // 4):
        numbering.apply(table if nulls else table[:-1])
        return
    used = np.zeros(len(table), bool)
    used[index] = True
    numbers = table[used]
    numbering.apply(numbers)
    table[used] = numbers


def as_dictionary(array: pa.Array) -> pa.DictionaryArray:
    """Return the column as a dictionary array."""
    if pt.is_dictionary(array.type):
        return array
    if pt.is_null(array.type):
        array = array.cast(pa.string())
    elif hasattr(pt, "is_string_view") and pt.is_string_view(array.type):
        array = array.cast(pa.large_string())
    return array.dictionary_encode()


def _as_indices(array: pa.DictionaryArray) -> np.ndarray:
    """The dictionary indices as int32; a null points past the dictionary, at the null's own entry of the table."""
    indices = array.indices
    if indices.type != pa.int32():
        indices = indices.cast(pa.int32())
    if indices.null_count:
        indices = indices.fill_null(len(array.dictionary))
    return indices.to_numpy(zero_copy_only=True)


def _as_text(values: pa.Array, name: str, indices: pa.Array, where: Where) -> pa.Array:
    """The dictionary's values as strings."""
    if pt.is_string(values.type) or pt.is_large_string(values.type):
        return values
    if pt.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        fraction = pc.fill_null(pc.not_equal(values, pc.trunc(values)), False)
        if pc.any(fraction).as_py():
            bad = pc.index(fraction, True).as_py()
            row = pc.index(indices, pa.scalar(bad, indices.type)).as_py()
            raise DataError(
                f"column {name!r} is categorical and has the value {values[bad]} in {where.row(row)}; a float is a category only "
                "if it is a whole number: cast the column to string, or use it as numeric"
            )
        values = values.cast(pa.int64(), safe=False)
    return values.cast(pa.string())


def _fill_table(values: pa.Array, column: Categorical, start: int, table: np.ndarray) -> None:
    """Write the weight position of each value, and of null as the last entry."""
    if column.values is not None:
        table[:-1], table[-1] = _vocabulary_positions(values, column, start)
        return
    mask = (1 << column.bits) - 1
    data, offsets = _string_buffers(values)
    hash_strings(data, offsets, np.uint64(0), start, mask, table[:-1])
    hash_strings(_EMPTY, np.zeros(2, np.int32), np.uint64(NULL_SEED), start, mask, table[-1:])
    if values.null_count:
        table[:-1][values.is_null().to_numpy(zero_copy_only=False)] = table[-1]


def _vocabulary_positions(values: pa.Array, column: Categorical, start: int):
    assert column.values is not None
    known = pa.array([category_text(value) for value in column.values], pa.string())
    found = pc.index_in(values.cast(pa.string()), value_set=known)
    null = column.values.index(None) if None in column.values else len(known)
    return start + found.fill_null(len(known)).to_numpy(), start + null


def _string_buffers(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes and the offsets of a string array, without a copy."""
    _, offsets, data = values.buffers()
    kind = np.int64 if pt.is_large_string(values.type) else np.int32
    if offsets is None or len(values) == 0:
        return _EMPTY, np.zeros(1, kind)
    ends = np.frombuffer(offsets, kind)[values.offset : values.offset + len(values) + 1]
    return (np.frombuffer(data, np.uint8) if data is not None and data.size else _EMPTY), ends
