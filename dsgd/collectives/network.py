"""What the collectives over the network share: the channel, its failures, and small sums.

A failure is final: the rank tells its peers why it gives up, so that all of them raise WorkerLost at about the same
time.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..errors import DSGDError, WorkerLost
from ..transport import frames
from ..transport.channel import Channel
from .checks import as_bytes, check_buffer, check_root
from .heartbeat import Heartbeat
from .sparse import allreduce_sparse

_LENGTH = 8  # bytes of a payload's length, in front of its first piece
_LONGEST = 1 << 36  # a payload that claims more is a mistake, not data


class NetworkCollective:
    """Base of Ring and Tree: subclasses say how buffers travel.

    Parameters
    ----------
    channel : Channel
        Connected to ``peers_of(rank, size)``; closed with the collective.
    rank, size : int
        Among the ranks of this collective, which need not be the channel's.
    members : list of int
        The channel's rank of each rank.
    """

    def __init__(self, channel: Channel, rank: int, size: int, members: list[int] | None = None):
        self.rank, self.size = rank, size
        self._channel = channel
        self._members = members or list(range(size))
        self._lost: str | None = None
        self._operations = 0
        self._heart = Heartbeat(self.give_sign, lambda: self._operations, channel.deadline)

    @staticmethod
    def peers_of(rank: int, size: int) -> set[int]:
        """The ranks that ``rank`` talks to."""
        raise NotImplementedError

    @property
    def waited(self) -> float:
        """Seconds so far, those in which data were on their way included; see :class:`dsgd.collectives.Collective`."""
        return self._channel.waited

    def allreduce(self, buffer: np.ndarray) -> None:
        """Sum ``buffer`` over the ranks, in place."""
        check_buffer(buffer)
        if buffer.nbytes <= frames.INLINE:
            self._run(self._allreduce_small, buffer)
        else:
            self._run(self._allreduce_large, buffer)
            self._run(self._channel.flush)

    def allreduce_sparse(self, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum sparse vectors; see :class:`dsgd.collectives.Collective`."""
        return allreduce_sparse(self, indices, values)

    def broadcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Copy the root's ``buffer`` into every rank's."""
        check_buffer(buffer)
        check_root(root, self.size)
        self._run(self._broadcast, as_bytes(buffer), root)
        self._run(self._channel.flush)

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        return [array.tobytes() for array in self.gather_arrays(np.frombuffer(payload, np.uint8))]

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]:
        """Everybody's ``array`` (1-d, uint8, of any length), in rank order."""
        gathered = self._run(self._gather, np.ascontiguousarray(array))
        self._run(self._channel.flush)
        return gathered

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.gather_arrays(np.empty(0, np.uint8))

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Give signs of life between operations; see :class:`dsgd.collectives.Collective`."""
        return self._heart.working()

    def give_sign(self) -> None:
        """Give one sign of life."""
        if self._lost is None:
            self._channel.give_sign()

    def hand_on(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` with every sign of life for those who wait for this rank elsewhere, while it waits here."""
        self._channel.on_sign = tell

    def close(self) -> None:
        """Close the channel."""
        with self._heart.turn:
            self._lost = self._lost or "this collective is closed"
            self._channel.close()

    def _allreduce_small(self, buffer: np.ndarray) -> None:
        raise NotImplementedError

    def _allreduce_large(self, buffer: np.ndarray) -> None:
        raise NotImplementedError

    def _broadcast(self, buffer: np.ndarray, root: int) -> None:
        raise NotImplementedError

    def _gather(self, array: np.ndarray) -> list[np.ndarray]:
        raise NotImplementedError

    def _run(self, operation: Callable[..., Any], *arguments: Any) -> Any:
        with self._heart.turn:
            if self._lost is not None:
                raise WorkerLost(self._lost)
            self._operations += 1
            try:
                return operation(*arguments)
            except BaseException as error:
                self.fail(str(error) or type(error).__name__)
                raise

    def fail(self, reason: str) -> None:
        """Take this rank out for good, and tell its peers why."""
        if self._lost is None:
            self._lost = reason
            self._channel.abort(reason)

    def _send(self, peer: int, kind: int, payload: np.ndarray) -> None:
        self._channel.send(self._members[peer], kind, payload)

    def _receive(self, peer: int, kind: int, dtype: np.dtype, count: int | None = None) -> np.ndarray:
        return self._channel.receive(self._members[peer], kind, dtype, count)

    def _send_array(self, peer: int, array: np.ndarray) -> None:
        """Send bytes of any length: the length and the first bytes in one message, then pieces."""
        first = frames.INLINE - _LENGTH
        head = np.empty(_LENGTH + min(first, len(array)), np.uint8)
        head[:_LENGTH].view(np.int64)[0] = len(array)
        head[_LENGTH:] = array[:first]
        self._send(peer, frames.GATHER, head)
        for piece in pieces(array[first:]):
            self._send(peer, frames.GATHER, piece)

    def _receive_array(self, peer: int) -> np.ndarray:
        head = self._receive(peer, frames.GATHER, np.dtype(np.uint8))
        length = int(head[:_LENGTH].view(np.int64)[0]) if len(head) >= _LENGTH else -1
        if not 0 <= length <= _LONGEST:
            raise DSGDError(f"rank {peer} announced a payload of {length} bytes; at most {_LONGEST} can be gathered")
        first = frames.INLINE - _LENGTH
        if len(head) != _LENGTH + min(first, length):
            raise DSGDError(f"rank {peer} announced a payload of {length} bytes, and its first part has {len(head)}")
        array = np.empty(length, np.uint8)
        array[:first] = head[_LENGTH:]
        for piece in pieces(array[first:]):
            piece[:] = self._receive(peer, frames.GATHER, piece.dtype, len(piece))
        return array


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Views on consecutive parts of ``array`` that fit a message each."""
    step = frames.CHUNK // array.itemsize
    for start in range(0, len(array), step):
        yield array[start : start + step]


def segment(array: np.ndarray, index: int, count: int) -> np.ndarray:
    """View on the part ``index`` of ``count`` nearly equal parts."""
    return array[len(array) * index // count : len(array) * (index + 1) // count]
