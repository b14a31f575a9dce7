"""Where a rank is and what it may use: the machine's identity, its cores, and the threads of its BLAS libraries."""

import contextlib
import os
import socket
import threading
import uuid
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

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
    """Limits of this process's BLAS threads, shared by concurrent users: the last restores what the first found."""

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._limits: threadpool_limits | None = None

    @contextlib.contextmanager
    def hold(self, threads: int) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._limits = threadpool_limits(limits=threads)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._limits is not None:
                    self._limits.restore_original_limits()
                    self._limits = None


_limits = _Limits()


def limit_threads(threads: int) -> contextlib.AbstractContextManager[None]:
    """Hold this process's BLAS libraries to ``threads`` threads for a while.

    Ranks that share a process share the limit: the first one's is in force until the last one leaves.
    """
    return _limits.hold(threads)
