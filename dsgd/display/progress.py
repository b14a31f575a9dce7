"""A fit as it is seen while it runs: a bar where one can move, else a line an epoch.

In: the records that a fit reports as its epochs end, on the process that called it, whatever the engine. Out: in a notebook a bar
that is an element of the page and needs no widgets; on the standard error of a terminal a bar of rich; of anything else, lines.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .stragglers import said

Report = Callable[[dict[str, Any]], None]
# Seconds between two looks of a bar: epochs may be shorter than what showing them costs.
_PAUSE = 0.1


def nobody(record: dict[str, Any]) -> None:
    """Take a report that is not shown."""


@dataclass(frozen=True)
class State:
    """What is known of a fit.

    Attributes
    ----------
    name : str
        What is fitted.
    limit : int or None
        Epochs at most.
    objectives : tuple of float
        Of the epochs so far.
    record : dict
        Of the last epoch; empty before the first.
    ended : str or None
        None while the fit runs; then "" or, when it did not come to its end, the name of the error.
    times : tuple of dict
        How long the workers were busy and waited in each epoch, where that is known.
    """

    name: str
    limit: int | None
    objectives: tuple[float, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    ended: str | None = None
    times: tuple[dict[str, Any], ...] = ()
    began: float = field(default_factory=time.monotonic)

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return self.record.get("epoch", 0)

    def after(self, record: dict[str, Any]) -> "State":
        """The state after another epoch; a fit that begins again counts from 1 again."""
        kept = self.objectives if record["epoch"] > self.epoch else ()
        times = self.times if record["epoch"] > self.epoch else ()
        more = ({name: record[name] for name in ("busy", "waiting")},) if record.get("busy") else ()
        objective = record.get("objective")
        return replace(
            self, record=record, objectives=kept if objective is None else (*kept, objective), times=(*times, *more)
        )

    def counted(self) -> str:
        """Epochs in words.

        Examples
        --------
        >>> begun = State("fit", 100).after({"epoch": 3})
        >>> State("fit", 100).counted(), begun.counted(), replace(begun, ended="").counted()
        ('preparing', 'epoch 3/100', '3 epochs')
        """
        if not self.epoch:  # an engine need not be able to bring reports
            return {None: "preparing", "": "done"}.get(self.ended, "")
        if self.ended is not None:
            return f"{self.epoch} epoch{'' if self.epoch == 1 else 's'}"
        return f"epoch {self.epoch}" + ("" if self.limit is None else f"/{self.limit}")

    def measured(self) -> str:
        """What the last epoch brought, in words.

        Examples
        --------
        >>> State("fit", 9).after({"epoch": 2, "objective": 0.25, "seconds": 2.0, "rows": 1_500_000}).measured()
        'objective 0.25, 1.5M rows/s'
        """
        record = self.record
        parts = [f"{name} {record[name]:.5g}" for name in ("objective", "validation") if record.get(name) is not None]
        if record.get("rows") and record.get("seconds"):
            parts.append(f"{_short(self.epoch * record['rows'] / record['seconds'])} rows/s")
        if self.ended:
            parts.append(f"stopped by {self.ended}")
        elif self.ended is not None:
            parts += filter(None, [said(self.times)])
        return ", ".join(parts)

    def said(self, *more: str) -> str:
        """All of it as one text."""
        return ", ".join(part for part in (self.counted(), *more, self.measured()) if part)

    def elapsed(self) -> float:
        """Seconds since the fit was called."""
        return time.monotonic() - self.began


class View(Protocol):
    """Where a state is shown."""

    def update(self, state: State) -> None:
        """Show a state, the last one included."""

    def close(self) -> None:
        """Leave the place as it shall stay."""


@contextmanager
def shown(name: str, limit: int | None, verbose: int | Report = 1) -> Iterator[Report]:
    """Yield a function to call with each epoch's record; ``nobody`` itself where nothing would be shown.

    Parameters
    ----------
    name : str
        What is fitted.
    limit : int or None
        Epochs at most, if that is known.
    verbose : int or callable
        0 or less: nothing; 1: a bar in a notebook or in a terminal, lines elsewhere; 2 or more: lines. Or what to call
        in place of all that.

    Examples
    --------
    >>> with shown("fit", 10, verbose=print) as report:
    ...     report({"epoch": 1})
    {'epoch': 1}
    """
    if callable(verbose) or verbose <= 0:
        yield verbose if callable(verbose) else nobody
        return
    view = (_bar(name) if verbose == 1 else None) or Lines()
    state, last = State(name, limit), time.monotonic()

    def report(record: dict[str, Any]) -> None:
        nonlocal state, last
        if "epoch" not in record:
            return
        state = state.after(record)
        if isinstance(view, Lines) or time.monotonic() >= last + _PAUSE:
            last = time.monotonic()
            view.update(state)

    ended = ""
    try:
        view.update(state)
        yield report
    except BaseException as error:  # an interrupt, too, shall leave a bar that stands still
        ended = type(error).__name__
        raise
    finally:
        view.update(replace(state, ended=ended))
        view.close()


def movable() -> bool:
    """Whether a bar could move: in a notebook, or in a terminal."""
    from . import notebook, terminal

    return notebook.present() or terminal.present()


def _bar(name: str) -> View | None:
    from . import notebook, terminal

    if notebook.present():
        return notebook.Bar()
    return terminal.bar() if terminal.present() else None


class Lines:
    """A line an epoch, on the standard error, where it does not mix with results."""

    def __init__(self) -> None:
        self._told = 0

    def update(self, state: State) -> None:
        """Print the epoch, once."""
        if state.ended == "" and (slow := said(state.times)):
            print(slow, file=sys.stderr)
        if not state.epoch or (state.ended is not None and state.epoch == self._told):
            return
        self._told = state.epoch
        record, parts = state.record, [f"epoch {state.epoch}"]
        for name, form in (("objective", ".6f"), ("validation", ".6f"), ("seconds", ".2f")):
            if record.get(name) is not None:
                parts.append(f"{name} {record[name]:{form}}")
        print(", ".join(parts), file=sys.stderr)

    def close(self) -> None:
        """Nothing stays open."""


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
