"""A progress bar for a fit: on a terminal one line that moves, otherwise nothing at all.

In: the records that a fit reports as its epochs end; out: a rich bar on the standard error, which is gone when the fit
is done, so that the standard output holds results only.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

Report = Callable[[dict[str, Any]], None]


def ignore(record: dict[str, Any]) -> None:
    """Take a record and show nothing."""


@contextlib.contextmanager
def epochs_bar(epochs: int | None) -> Iterator[Report]:
    """Yield a function to call with each epoch's record (``epoch`` counted from 1, ``objective``)."""
    if not sys.stderr.isatty():
        yield ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[objective]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        # Until the first epoch ends, and for ever on an engine that brings no reports, the bar only shows that work goes on.
        bar = progress.add_task("training", total=None, objective="")

        def show(record: dict[str, Any]) -> None:
            if "epoch" in record:
                objective = f"objective {record['objective']:.5f}" if "objective" in record else ""
                if record.get("validation") is not None:
                    objective += f", validation {record['validation']:.5f}"
                progress.update(bar, total=epochs, completed=record["epoch"], description="epoch", objective=objective)

        yield show
