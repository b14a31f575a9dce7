"""The tree all-reduce: logarithmically many steps, in pairs at doubling distances.

With ``p`` the largest power of two that is not above the number of ranks, each of the ranks beyond ``p`` first adds
its vector to a partner's and gets the sum in the end. Among the ``p``, a short vector is exchanged whole at distances
1, 2, 4, ... (recursive doubling). A long one is halved: at distances p/2, ..., 2, 1 partners swap halves of what they
hold and add, so that each ends up with the sum of one p-th, and the way back doubles it (Rabenseifner's algorithm;
Thakur, Rabenseifner and Gropp, 2005, "Optimization of collective communication operations in MPICH"). Addition is
commutative bit for bit, so partners that add the same two vectors get the same sum.
"""

import numpy as np

from ..transport import frames
from .network import NetworkCollective, pieces


def core_size(size: int) -> int:
    """The largest power of two that is not above ``size``.

    Examples
    --------
    >>> [core_size(size) for size in (1, 2, 3, 5, 8)]
    [1, 2, 2, 4, 8]
    """
    return 1 << (size.bit_length() - 1)


class Tree(NetworkCollective):
    """A collective whose ranks reduce in pairs at doubling distances over the network."""

    @staticmethod
    def peers_of(rank: int, size: int) -> set[int]:
        """The partners of ``rank`` in sums, and its neighbours at doubling distances for the other operations.

        Examples
        --------
        >>> sorted(Tree.peers_of(0, 5))
        [1, 2, 3, 4]
        """
        core = core_size(size)
        partners = {rank ^ (1 << bit) for bit in range(core.bit_length() - 1)} if rank < core else {rank - core}
        if rank < size - core:
            partners.add(rank + core)
        distances = [1 << bit for bit in range((size - 1).bit_length())]
        around = {(rank + sign * distance) % size for distance in distances for sign in (1, -1)}
        return (partners | around) - {rank}

    def _allreduce_small(self, buffer: np.ndarray) -> None:
        if self._fold(buffer):
            distance = 1
            while distance < core_size(self.size):
                # Short messages are copied as they are sent, so the buffer may change at once.
                self._send(self.rank ^ distance, frames.REDUCE, buffer)
                buffer += self._receive(self.rank ^ distance, frames.REDUCE, buffer.dtype, len(buffer))
                distance *= 2
        self._unfold(buffer)

    def _allreduce_large(self, buffer: np.ndarray) -> None:
        if self._fold(buffer):
            held = [buffer]
            distance = core_size(self.size) // 2
            while distance:
                lower, upper = np.split(held[-1], [len(held[-1]) // 2])
                kept, given = (upper, lower) if self.rank & distance else (lower, upper)
                self._send_pieces(self.rank ^ distance, given)
                self._receive_pieces(self.rank ^ distance, kept, add=True)
                held.append(kept)
                distance //= 2
            self._double(held)
        self._unfold(buffer)

    def _double(self, held: list[np.ndarray]) -> None:
        """Undo the halving: swap sums for the partner's at distances 1, 2, 4, ..."""
        distance = 1
        while len(held) > 1:
            kept, whole = held.pop(), held[-1]
            half = len(whole) // 2
            missing = whole[:half] if self.rank & distance else whole[half:]
            self._send_pieces(self.rank ^ distance, kept)
            self._receive_pieces(self.rank ^ distance, missing, add=False)
            distance *= 2

    def _fold(self, buffer: np.ndarray) -> bool:
        """Add the vectors of the ranks beyond the power of two to their partners'; True on a rank that goes on."""
        core = core_size(self.size)
        if self.rank >= core:
            self._send_pieces(self.rank - core, buffer)
            return False
        if self.rank + core < self.size:
            self._receive_pieces(self.rank + core, buffer, add=True)
        return True

    def _unfold(self, buffer: np.ndarray) -> None:
        core = core_size(self.size)
        if self.rank >= core:
            self._receive_pieces(self.rank - core, buffer, add=False)
        elif self.rank + core < self.size:
            self._send_pieces(self.rank + core, buffer)

    def _send_pieces(self, peer: int, array: np.ndarray, kind: int = frames.REDUCE) -> None:
        for piece in pieces(array):
            self._send(peer, kind, piece)

    def _receive_pieces(self, peer: int, array: np.ndarray, *, add: bool) -> None:
        for piece in pieces(array):
            received = self._receive(peer, frames.REDUCE, array.dtype, len(piece))
            if add:
                piece += received
            else:
                np.copyto(piece, received)

    def _broadcast(self, buffer: np.ndarray, root: int) -> None:
        """A binomial tree below the root: who has the data passes them on, at halving distances, piece by piece."""
        place = (self.rank - root) % self.size
        # The lowest set bit of the place is the distance to the parent; the root's is above all of them.
        reach = place & -place or 1 << (self.size - 1).bit_length()
        for piece in pieces(buffer):
            if place:
                parent = (self.rank - reach) % self.size
                np.copyto(piece, self._receive(parent, frames.BROADCAST, piece.dtype, len(piece)))
            distance = reach // 2
            while distance:
                if place + distance < self.size:
                    self._send((self.rank + distance) % self.size, frames.BROADCAST, piece)
                distance //= 2

    def _gather(self, array: np.ndarray) -> list[np.ndarray]:
        """Bruck's algorithm: step i passes what is held to the rank 2^i before and takes from the one 2^i after."""
        held = [array.copy()]  # of rank, rank + 1, ...
        distance = 1
        while distance < self.size:
            count = min(distance, self.size - distance)
            for part in held[:count]:
                self._send_array((self.rank - distance) % self.size, part)
            held += [self._receive_array((self.rank + distance) % self.size) for _ in range(count)]
            distance *= 2
        return [held[(rank - self.rank) % self.size] for rank in range(self.size)]
