"""Directories of fits on a worker's disk, and their removal, also when a rank still writes there."""

import collections
import contextlib
import os
import shutil
import threading
from collections.abc import Iterator

import distributed

_lock = threading.Lock()
# Scratch directories of the ranks that run in this process; and those of them that somebody has removed already.
_in_use: collections.Counter[str] = collections.Counter()
_swept: set[str] = set()


@contextlib.contextmanager
def removed_if_swept(path: str) -> Iterator[None]:
    """Remove a scratch directory at the end, too, if it was swept while a rank was writing there."""
    with _lock:
        _in_use[path] += 1
    try:
        yield
    finally:
        with _lock:
            swept = path in _swept
            _in_use[path] -= 1
            if not _in_use[path]:
                del _in_use[path]
                _swept.discard(path)
        if swept:
            shutil.rmtree(path, ignore_errors=True)


def sweep(path: str) -> None:
    """Remove a scratch directory; a rank that still runs, and may write there once more, removes it when it ends."""
    with _lock:
        if path in _in_use:
            _swept.add(path)
    shutil.rmtree(path, ignore_errors=True)


def kept(local_directory: str, name: str) -> str:
    """The directory that the leaves of one engine keep on a worker."""
    return os.path.join(local_directory, f"dsgd-{name}")


def sweep_kept(name: str, dask_worker: distributed.Worker) -> None:
    """Remove what the leaves of an engine have kept on this worker; Dask fills in ``dask_worker``."""
    shutil.rmtree(kept(dask_worker.local_directory, name), ignore_errors=True)
