"""The bar of a terminal, by rich: it moves on its own between reports, and its last state stays."""

import threading

from .progress import State, View

# Two bars at once would write over each other.
_one = threading.Lock()


def present() -> bool:
    """Whether the standard error is a terminal."""
    from rich.console import Console

    return Console(stderr=True).is_terminal


def bar() -> View | None:
    """Start the bar; None while another fit of this process has one."""
    if not _one.acquire(blocking=False):
        return None
    try:
        return Bar()
    except BaseException:
        _one.release()
        raise


class Bar:
    """Made by :func:`bar`, which holds the lock that ``close`` gives back."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._progress = Progress(*columns, console=Console(stderr=True))
        # Until the first epoch ends, and for ever where no reports come, the bar only shows that work goes on.
        self._task = self._progress.add_task("", total=None, said="")
        self._progress.start()

    def update(self, state: State) -> None:
        """Show a state."""
        limit, done = (state.limit if state.epoch else None), state.epoch
        if state.ended == "":
            limit = done = max(state.epoch, 1)
        self._progress.update(
            self._task, description=state.name, total=limit, completed=done, said=state.said(), refresh=True
        )

    def close(self) -> None:
        """Leave the last state on the screen, and the cursor below it."""
        try:
            self._progress.stop()
        finally:
            _one.release()
