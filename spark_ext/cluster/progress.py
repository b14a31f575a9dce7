"""A fit as it is seen while it runs: a line a epoch in the driver's log, and what ``verbose`` shows on every engine.

In: the records that a fit reports as its epochs end. The log is that of ``spark_ext.cluster.progress``, at INFO.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from dsgd import display

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
        As :func:`dsgd.display.shown` has it.
    """
    with contextlib.ExitStack() as stack:
        takers = [stack.enter_context(display.shown(name, epochs, verbose))] if verbose > 0 else []
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
