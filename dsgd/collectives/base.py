"""What a collective is: a handful of operations on buffers among ranks, each with a deadline."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np


class Collective(Protocol):
    """Operations that all ranks call in the same order.

    Every operation gives every rank the same bits: sums are added in an order that depends on the topology and the
    number of ranks only. A peer that is dead or silent past the deadline raises WorkerLost on every other rank. A peer
    that comes late because it works, inside of :meth:`working`, is not silent.
    """

    rank: int
    size: int

    @property
    def waited(self) -> float:
        """Seconds so far in which this rank had nothing to do, inside of operations, but wait for others."""
        ...

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum ``buffer`` (1-d, contiguous, float32, float64 or int64) over the ranks, in place."""
        ...

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of sparse vectors.

        Parameters
        ----------
        indices : ndarray of shape (m,), int32, ascending and unique
        values : ndarray of shape (m,) or (m, k)
            ``m`` differs from rank to rank.

        Returns
        -------
        indices, values
            The union's indices, ascending, and the sums.
        """
        ...

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Copy the root's ``buffer`` into every rank's, in place."""
        ...

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload (of any length), in rank order."""
        ...

    def barrier(self) -> None:
        """Wait for all ranks."""
        ...

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Give signs of life between the operations inside, from a thread.

        Returns
        -------
        context manager of a callable
            To be called after each piece of work (a block of rows, say): a rank that neither does so nor comes to an
            operation for half an hour gives no more signs, and is silent from then on.
        """
        ...

    def close(self) -> None:
        """Release sockets and memory; safe to call twice and after an error."""
        ...
