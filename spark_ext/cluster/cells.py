"""Bytes of any length as rows of small cells, and back: Spark does not carry a cell of hundreds of megabytes.

A row is ``(position, part, failed, data)``: whose bytes they are, which part of them, and whether they are a result or the
description of a failure. In shuffles a leading ``group`` says which rows are to meet.
"""

import collections
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from dsgd.train.rank import Failure

# Bytes of one cell: well below what a row, a record batch and a message to the driver may hold.
CELL = 16 << 20
SHIPPED_CELL = 8 << 20

ARROW = pa.schema(
    [
        ("group", pa.int32()),
        ("position", pa.int32()),
        ("part", pa.int32()),
        ("failed", pa.bool_()),
        ("data", pa.binary()),
    ]
)
SPARK = "group int, position int, part int, failed boolean, data binary"


def cut(data: bytes, size: int = CELL) -> list[bytes]:
    """Cut bytes into cells; no bytes make one empty cell.

    Examples
    --------
    >>> cut(b"abcde", 2), cut(b"")
    ([b'ab', b'cd', b'e'], [b''])
    """
    return [data[start : start + size] for start in range(0, max(1, len(data)), size)]


def encode(group: int, position: int, outcome: bytes | Failure) -> Iterator[pa.RecordBatch]:
    """Turn the end of a rank or a fold into record batches of one row."""
    for row in rows(group, position, outcome):
        yield pa.RecordBatch.from_arrays([pa.array([v], f.type) for v, f in zip(row, ARROW, strict=True)], schema=ARROW)


def rows(group: int, position: int, outcome: bytes | Failure) -> Iterator[tuple[int, int, int, bool, bytes]]:
    """The same as tuples."""
    failed = isinstance(outcome, Failure)
    data = outcome.to_json().encode() if isinstance(outcome, Failure) else outcome
    for part, cell in enumerate(cut(data)):
        yield group, position, part, failed, cell


def decode(rows: Iterable[Any]) -> dict[tuple[int, int], bytes | Failure]:
    """Put together what :func:`encode` has cut; rows come in any order, as Spark's rows or as tuples.

    Returns
    -------
    dict
        By ``(group, position)``, ascending.
    """
    parts: dict[tuple[int, int], dict[int, bytes]] = collections.defaultdict(dict)
    failed: set[tuple[int, int]] = set()
    for group, position, part, failure, data in rows:
        parts[group, position][part] = bytes(data)
        if failure:
            failed.add((group, position))
    whole = {key: b"".join(cells[part] for part in sorted(cells)) for key, cells in sorted(parts.items())}
    return {key: Failure.from_json(data) if key in failed else data for key, data in whole.items()}


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple]:
    """Rows of record batches of the schema above."""
    for batch in batches:
        yield from zip(*(batch.column(name).to_pylist() for name in ARROW.names), strict=True)
