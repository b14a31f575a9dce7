"""The collective of one rank: every sum is the buffer itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from .checks import check_buffer, check_root
from .sparse import check_sparse


class SingleProcess:
    """A collective of size 1.

    Examples
    --------
    >>> import numpy as np
    >>> alone = SingleProcess()
    >>> buffer = np.arange(3.0)
    >>> alone.allreduce(buffer)
    >>> buffer
    array([0., 1., 2.])
    >>> alone.allgather(b"x")
    [b'x']
    """

    rank = 0
    size = 1
    waited = 0.0

    def allreduce(self, buffer: np.ndarray) -> None:
        """Leave ``buffer`` as it is."""
        check_buffer(buffer)

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of ``indices`` and ``values``."""
        check_sparse(indices, values)
        return indices.copy(), values.copy()

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Leave ``buffer`` as it is."""
        check_buffer(buffer)
        check_root(root, 1)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Return ``[payload]``."""
        return [bytes(payload)]

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """Return ``[array]``, copied."""
        return [array.copy()]

    def barrier(self) -> None:
        """Return at once."""

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Nobody waits for a sign of life."""
        return nullcontext(_ignore)

    def close(self) -> None:
        """Nothing to release."""


def _ignore() -> None:
    """Nobody counts the work either."""
