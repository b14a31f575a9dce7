"""The collective of ranks that map the same memory: processes of one machine, or threads of one process.

In comes a region of bytes, zeroed, that all ranks see (:mod:`dsgd.collectives.region` makes one out of a file;
threads share a plain array); the loops are :mod:`dsgd.kernels.shared`. Sums are added in rank order, ``((x0 + x1) +
x2) + ...``. A rank waits in slices of milliseconds, between which it looks at its peers (:mod:`dsgd.collectives.peers`)
and at signals.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ConfigError, WorkerLost
from ..kernels import shared as kernels
from .checks import as_bytes, check_buffer, check_root
from .heartbeat import Heartbeat
from .peers import BARRIER, BROADCAST, GATHER, REDUCE, Peers, tag
from .sparse import allreduce_sparse

PIECE_BYTES = 1 << 19
_COUNT = 8  # bytes of a payload's length
_ALIGNMENT = 128

_NOTHING = np.empty(0)


def piece_bytes_for(max_bytes: int) -> int:
    """Bytes of a slot for buffers of up to ``max_bytes``: the whole buffer if it is small, else a piece of it."""
    wanted = min(max(max_bytes, 1024), PIECE_BYTES)
    return -(-wanted // _ALIGNMENT) * _ALIGNMENT


def region_bytes(size: int, piece_bytes: int) -> int:
    """Bytes of the region for ``size`` ranks: a line of flags a rank, two slots a rank, two results."""
    return 8 * kernels.LINE * size + 2 * piece_bytes * (size + 1)


class SharedMemory:
    """A collective over a shared region.

    Parameters
    ----------
    region : ndarray of shape (region_bytes(size, piece_bytes),), uint8
        Zeroed memory that all ranks share, 8-byte aligned.
    rank, size : int
    piece_bytes : int
        Bytes of a slot, a multiple of 128. Longer buffers pass through in pieces.
    deadline : float
        Seconds to wait for a peer.
    release : callable
        Called once, on close, after the last use of the region.

    Examples
    --------
    >>> import numpy as np
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> region = np.zeros(region_bytes(2, 1024), np.uint8)
    >>> def work(rank):
    ...     collective = SharedMemory(region, rank, 2, 1024, deadline=60.0)
    ...     buffer = np.full(3, rank + 1.0)
    ...     collective.allreduce(buffer)
    ...     collective.close()
    ...     return buffer.tolist()
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(pool.map(work, range(2)))
    [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]
    """

    def __init__(
        self,
        region: np.ndarray,
        rank: int,
        size: int,
        piece_bytes: int = PIECE_BYTES,
        *,
        deadline: float,
        release: Callable[[], None] = lambda: None,
    ):
        if piece_bytes % _ALIGNMENT or len(region) < region_bytes(size, piece_bytes):
            raise ConfigError(
                f"{size} ranks with pieces of {piece_bytes} bytes (a multiple of {_ALIGNMENT}) need a region of "
                f"{region_bytes(size, piece_bytes)} bytes, not {len(region)}"
            )
        self.rank, self.size = rank, size
        self.deadline, self._release = deadline, release
        self._lost: str | None = None
        self._progress = np.zeros(kernels.PROGRESS_FIELDS, np.int64)
        # Spinning only delays the peer that is waited for when the ranks outnumber the cores.
        self._spins = kernels.SPINS if size <= _cores() else 0
        self._map(region, piece_bytes)
        self._peers = Peers(self._flags, self._progress, rank, deadline)
        self._heart = Heartbeat(self.give_sign, lambda: int(self._progress[kernels.BARRIERS]), deadline)
        self._flags[rank * kernels.LINE + kernels.PID] = os.getpid()

    def _map(self, region: np.ndarray, piece_bytes: int) -> None:
        flags_bytes = 8 * kernels.LINE * self.size
        slots_end = flags_bytes + 2 * piece_bytes * self.size
        self._flags = region[:flags_bytes].view(np.int64)
        slots, results = region[flags_bytes:slots_end], region[slots_end : slots_end + 2 * piece_bytes]
        self._slots = {
            dtype: slots.view(dtype).reshape(2, self.size, -1)
            for dtype in map(np.dtype, ("float32", "float64", "int64", "uint8"))
        }
        self._results = {dtype: results.view(dtype).reshape(2, -1) for dtype in self._slots}

    @property
    def waited(self) -> float:
        """Seconds so far; see :class:`dsgd.collectives.Collective`."""
        return float(self._progress[kernels.WAITED]) * 1e-9

    def meeting(self, buffer: np.ndarray) -> kernels.Meeting:
        """What a compiled loop needs to call ``dsgd.kernels.shared.allreduce`` with ``buffer``, over and over.

        When that answers with a rank, :meth:`resume` completes the sum.
        """
        check_buffer(buffer)
        self._announce(REDUCE, buffer)
        slots, results = self._slots[buffer.dtype], self._results[buffer.dtype]
        return kernels.Meeting(self._flags, slots, results, self._progress, self.rank, self._spins)

    def resume(self, buffer: np.ndarray, missing: int) -> None:
        """Complete the sum of ``buffer`` for which a compiled loop did not want to wait any longer."""
        meeting = self.meeting(buffer)
        with self._leaving():
            self._peers.wait(missing, REDUCE, lambda: kernels.allreduce(*meeting[:4], buffer, self.rank, self._spins))

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum ``buffer`` over the ranks, in place."""
        check_buffer(buffer)
        slots, results = self._slots[buffer.dtype], self._results[buffer.dtype]
        self._run(REDUCE, buffer, kernels.allreduce, self._flags, slots, results, self._progress, buffer)

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum sparse vectors; see :class:`dsgd.collectives.Collective`."""
        return allreduce_sparse(self, indices, values)

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Copy the root's ``buffer`` into every rank's."""
        check_buffer(buffer)
        check_root(root, self.size)
        slots = self._slots[np.dtype(np.uint8)]
        self._run(BROADCAST, buffer, kernels.broadcast, self._flags, slots, self._progress, as_bytes(buffer), root)

    def barrier(self) -> None:
        """Wait for all ranks."""
        self._run(BARRIER, _NOTHING, kernels.barrier, self._flags, self._progress)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        return [array.tobytes() for array in self.gather_arrays(np.frombuffer(payload, np.uint8))]

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """Everybody's ``array`` (1-d, uint8, of any length), in rank order."""
        first = self._slots[np.dtype(np.uint8)].shape[2] - _COUNT
        slot = self._next_slots()[self.rank]
        slot[:_COUNT].view(np.int64)[0] = len(array)
        slot[_COUNT : _COUNT + min(first, len(array))] = array[:first]
        slots = self._exchanged()
        gathered = [np.empty(int(other[:_COUNT].view(np.int64)[0]), np.uint8) for other in slots]
        for target, other in zip(gathered, slots, strict=True):
            target[:first] = other[_COUNT : _COUNT + len(target)]
        for start in range(first, max(map(len, gathered)), first + _COUNT):
            self._gather_piece(array, gathered, slice(start, start + first + _COUNT))
        return gathered

    def _gather_piece(self, array: np.ndarray, gathered: list[np.ndarray], piece: slice) -> None:
        self._next_slots()[self.rank, : len(array[piece])] = array[piece]
        for target, other in zip(gathered, self._exchanged(), strict=True):
            target[piece] = other[: len(target[piece])]

    def _next_slots(self) -> np.ndarray:
        """The slots that nobody reads before the next barrier; see :mod:`dsgd.kernels.shared`."""
        return self._slots[np.dtype(np.uint8)][(self._progress[kernels.BARRIERS] + 1) % 2]

    def _exchanged(self) -> np.ndarray:
        self._run(GATHER, _NOTHING, kernels.barrier, self._flags, self._progress)
        return self._slots[np.dtype(np.uint8)][self._progress[kernels.BARRIERS] % 2]

    def _run(self, operation: int, buffer: np.ndarray, kernel: Callable[..., int], *arguments: Any) -> None:
        """Call the kernel until nobody is missing."""
        self._announce(operation, buffer)
        with self._leaving():
            missing = kernel(*arguments, self.rank, self._spins)
            if missing != kernels.DONE:
                self._peers.wait(missing, operation, lambda: kernel(*arguments, self.rank, self._spins))

    def _announce(self, operation: int, buffer: np.ndarray) -> None:
        """Say what this rank does next, for the peers to compare."""
        if self._lost is not None:
            raise WorkerLost(self._lost)
        self._progress[kernels.TAG] = tag(operation, buffer)

    @contextlib.contextmanager
    def _leaving(self) -> Iterator[None]:
        """An operation that was left half-way cannot be resumed: the peers must not wait for this rank."""
        try:
            yield
        except BaseException as error:
            self.fail(str(error) or "the collective was interrupted")
            raise

    def working(self) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """Give signs of life between operations; see :class:`dsgd.collectives.Collective`."""
        return self._heart.working()

    def give_sign(self) -> None:
        """Give one sign of life."""
        if self._lost is None:
            self._peers.give_sign()

    def hand_on(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` with every sign of life for those who wait for this rank elsewhere, while it waits here."""
        self._peers.on_sign = tell

    def fail(self, reason: str) -> None:
        """Take this rank out for good: its peers raise WorkerLost when they next wait for it, and so does it."""
        self._lost = self._lost or reason
        if len(self._flags):
            self._flags[self.rank * kernels.LINE + kernels.LEFT] = 1

    def close(self) -> None:
        """Tell the peers and release the region."""
        if len(self._flags) == 0:
            return
        self.fail("this collective is closed")
        with self._heart.turn:
            self._flags = self._flags[:0].copy()
            self._peers = Peers(self._flags, self._progress, self.rank, self.deadline)
            self._slots, self._results = {}, {}
        self._release()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
