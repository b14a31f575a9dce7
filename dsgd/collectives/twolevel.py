"""The collective of several machines with several ranks each: shared memory within, network among one leader a machine.

Sums are added in rank order within a machine, then in the order of the network's topology over the machines, which are
ordered by their first rank. Data cross the network once a machine, not once a rank.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from .checks import check_buffer, check_root
from .heartbeat import Heartbeat
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
        self._operations = 0
        self._heart = Heartbeat(self._give_sign, lambda: self._operations, local.deadline)
        if leaders is not None:
            # Who waits for this rank on one level waits for the one that it waits for on the other.
            local.hand_on(leaders.give_sign)
            leaders.hand_on(local.give_sign)

    @property
    def waited(self) -> float:
        """Seconds so far, on both levels; see :class:`dsgd.collectives.Collective`."""
        return self._local.waited + (0.0 if self._leaders is None else self._leaders.waited)

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum ``buffer`` over the ranks, in place."""
        check_buffer(buffer)
        with self._operation():
            self._local.allreduce(buffer)
            if self._leaders is not None:
                self._leaders.allreduce(buffer)
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
        with self._operation():
            if self.rank in at_home:
                self._local.broadcast(buffer, at_home.index(root))
            if self._leaders is not None:
                self._leaders.broadcast(buffer, machine)
            if self.rank not in at_home:
                self._local.broadcast(buffer)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        return [array.tobytes() for array in self.gather_arrays(np.frombuffer(payload, np.uint8))]

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """Everybody's ``array`` (1-d, uint8, of any length), in rank order."""
        head = np.array([self.rank, len(array)], np.int64)
        everything = np.empty(0, np.uint8)
        with self._operation():
            parts = self._local.gather_arrays(np.concatenate([head.view(np.uint8), array]))
            if self._leaders is not None:
                everything = np.concatenate(self._leaders.gather_arrays(np.concatenate(parts)))
            # The leader's part of this second gathering is everything, the others' are empty.
            everything = self._local.gather_arrays(everything)[0]
        return _split(everything, self.size)

    def barrier(self) -> None:
        """Wait for all ranks."""
        with self._operation():
            self._local.barrier()
            if self._leaders is not None:
                self._leaders.barrier()
            self._local.barrier()

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Give signs of life between operations; see :class:`dsgd.collectives.Collective`."""
        return self._heart.working()

    def _give_sign(self) -> None:
        self._local.give_sign()
        if self._leaders is not None:
            self._leaders.give_sign()

    def close(self) -> None:
        """Close both levels."""
        with self._heart.turn:
            if self._leaders is not None:
                self._leaders.close()
            self._local.close()

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """When one level fails, nobody must wait for this rank in the other."""
        with self._heart.turn:
            self._operations += 1
            try:
                yield
            except BaseException as error:
                reason = str(error) or type(error).__name__
                self._local.fail(reason)
                if self._leaders is not None:
                    self._leaders.fail(reason)
                raise


def _split(everything: np.ndarray, size: int) -> list[np.ndarray]:
    gathered: list[np.ndarray] = [everything] * size
    start = 0
    while start < len(everything):
        rank, length = np.frombuffer(everything[start : start + _HEAD], np.int64)
        start += _HEAD + int(length)
        gathered[int(rank)] = everything[start - int(length) : start].copy()
    return gathered
