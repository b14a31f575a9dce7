"""Parquet files one by one: opening them, and saying what is wrong with one that cannot be read."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from .resolve import is_category, is_number, is_text, is_vector

# A row group above this size (bytes, decompressed) is read through buffers, one for each column and all of them together of so
# many bytes; a smaller one is read whole.
_LARGE_ROW_GROUP = 64 << 20
_BUFFERS, _LEAST_BUFFER, _MOST_BUFFER = 16 << 20, 1 << 16, 1 << 20


def open_parquet(
    filesystem, path: str, dictionaries: Sequence[str] = (), row_group: int | None = None
) -> pq.ParquetFile:
    """Open a file, the named columns to be read as dictionaries, and a large ``row_group`` through buffers.

    Raises
    ------
    DataError
        When it is not a Parquet file, or cut short.
    """
    try:
        metadata = pq.read_metadata(path, filesystem=filesystem)
        large = row_group is not None and metadata.row_group(row_group).total_byte_size > _LARGE_ROW_GROUP
        buffer = min(_MOST_BUFFER, max(_LEAST_BUFFER, _BUFFERS // max(metadata.num_columns, 1)))
        return pq.ParquetFile(
            filesystem.open_input_file(path),
            metadata=metadata,
            read_dictionary=list(dictionaries),
            buffer_size=buffer if large else 0,
            pre_buffer=not large,
        )
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception, row_group: int | None = None) -> DataError:
    """The error for a file that Arrow could not read."""
    place = "" if row_group is None else f" (row group {row_group})"
    reason = " ".join(str(error).split()).rstrip(".")  # Arrow's may be of several lines.
    return DataError(
        f"{path}{place} cannot be read as Parquet: {reason}; it may be another kind of file, or cut short: write it again"
    )


def family(kind: pa.DataType) -> str:
    """What may differ between files without harm is one family: all numbers, all texts, all vectors."""
    if pa.types.is_null(kind):
        return "null"
    for name, test in (("text", is_text), ("number", is_number), ("vector", is_vector), ("category", is_category)):
        if test(kind):
            return name
    return str(kind)
