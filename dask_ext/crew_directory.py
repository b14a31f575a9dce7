"""The directory that a crew's members of one machine share, while they come and go."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from .directories import removed_if_swept


@contextlib.contextmanager
def member_directory(path: str, name: str, over: Callable[[], bool]) -> Iterator[str]:
    """Make the directory if it is not there, and stay in it.

    The driver removes it at the end of the crew. Where the driver may be gone, the last member of the machine does.

    Parameters
    ----------
    path : str
        Agreed on by the members of this machine.
    name : str
        The member's own.
    over : callable
        Asked at the end: whether the member leaves because the crew is over, or was given up.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "crew")
    >>> with member_directory(path, "0-0", over=lambda: True):
    ...     with member_directory(path, "1-0", over=lambda: True):
    ...         pass
    ...     os.path.isdir(path)
    True
    >>> os.path.exists(path)
    False
    """
    os.makedirs(path, mode=0o700, exist_ok=True)
    mark = Path(path, f".here-{name}-{os.getpid()}")
    mark.touch()
    with removed_if_swept(path):
        try:
            yield path
        finally:
            mark.unlink(missing_ok=True)  # The driver may have swept already.
            if over() and not _others(path):
                shutil.rmtree(path, ignore_errors=True)


def _others(path: str) -> bool:
    """Whether another member is there that lives: one that was killed has left its mark."""
    processes = (int(mark.name.rpartition("-")[2]) for mark in Path(path).glob(".here-*"))
    return any(psutil.pid_exists(process) for process in processes)
