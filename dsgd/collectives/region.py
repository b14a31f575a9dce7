"""Shared regions as files that lose their name as soon as every rank has mapped them.

The leader of a machine creates the file, in the machine's memory file system if it has room there, else in the fit's
scratch directory; the others open it. A name that is gone cannot leak: the kernel frees the pages with the last
process.
"""

import mmap
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import WorkerLost
from .shared import SharedMemory, piece_bytes_for, region_bytes

MEMORY = Path("/dev/shm")


def memory_identity() -> str:
    """Names what ranks must have in common to share memory: the memory file system and the name space of process ids.

    Two containers on one host have the same boot id, but can neither map each other's files nor look up each other's
    processes.
    """
    parts = []
    for path in (MEMORY, Path("/proc/self/ns/pid")):
        try:
            status = path.stat()
            parts.append(f"{status.st_dev}:{status.st_ino}")
        except OSError:
            parts.append("none")
    return "/".join(parts)


def open_shared(name: str, rank: int, size: int, max_bytes: int, *, scratch: str, deadline: float) -> SharedMemory:
    """Create (rank 0) or open the region ``name`` and return its collective once all ``size`` ranks have mapped it.

    Parameters
    ----------
    name : str
        Unguessable and used once; part of a file's name.
    rank, size : int
        Among the ranks of this machine.
    max_bytes : int
        The longest buffer that is worth a slot of its own.
    scratch : str
        Directory shared by the ranks of this machine.
    deadline : float
        Seconds to wait for a peer, here and in every operation.

    Raises
    ------
    WorkerLost
        When a peer has not mapped the file within the deadline.
    """
    piece_bytes = piece_bytes_for(max_bytes)
    candidates = [directory / f"dsgd-{name}" for directory in (MEMORY, Path(scratch))]
    length = region_bytes(size, piece_bytes)
    path = _create(candidates, length) if rank == 0 else _wait_for(candidates, length, deadline)
    try:
        region, release = _map(path)
        collective = SharedMemory(region, rank, size, piece_bytes, deadline=deadline, release=release)
        del region
        try:
            collective.barrier()
        except BaseException:
            collective.close()
            raise
        return collective
    finally:
        if rank == 0:
            path.unlink(missing_ok=True)


def _create(candidates: list[Path], length: int) -> Path:
    for path in candidates[:-1]:
        try:
            return _allocate(path, length)
        except OSError:
            continue  # no memory file system, or no room in it
    return _allocate(candidates[-1], length)


def _allocate(path: Path, length: int) -> Path:
    """Reserve the pages before anybody touches them: a full memory file system would kill the process by a signal."""
    unfinished = path.with_name(path.name + ".new")
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, length)
        else:
            os.ftruncate(descriptor, length)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return path


def _wait_for(candidates: list[Path], length: int, deadline: float) -> Path:
    until = time.monotonic() + deadline
    pause = 0.0005
    while time.monotonic() < until:
        for path in candidates:
            if path.exists():
                return path
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    raise WorkerLost(
        f"the first rank of this machine did not create the shared file of {length} bytes within {deadline:g} seconds; "
        f"looked for {' and '.join(map(str, candidates))}"
    )


def _map(path: Path) -> tuple[np.ndarray, Callable[[], None]]:
    with path.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)

    def release() -> None:
        with suppress(BufferError):  # somebody still holds a view; the pages go with it
            mapped.close()

    return np.frombuffer(mapped, np.uint8), release
