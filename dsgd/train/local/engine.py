"""The engine of one machine: gangs and crews in threads or in processes, and an aggregate over a pool of either."""

import concurrent.futures
import contextlib
import functools
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...errors import ConfigError
from .. import crew as crews
from .. import place, tree
from .. import rank as ranks
from ..rank import Failure
from . import crew_processes, crew_threads
from .leaf import run_leaf
from .pool import SILENCE, Pool
from .processes import run_processes
from .threads import run_alone, run_threads

# A machine shares its cores out, so more ranks than cores run, only slower; past this many a core it is a mistake.
_RANKS_A_CORE, _RANKS_ALWAYS = 4, 16


class LocalEngine:
    """Run ranks on this machine.

    Parameters
    ----------
    processes : bool or None
        True: each rank is a process of its own. False: each rank is a thread of this process, and payloads are passed
        by reference (in-memory arrays are not copied; the kernels release the interpreter's lock). None: a single rank
        runs in the calling thread, several run in processes.
    threads : int or None
        Threads a rank may use; None shares the machine's cores out among the ranks.

    Examples
    --------
    >>> engine = LocalEngine(processes=False)
    >>> engine.launch("dsgd.train.selftest:gather", [b"to", b"gether"], deadline=10.0, on_report=print)
    [b'together', b'together']
    >>> engine.close()
    """

    name = "local"

    def __init__(self, processes: bool | None = None, threads: int | None = None):
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be at least 1, not {threads}")
        self._processes = processes
        self._threads = threads
        self._lock = threading.Lock()
        self._keep: str | None = None
        self._pool: Pool | None = None

    def slots(self) -> int:
        """Cores of this machine that this process may use."""
        return place.cores()

    def launch(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = lambda record: None,
        left: dict[str, bytes] | None = None,
    ) -> list[bytes]:
        """Run a gang of ranks; see :meth:`dsgd.train.engine.Engine.launch`.

        More ranks than cores are let through, up to four a core (and 16 on any machine). In threads no rank can be lost, and
        none leaves anything.
        """
        ranks.find(function)
        size = len(payloads)
        self._check_size(size)
        processes = size > 1 if self._processes is None else self._processes
        threads = self._threads or max(1, self.slots() // size)
        with _place(threads) as where:
            if processes:
                there = {"scratch": where["scratch"], "threads": threads}
                return run_processes(function, payloads, deadline, on_report, left=left, **there)
            if size == 1 and self._threads is None:
                return run_alone(function, payloads[0], on_report, **where)
            if size > 1:
                return run_threads(function, payloads, deadline, on_report, **where)
            with place.limit_threads(threads):
                return run_alone(function, payloads[0], on_report, **where)

    def _check_size(self, size: int) -> None:
        most = max(_RANKS_ALWAYS, _RANKS_A_CORE * self.slots())
        if not 1 <= size <= most:
            raise ConfigError(f"this machine runs 1 to {most} ranks, not {size}; lower n_workers")

    def crew(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        servers: int,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = lambda record: None,
        restarts: int = 32,
    ) -> bytes:
        """Run members that live and die one by one; see :meth:`dsgd.train.engine.Engine.crew`.

        As many members as :meth:`launch` runs ranks, in processes or in threads by the same rule. The machine's cores are
        shared out among the members that are no servers. In threads no member can die, so that ``restarts`` has nothing to
        do there and ``deadline`` neither; and one that does not return when the crew is over is left behind, with a line in
        the log.
        """
        ranks.find(function)
        size = len(payloads)
        self._check_size(size)
        crews.check(size, servers, restarts)
        threads = self._threads or max(1, self.slots() // max(1, size - servers))
        with _place(threads) as where:
            if size > 1 if self._processes is None else self._processes:
                there = {"scratch": where["scratch"], "threads": threads}
                return crew_processes.run_processes(function, payloads, deadline, on_report, restarts, **there)
            if size > 1:
                return crew_threads.run_threads(function, payloads, on_report, **where)
            with contextlib.nullcontext() if self._threads is None else place.limit_threads(threads):
                return crew_threads.run_alone(function, payloads[0], on_report, **where)

    def aggregate(self, function: str, payloads: Sequence[Any], combine: str, *, depth: int = 2) -> bytes:
        """Fold the results of all payloads; see :meth:`dsgd.train.engine.Engine.aggregate`.

        ``context.scratch`` stays until :meth:`close`, so that what one round has cached there serves the next. With
        ``processes=True`` so do the processes, each of which does the same tasks again in the next round. One that dies, or
        gives no sign of life for ``deadline`` seconds, is replaced, and its task done again, three times at most, with a
        warning; ``deadline`` is an attribute of the payloads, and 30 s where they have none.
        """
        ranks.find(function), ranks.find(combine)
        shape = tree.levels(len(payloads), depth)
        workers = min(self.slots(), len(payloads))
        threads = self._threads or max(1, self.slots() // workers)
        with self._lock:
            self._keep = self._keep or _kept_directory(self)
            scratch = self._keep
        if self._processes:
            deadline = getattr(payloads[0], "deadline", SILENCE)
            outcomes = self._pool_of(workers, threads, scratch).run(function, payloads, deadline)
        else:
            task = functools.partial(run_leaf, function, size=len(payloads), scratch=scratch, threads=threads)
            outcomes = _in_threads(task, payloads, workers)
        for groups in shape:
            outcomes = [ranks.fold(combine, outcomes[start:stop]) for start, stop in groups]
        return ranks.results(outcomes)[0]

    def _pool_of(self, workers: int, threads: int, scratch: str) -> Pool:
        with self._lock:
            if self._pool is None or not self._pool.fits(workers, threads, scratch):
                if self._pool is not None:
                    self._pool.close()
                self._pool = Pool(workers, threads, scratch)
                weakref.finalize(self, self._pool.close)
            return self._pool

    def close(self) -> None:
        """End the processes of aggregates, and remove what they have cached."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
            if self._keep is not None:
                shutil.rmtree(self._keep, ignore_errors=True)
                self._keep = None

    def __enter__(self) -> "LocalEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def _place(threads: int) -> Iterator[dict[str, Any]]:
    """What ranks of this process are told of their place; their scratch directory is there for so long."""
    scratch = tempfile.mkdtemp(prefix="dsgd-")
    try:
        yield {"host": "127.0.0.1", "machine": place.machine(), "scratch": scratch, "threads": threads}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _kept_directory(engine: LocalEngine) -> str:
    path = tempfile.mkdtemp(prefix="dsgd-")
    weakref.finalize(engine, shutil.rmtree, path, ignore_errors=True)
    return path


def _in_threads(task: Callable[..., bytes | Failure], payloads: Sequence[Any], workers: int) -> list[bytes | Failure]:
    if workers == 1:
        return [task(index, payload) for index, payload in enumerate(payloads)]
    with concurrent.futures.ThreadPoolExecutor(workers, "dsgd-leaf") as pool:
        futures = [pool.submit(task, index, payload) for index, payload in enumerate(payloads)]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # On an interrupt: those that wait must not start.
