"""What happened in each epoch of a fit, as a list of records that prints as a table."""

from collections.abc import Iterable
from typing import Any


class History(list):
    """One dictionary an epoch.

    Examples
    --------
    >>> History([{"epoch": 1, "objective": 0.5, "rows": 10}, {"epoch": 2, "objective": 0.25, "rows": 10}])
    epoch  objective  rows
        1        0.5    10
        2       0.25    10
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()):
        super().__init__(dict(record) for record in records)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the order in which they first occur."""
        return list(dict.fromkeys(name for record in self for name in record))

    def column(self, name: str) -> list[Any]:
        """One column, None where an epoch has no such value."""
        return [record.get(name) for record in self]

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(list(self), columns=self.names)

    def __repr__(self) -> str:
        if not self:
            return "History([])"
        names = self.names
        lines = [names, *([_text(record.get(name)) for name in names] for record in self)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
