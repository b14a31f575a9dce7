"""Threads that do the same work side by side, the caller's among them, and stop together.

Comes in: a function of a thread's number. Goes out: what it returned in each, or the first exception; in both cases all of
them have ended, or the caller is told that one has not.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from ..errors import WorkerLost

# Seconds that the others are given to end when the caller's own part is done.
PATIENCE = 60.0

T = TypeVar("T")


class Threads:
    """``others`` threads besides the caller's, for as long as the ``with`` statement.

    Examples
    --------
    >>> with Threads(2) as threads:
    ...     threads.call(lambda number: number * number, lambda: None)
    [0, 1, 4]
    """

    def __init__(self, others: int):
        self._others = others
        self._pool = ThreadPoolExecutor(max(others, 1), thread_name_prefix="dsgd-hogwild")
        self._lost = False

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *raised) -> None:
        # A thread that did not end in time is not waited for once more.
        self._pool.shutdown(wait=not self._lost)

    def call(self, function: Callable[[int], T], stop: Callable[[], None]) -> list[T]:
        """Call ``function(0)`` here and ``function(1)`` and so on in the other threads; return their results in this order.

        ``stop`` is called when one of them raises, and must let the others end soon.

        Raises
        ------
        WorkerLost
            When a thread has not ended ``PATIENCE`` seconds after the caller's.
        """

        def guarded(number: int) -> T:
            try:
                return function(number)
            except BaseException:
                stop()
                raise

        futures = [self._pool.submit(guarded, number) for number in range(1, self._others + 1)]
        try:
            first = guarded(0)
        finally:
            self._wait(futures)
        return [first, *(future.result() for future in futures)]

    def _wait(self, futures: list[Future]) -> None:
        _, late = wait(futures, PATIENCE)
        if late:
            self._lost = True
            raise WorkerLost(
                f"{len(late)} of {len(futures) + 1} threads still worked {PATIENCE:g} s after the first found nothing left to "
                "do; is this machine so loaded that a thread gets no processor? Use fewer threads_per_worker"
            )
