"""Which workers were slow, out of the times in a history: a table, and one line for the end of a fit."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .table import Table

# Workers whose epochs differ by less than this part are alike.
_ALIKE = 0.1


def stragglers(records: Iterable[dict[str, Any]]) -> Table:
    """How long each worker was busy an epoch, and the part of the time that it waited.

    Parameters
    ----------
    records : iterable of dict
        Of a history; those with ``busy`` and ``waiting``, lists of seconds, one number a worker, count. The first, in which
        kernels may be compiled and files be read for the first time, is left out where there are two more.

    Returns
    -------
    Table
        A row a worker: ``median`` and ``p95`` of its busy seconds an epoch, and ``waited``, a part of all its time.

    Examples
    --------
    >>> stragglers([{"busy": [1.0, 3.0], "waiting": [2.0, 0.0]}, {"busy": [1.0, 4.0], "waiting": [4.0, 1.0]}])
    worker  median   p95  waited
         0       1     1    0.75
         1     3.5  3.95   0.125
    """
    found = [record for record in records if record.get("busy")]
    found = found[1:] if len(found) > 2 else found
    if not found:
        return Table()
    count = max(len(record["busy"]) for record in found)
    busy, waiting = (np.array([_filled(record[name], count) for record in found]) for name in ("busy", "waiting"))
    total = np.maximum(busy.sum(axis=0) + waiting.sum(axis=0), 1e-300)
    columns = (np.median(busy, axis=0), np.quantile(busy, 0.95, axis=0), waiting.sum(axis=0) / total)
    return Table(
        {"worker": worker, **{name: float(column[worker]) for name, column in zip(_NAMES, columns, strict=True)}}
        for worker in range(count)
    )


_NAMES = ("median", "p95", "waited")


def _filled(values: Sequence[float], count: int) -> list[float]:
    return [*values, *[0.0] * (count - len(values))]


def said(records: Iterable[dict[str, Any]]) -> str:
    """The same in a line; empty where nobody waits for anybody.

    Examples
    --------
    >>> said([{"busy": [1.0, 3.0], "waiting": [2.0, 0.0]}])
    'worker 1 was busy for 3 s an epoch, the median worker for 2 s; the others waited 67% of their time'
    >>> said([{"busy": [1.0, 1.01], "waiting": [0.0, 0.5]}])
    'workers were busy for 1 to 1.01 s an epoch, and waited 0% to 33% of their time'
    """
    table = stragglers(records)
    if len(table) < 2:
        return ""
    median, waited = table["median"], table["waited"]
    slowest = int(median.argmax())
    if median[slowest] <= (1 + _ALIKE) * median.min():
        return (
            f"workers were busy for {median.min():.3g} to {median.max():.3g} s an epoch, and waited {waited.min():.0%} to "
            f"{waited.max():.0%} of their time"
        )
    others = np.delete(waited, slowest).mean()
    return (
        f"worker {slowest} was busy for {median[slowest]:.3g} s an epoch, the median worker for {np.median(median):.3g} s; "
        f"the others waited {others:.0%} of their time"
    )
