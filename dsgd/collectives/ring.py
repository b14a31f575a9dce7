"""The ring all-reduce: every rank receives from the one before it and sends to the one after it.

A long vector is cut into as many segments as there are ranks. In the first half of ``2 (r - 1)`` steps each segment
travels once around the ring and collects every rank's addend; in the second half the sums travel on to everybody.
Every rank sends ``2 (r - 1) / r`` times the vector, whatever their number (Patarasuk and Yuan, 2009). Segments travel
in pieces that are added and sent on while the next ones arrive. A short vector, which is all latency, is gathered
around the ring instead and added up by everybody, in rank order.
"""

import numpy as np

from ..transport import frames
from .network import NetworkCollective, pieces, segment


class Ring(NetworkCollective):
    """A collective whose ranks form a ring over the network."""

    @staticmethod
    def peers_of(rank: int, size: int) -> set[int]:
        """The neighbours of ``rank``.

        Examples
        --------
        >>> Ring.peers_of(0, 4)
        {1, 3}
        """
        return {(rank - 1) % size, (rank + 1) % size} - {rank}

    @property
    def _next(self) -> int:
        return (self.rank + 1) % self.size

    @property
    def _previous(self) -> int:
        return (self.rank - 1) % self.size

    def _allreduce_small(self, buffer: np.ndarray) -> None:
        parts = [buffer] * self.size
        passed_on = buffer
        for step in range(1, self.size):
            self._send(self._next, frames.REDUCE, passed_on)
            passed_on = self._receive(self._previous, frames.REDUCE, buffer.dtype, len(buffer))
            parts[(self.rank - step) % self.size] = passed_on
        # Added up outside of the caller's buffer, which is one of the addends.
        total = parts[0] + parts[1]
        for part in parts[2:]:
            total += part
        buffer[:] = total

    def _allreduce_large(self, buffer: np.ndarray) -> None:
        steps = 2 * (self.size - 1)
        for piece in pieces(segment(buffer, self.rank, self.size)):
            self._send(self._next, frames.REDUCE, piece)
        for step in range(steps):
            for piece in pieces(segment(buffer, (self.rank - step - 1) % self.size, self.size)):
                received = self._receive(self._previous, frames.REDUCE, buffer.dtype, len(piece))
                if step < self.size - 1:
                    piece += received
                else:
                    np.copyto(piece, received)
                if step < steps - 1:
                    self._send(self._next, frames.REDUCE, piece)

    def _broadcast(self, buffer: np.ndarray, root: int) -> None:
        for piece in pieces(buffer):
            if self.rank != root:
                np.copyto(piece, self._receive(self._previous, frames.BROADCAST, piece.dtype, len(piece)))
            if self._next != root:
                self._send(self._next, frames.BROADCAST, piece)

    def _gather(self, array: np.ndarray) -> list[np.ndarray]:
        gathered = [array] * self.size
        gathered[self.rank] = array.copy()
        for step in range(1, self.size):
            self._send_array(self._next, gathered[(self.rank - step + 1) % self.size])
            gathered[(self.rank - step) % self.size] = self._receive_array(self._previous)
        return gathered
