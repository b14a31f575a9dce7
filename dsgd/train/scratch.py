"""A directory that the ranks of one machine share, and that the last of them removes.

For engines whose ranks run in processes that outlive the fit and were not started by the driver.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def shared(path: str, rank: int, here: Sequence[int]) -> Iterator[str]:
    """Make the directory, and remove it when all ranks of ``here`` have left.

    A rank that is killed leaves no mark, so the others leave the directory to the engine, which sweeps after a failure.

    Parameters
    ----------
    path : str
        Agreed on by the ranks of this machine.
    rank : int
    here : sequence of int
        The ranks of this machine, this one included.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "fit")
    >>> with shared(path, 0, [0]):
    ...     os.path.isdir(path)
    True
    >>> os.path.exists(path)
    False
    """
    os.makedirs(path, mode=0o700, exist_ok=True)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):  # The engine has swept already.
            _mark(path, rank).touch()
        if all(_mark(path, peer).exists() for peer in here):
            shutil.rmtree(path, ignore_errors=True)


def _mark(path: str, rank: int) -> Path:
    return Path(path, f".left-{rank}")
