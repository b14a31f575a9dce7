"""A fit as it is seen while it runs: a line a epoch in the driver's log, and a bar in a notebook or a terminal.

In: the records that a fit reports as its epochs end. The log is that of ``spark_ext.cluster.progress``, at INFO. The bar goes to
the standard error and is gone when the fit is done; where that is neither a terminal nor a notebook, there is none.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from .reports import nobody

_log = logging.getLogger(__name__)
Report = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def shown(name: str, epochs: int, verbose: int) -> Iterator[Report]:
    """Yield a function to call with each epoch's record; ``nobody`` itself where nothing would be shown.

    Parameters
    ----------
    name : str
        Of the fit.
    epochs : int
        At most.
    verbose : int
        Above 0, a bar is shown.
    """
    with contextlib.ExitStack() as stack:
        takers = [] if not verbose else stack.enter_context(_bar(name, epochs))
        if _log.isEnabledFor(logging.INFO):
            takers.append(lambda record: _log.info("%s: %s", name, in_words(record)))

        def report(record: dict[str, Any]) -> None:
            for take in takers:
                take(record)

        yield report if takers else nobody


def in_words(record: dict[str, Any]) -> str:
    """An epoch's record as text.

    Examples
    --------
    >>> in_words({"epoch": 3, "objective": 0.25, "validation": None, "seconds": 1.234})
    'epoch 3, objective 0.25, after 1.2 s'
    """
    validation = record.get("validation")
    held_out = f", validation {validation:.6g}" if validation is not None else ""
    return f"epoch {record['epoch']}, objective {record['objective']:.6g}{held_out}, after {record['seconds']:.1f} s"


@contextlib.contextmanager
def _bar(name: str, epochs: int) -> Iterator[list[Report]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield []
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[objective]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        # Until the first epoch ends, and for ever where no reports come, the bar only shows that work goes on.
        bar = progress.add_task(name, total=None, objective="")

        def show(record: dict[str, Any]) -> None:
            objective = in_words(record).partition(", ")[2].rpartition(", after")[0]
            progress.update(bar, total=epochs, completed=record["epoch"], objective=objective)

        yield [show]
