"""What happened in each epoch of a fit: a table that can be drawn."""

from collections.abc import Sequence
from typing import Any

from ..display import Table
from ..display.figure import lines
from ..display.stragglers import stragglers
from ..errors import DataError

_DRAWN = ("objective", "validation")


class History(Table):
    """A list of dicts, one an epoch; see :class:`dsgd.display.Table`. Its slices are histories, too.

    Examples
    --------
    >>> history = History([{"epoch": 1, "objective": 0.5, "rows": 10}, {"epoch": 2, "objective": 0.25, "rows": 10}])
    >>> history
    epoch  objective  rows
        1        0.5    10
        2       0.25    10
    >>> history["objective"]
    array([0.5 , 0.25])
    >>> history[-1]["objective"], len(history[:1])
    (0.25, 1)
    """

    def stragglers(self) -> Table:
        """Which workers were slow, and which waited for them.

        Returns
        -------
        Table
            A row a worker: ``median`` and ``p95`` of the seconds that it was busy an epoch, and ``waited``, the part of its time
            in which it waited for others. Empty for one worker, and where the engine's own scheduler runs the shares.

        Examples
        --------
        >>> History([{"epoch": 1, "busy": [0.5, 1.5], "waiting": [1.0, 0.0]}]).stragglers()
        worker  median  p95    waited
             0     0.5  0.5  0.666667
             1     1.5  1.5         0
        """
        return stragglers(self)

    def plot(self, y: str | Sequence[str] | None = None, *, x: str = "epoch", ax: Any = None) -> Any:
        """Draw the objective, and the loss on validation rows where there is one, over the epochs.

        Parameters
        ----------
        y : str or sequence of str, optional
            Columns to draw instead.
        x : str, default="epoch"
            Column of the horizontal axis; ``"seconds"`` compares fits by time.
        ax : matplotlib Axes, optional
            Where to draw; otherwise a new figure is made.

        Returns
        -------
        Axes

        Raises
        ------
        ModuleNotFoundError
            When matplotlib is not installed.
        DataError
            When there is nothing to draw.
        KeyError
            For a column that there is not.
        """
        known = [name for name in self.names if any(value is not None for value in self.column(name))]
        asked = [name for name in _DRAWN if name in known] if y is None else [y] if isinstance(y, str) else list(y)
        unmet = [name for name in asked if name in self.names and name not in known]
        if unmet or not asked or not self:
            what = f"no epoch has a value of {unmet[0]!r}" if unmet else "there are no epochs"
            raise DataError(f"{what}; columns with values: {known}")
        return lines(self[x], {name: self[name] for name in asked}, xlabel=x, ax=ax)
