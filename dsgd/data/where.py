"""Where a batch's rows are from, so that an error can name the file and the row."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Where:
    """The origin of a batch: row ``i`` of it is row ``first + i`` of ``path``, or ``numbers[i]`` where rows were filtered.

    Examples
    --------
    >>> Where("a.parquet", 1000).row(5)
    'row 1005 of a.parquet'
    """

    path: str = ""
    first: int = 0
    numbers: np.ndarray | None = None

    def row(self, i: int) -> str:
        """Name row ``i`` of the batch, counting from 0 as Arrow and pandas do."""
        number = self.first + int(i) if self.numbers is None else int(self.numbers[i])
        return f"row {number} of {self.path or 'the data in memory'}"

    def after(self, rows: int) -> "Where":
        """Return the origin of the rows from ``rows`` on."""
        return Where(self.path, self.first + rows, None if self.numbers is None else self.numbers[rows:])
