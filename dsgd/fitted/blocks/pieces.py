"""Streams of rows in pieces of the same length, however they come: ranks with other columns of the same rows cut them alike."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import pyarrow as pa

Rows = TypeVar("Rows", np.ndarray, pa.Table)


def even(parts: Iterable[Rows], rows: int) -> Iterator[Rows]:
    """Yield what the parts hold, ``rows`` at a time and the rest in the end.

    Examples
    --------
    >>> [piece.tolist() for piece in even([np.arange(3), np.arange(0), np.arange(4)], 5)]
    [[0, 1, 2, 0, 1], [2, 3]]
    """
    held: list[Rows] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part)
        while count >= rows:
            whole = _joined(held)
            yield whole[:rows]
            held, count = [whole[rows:]], count - rows
    if count:
        yield _joined(held)


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return pa.concat_tables(parts) if isinstance(parts[0], pa.Table) else np.concatenate(parts)
