"""A small table: a list of records that prints as a table, is HTML in a notebook, and gives its columns by name."""

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

# Longer tables are shown by their first and last rows, as pandas does.
_ROWS, _EDGE = 60, 10


class Table(list):
    """A list of dicts, one a row; numpy, pandas and polars take it as it is.

    Parameters
    ----------
    records : iterable of dict
        They need not have the same names: what a row has not is missing there.

    Examples
    --------
    >>> table = Table([{"name": "age", "coefficient": 0.5}, {"name": "height", "coefficient": 0.25}])
    >>> table
      name  coefficient
       age          0.5
    height         0.25
    >>> table["coefficient"]
    array([0.5 , 0.25])
    >>> table[1:]
      name  coefficient
    height         0.25
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()):
        super().__init__(dict(record) for record in records)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the order in which they first occur."""
        return list(dict.fromkeys(name for record in self for name in record))

    def column(self, name: str) -> list[Any]:
        """One column, None where a row has no such value."""
        return [record.get(name) for record in self]

    def __getitem__(self, key: Any) -> Any:
        """A row by its place; by a slice some rows, by a list of names some columns, as a table; by a name a column.

        A column is an array of shape (rows,): of numbers, with NaN where one is missing, or else of objects.
        """
        if isinstance(key, str):
            self._check(key)
            return _array(self.column(key))
        if isinstance(key, list):
            for name in key:
                self._check(name)
            return type(self)({name: record.get(name) for name in key} for record in self)
        found = super().__getitem__(key)
        return type(self)(found) if isinstance(key, slice) else found

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(list(self), columns=self.names)

    def __repr__(self) -> str:
        if not self:
            return f"{type(self).__name__}([])"
        lines = [self._filled(), *self._cells("...")]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*text, self._size()] if len(self) > _ROWS else text)

    def _repr_html_(self) -> str:
        if not self:
            return f"<i>{type(self).__name__}: no rows</i>"
        head = "".join(f"<th>{escape(name)}</th>" for name in self._filled())
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._cells("…"))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return table + f"<p>{self._size()}</p>" if len(self) > _ROWS else table

    def _filled(self) -> list[str]:
        """Names of the columns that are shown: those with a value, of one line; lists are looked up by name."""
        return [
            name
            for name in self.names
            if any(record.get(name) is not None and not isinstance(record[name], list) for record in self)
        ]

    def _cells(self, gap: str) -> list[list[str]]:
        """The texts of the rows that are shown."""
        names, records = self._filled(), list(self)
        if len(records) <= _ROWS:
            return [[_text(record.get(name)) for name in names] for record in records]
        first, last = Table(records[:_EDGE]), Table(records[-_EDGE:])
        ends = [[[_text(record.get(name)) for name in names] for record in part] for part in (first, last)]
        return [*ends[0], [gap] * len(names), *ends[1]]

    def _size(self) -> str:
        return f"{len(self)} rows"

    def _check(self, name: str) -> None:
        if name not in self.names:
            raise KeyError(f"no column {name!r}; the columns are {self.names}")


def _array(values: list[Any]) -> np.ndarray:
    if all(value is None or isinstance(value, (int, float, np.number)) for value in values):
        found = [np.nan if value is None else value for value in values]
        return np.array(found) if found else np.zeros(0)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)
