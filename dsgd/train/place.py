"""Where a rank is and what it may use: the machine's identity, its cores, and the threads of its BLAS libraries."""

import contextlib
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from threadpoolctl import ThreadpoolController

# Read by the BLAS, OpenMP and numba runtimes when they are first loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def cores() -> int:
    """Cores that this process may use: its affinity and its container's quota counted."""
    import joblib  # Slow to import, and a rank does not need it.

    return joblib.cpu_count()


def machine() -> str:
    """Identify the operating system instance: equal for two processes that can map the same files.

    The boot's identifier alone is equal in all containers of a host, which do not see each other's files; so the mount
    namespace belongs to it, and the user, whose files others may not open.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        namespace = os.stat("/proc/self/ns/mnt").st_ino
    except OSError:  # Not Linux: the network card's address tells machines apart.
        return f"{uuid.getnode():x}-{socket.gethostname()}"
    return f"{boot}-{namespace}-{os.getuid()}"


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that hold a child process to ``threads`` threads a library."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


class _Limits:
    """Limits of this process's BLAS: the lowest that anyone holds, and at the end what the first one found."""

    def __init__(self):
        self._lock = threading.Lock()
        self._held: list[int] = []
        self._found: Any = None
        self._libraries: tuple[int, ThreadpoolController] | None = None
        self._applied: tuple[int, ThreadpoolController] | None = None

    @contextlib.contextmanager
    def hold(self, threads: int) -> Iterator[None]:
        libraries = self._loaded()
        blas = libraries.select(user_api="blas")
        # OpenMP and MKL keep the number for each thread of the process, so the one that will work sets it.
        own = libraries.select(user_api="openmp", internal_api="mkl")
        self._change(self._held.append, threads, libraries, blas)
        try:
            with own.limit(limits=threads):
                yield
        finally:
            self._change(self._held.remove, threads, libraries, blas)

    def _loaded(self) -> ThreadpoolController:
        """The process's libraries, which take longer to find than a small fit; looked for again after an import."""
        known, modules = self._libraries, len(sys.modules)
        if known is None or known[0] != modules:
            self._libraries = known = (modules, ThreadpoolController())
        return known[1]

    def _change(
        self, action: Callable[[int], None], threads: int, libraries: ThreadpoolController, blas: ThreadpoolController
    ) -> None:
        with self._lock:
            action(threads)
            wanted = (min(self._held), libraries) if self._held else None
            if wanted == self._applied:
                return
            self._applied = wanted
            # threadpoolctl lets nobody else set OpenBLAS while the thread that did lives: so one that is gone at once.
            passing = threading.Thread(target=self._apply, args=(blas,), name="dsgd-limits")
            passing.start()
            passing.join()

    def _apply(self, blas: ThreadpoolController) -> None:
        if self._held:
            limits = blas.limit(limits=min(self._held))
            self._found = self._found or limits
        elif self._found is not None:
            self._found.restore_original_limits()
            self._found = None


_limits = _Limits()


def limit_threads(threads: int) -> contextlib.AbstractContextManager[None]:
    """Hold BLAS in this process, and OpenMP in the calling thread, to ``threads`` threads for a while.

    Ranks that share a process share its BLAS: the lowest limit is in force until its holder leaves.
    """
    return _limits.hold(threads)
