"""How many rows a worker steps through by itself before it pushes what has changed."""

from .task import CrewTask

# Time of the rows over the time of the exchange that follows them.
_WORK = 8.0
# Nanoseconds for a value of a row, and for a step; for a weight (or number of the rule's state) that is pushed or pulled; for an
# exchange, however little is in it.
_VALUE, _STEP, _WEIGHT, _EXCHANGE = 4.5, 100.0, 5.0, 400_000.0
# By "auto": rows at most; and how often a worker exchanges its share of an epoch, at least.
_MOST, _EACH = 1 << 17, 4


def most_rows(task: CrewTask, batch_rows: int) -> int:
    """Rows of a push at most, as far as that is known before there is a recipe.

    Parameters
    ----------
    task : CrewTask
    batch_rows : int
        Rows of a step.
    """
    steps = task.mode.local_steps
    return max(batch_rows, _MOST) if steps == "auto" else steps * batch_rows


def own_rows(task: CrewTask, batch_rows: int, *, rows: int, values: float, travelling: int) -> int:
    """Rows of a push.

    Parameters
    ----------
    task : CrewTask
    batch_rows : int
        Rows of a step.
    rows : int
        Of all workers.
    values : float
        Numbers of a row, on average.
    travelling : int
        Weights and numbers of the rule's state that a push brings; a pull brings as many.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(mode=SimpleNamespace(local_steps="auto"), workers=2)
    >>> own_rows(task, 1, rows=10**6, values=39.0, travelling=10**4), own_rows(task, 1, rows=1000, values=39.0, travelling=10**4)
    (14519, 125)
    """
    steps = task.mode.local_steps
    if steps != "auto":
        return steps * batch_rows
    row = _VALUE * values + _STEP / batch_rows
    wanted = _WORK * (_EXCHANGE + 2 * _WEIGHT * travelling) / row
    most = min(_MOST, rows // (task.workers * _EACH))
    return max(batch_rows, int(min(wanted, most)))
