"""What a fit has left behind, after it has had some seconds to go: processes, sockets, files, shared memory."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import psutil

SETTLE = 6.0
_MEMORY = Path("/dev/shm")


class Before:
    """What there was before a fit, of the machine and of this process."""

    def __init__(self) -> None:
        self._shared = shared_memory()
        own = psutil.Process()
        self._files, self._sockets = own.num_fds(), _listening(own)

    def left(self, bench) -> list[str]:
        """What there is now and was not before, as soon as it is nothing, or after some seconds.

        Only what is there all the time counts: other fits of the machine come and go in shared memory.
        """
        until = time.monotonic() + SETTLE
        found = self._look(bench)
        while found and time.monotonic() < until:
            time.sleep(0.2)
            there = self._look(bench)
            found = [name for name in found if name in there]
        return found

    def _look(self, bench) -> list[str]:
        own = psutil.Process()
        found = [f"process {pid}" for pid in _ranks(own)]
        found += temporary_files(Path(tempfile.gettempdir()))
        found += [f"shared memory {name}" for name in sorted(shared_memory() - self._shared)]
        if _listening(own) > self._sockets:
            found.append("a listening socket")
        # A few come and go with a cluster's connections.
        if own.num_fds() > self._files + 8:
            found.append("open files")
        return found + bench.left()


def temporary_files(place: Path) -> list[str]:
    """Scratch directories and keys in a directory for temporary files."""
    return [f"file {name}" for name in sorted(os.listdir(place)) if name.startswith("dsgd-")]


def shared_memory() -> set[str]:
    """The library's names in shared memory."""
    return {name for name in os.listdir(_MEMORY) if name.startswith("dsgd-")} if _MEMORY.is_dir() else set()


def _ranks(own: psutil.Process) -> list[int]:
    """Processes of gangs and crews; those of a pool end with their engine, too, which the fit has closed."""
    found = []
    for child in own.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("dsgd.train.local." in word for word in child.cmdline()):
                found.append(child.pid)
    return found


def _listening(own: psutil.Process) -> int:
    return sum(connection.status == psutil.CONN_LISTEN for connection in own.net_connections("tcp"))
