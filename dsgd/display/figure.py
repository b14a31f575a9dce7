"""Lines over an axis, drawn by matplotlib, which is an extra."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..importing import require_packages


def lines(x: np.ndarray, ys: Mapping[str, np.ndarray], *, xlabel: str, ax: Any = None) -> Any:
    """Draw a line for each name, and return the Axes.

    Parameters
    ----------
    x : ndarray of shape (n,)
    ys : mapping of str to ndarray of shape (n,)
    xlabel : str
    ax : matplotlib Axes, optional
        Otherwise a new figure is made, with pyplot, so that a notebook shows it.

    Raises
    ------
    ModuleNotFoundError
        When matplotlib is not installed.
    """
    require_packages("plot()", "notebook", "matplotlib")
    from matplotlib.ticker import MaxNLocator

    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots()
    for name, values in ys.items():
        # Markers, because a fit may have a single epoch.
        ax.plot(x, values, label=name, marker="o" if len(x) <= 30 else None, markersize=4)
    if x.dtype.kind in "iu":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(xlabel)
    if len(ax.lines) == 1:
        ax.set_ylabel(ax.lines[0].get_label())
    else:
        ax.legend()
    return ax
