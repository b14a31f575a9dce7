"""The collective of several machines with several ranks each: shared memory within, network among one leader a machine.

Sums are added in rank order within a machine, then in the order of the network's topology over the machines, which are
ordered by their first rank. Data cross the network once a machine, not once a rank.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .checks import check_buffer, check_root
from .network import NetworkCollective
from .shared import SharedMemory
from .sparse import allreduce_sparse

_HEAD = 16  # bytes before each payload: its rank and its length


class TwoLevel:
    """A collective over the ranks of several machines.

    Parameters
    ----------
    local : SharedMemory
        Of the ranks of this machine; its rank 0 is the leader.
    leaders : NetworkCollective or None
        Of the leaders, in the order of the machines; None on a rank that is not a leader.
    machines : list of list of int
        The ranks of each machine.
    rank : int
        Among all ranks.
    """

    def __init__(self, local: SharedMemory, leaders: NetworkCollective | None, machines: list[list[int]], rank: int):
        self.rank = rank
        self.size = sum(map(len, machines))
        self._local, self._leaders, self._machines = local, leaders, machines

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum ``buffer`` over the ranks, in place."""
        check_buffer(buffer)
        self._local.allreduce(buffer)
        self._among_leaders(lambda leaders: leaders.allreduce(buffer))
        self._local.broadcast(buffer)

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum sparse vectors, in rank order."""
        return allreduce_sparse(self, indices, values)

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Copy the root's ``buffer`` into every rank's."""
        check_buffer(buffer)
        check_root(root, self.size)
        machine = next(index for index, ranks in enumerate(self._machines) if root in ranks)
        at_home = self._machines[machine]
        if self.rank in at_home:
            self._local.broadcast(buffer, at_home.index(root))
        self._among_leaders(lambda leaders: leaders.broadcast(buffer, machine))
        if self.rank not in at_home:
            self._local.broadcast(buffer)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        return [array.tobytes() for array in self.gather_arrays(np.frombuffer(payload, np.uint8))]

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """Everybody's ``array`` (1-d, uint8, of any length), in rank order."""
        head = np.array([self.rank, len(array)], np.int64)
        parts = self._local.gather_arrays(np.concatenate([head.view(np.uint8), array]))
        total = np.zeros(1, np.int64)
        everything = np.empty(0, np.uint8)
        if self._leaders is not None:
            everything = np.concatenate(
                self._among_leaders(lambda leaders: leaders.gather_arrays(np.concatenate(parts)))
            )
            total[0] = len(everything)
        self._local.broadcast(total)
        # Shared memory moves whole int64, so the bytes are padded to a multiple of eight.
        padded = np.zeros(-(-int(total[0]) // 8), np.int64)
        padded.view(np.uint8)[: len(everything)] = everything
        self._local.broadcast(padded)
        return _split(padded.view(np.uint8)[: int(total[0])], self.size)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._local.barrier()
        self._among_leaders(lambda leaders: leaders.barrier())
        self._local.barrier()

    def close(self) -> None:
        """Close both levels."""
        if self._leaders is not None:
            self._leaders.close()
        self._local.close()

    def _among_leaders(self, operation: Callable[[NetworkCollective], Any]) -> Any:
        """Run an operation of the leaders; when it fails, the ranks of this machine must not wait for the leader."""
        if self._leaders is None:
            return None
        try:
            return operation(self._leaders)
        except BaseException as error:
            self._local.fail(str(error) or type(error).__name__)
            raise


def _split(everything: np.ndarray, size: int) -> list[np.ndarray]:
    gathered: list[np.ndarray] = [everything] * size
    start = 0
    while start < len(everything):
        rank, length = np.frombuffer(everything[start : start + _HEAD], np.int64)
        start += _HEAD + int(length)
        gathered[int(rank)] = everything[start - int(length) : start].copy()
    return gathered
