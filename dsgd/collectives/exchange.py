"""The all-to-all exchange: in a round every rank has something else for each of the others, of any length.

Every rank is connected with every other by the network, also on one machine: it is for what passes once, before training, and
must not pass through ranks that it is not for, as in a ring. A round ends when a rank has something from everybody, so that no
rank is more than a round ahead of another, and what is under way is two rounds' payloads at most.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from ..errors import ConfigError, DSGDError, WorkerLost
from ..transport import frames
from ..transport.channel import Channel
from ..transport.endpoint import Security
from ..transport.keys import FitKeys
from .base import Collective
from .heartbeat import Heartbeat
from .network import pieces

# Bytes of a payload at most: checked before it is sent, and before memory is allocated for it.
LONGEST = 1 << 30


class Exchange:
    """One rank's part; :func:`exchanging` makes it.

    Parameters
    ----------
    channel : Channel
        Connected to all other ranks; closed with the exchange.
    size : int
        Ranks, numbered as the channel's.
    """

    def __init__(self, channel: Channel, size: int):
        self.rank, self.size = channel.rank, size
        self._channel = channel
        self._lost: str | None = None
        self._rounds = 0
        self._heart = Heartbeat(self._give_sign, lambda: self._rounds, channel.deadline)

    def swap(self, payloads: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give every rank its payload, and return what every rank had for this one.

        Parameters
        ----------
        payloads : sequence of ndarray of shape (m,), uint8
            One a rank, of other lengths maybe; this rank's own is handed through. They must not change afterwards.

        Returns
        -------
        list of ndarray of shape (m,), uint8
            In rank order.

        Raises
        ------
        ConfigError
            For payloads that are too many, too few or too long; nothing has been sent then.
        WorkerLost
            When a rank is dead, has given up, or is silent past the deadline.
        """
        if len(payloads) != self.size or any(p.dtype != np.uint8 or p.ndim != 1 for p in payloads):
            raise ConfigError(f"an exchange of {self.size} ranks takes so many arrays of bytes, one for each of them")
        if max(map(len, payloads)) > LONGEST:
            raise ConfigError(
                f"a payload of {max(map(len, payloads)):,} bytes is too long to be exchanged; it may have {LONGEST:,}"
            )
        with self._heart.turn:
            if self._lost is not None:
                raise WorkerLost(self._lost)
            self._rounds += 1
            try:
                return self._swap(payloads)
            except BaseException as error:
                self._fail(str(error) or type(error).__name__)
                raise

    def _swap(self, payloads: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = list(payloads)
        for step in range(1, self.size):
            # Everybody begins with another one, so that nobody is sent to by all at once.
            self._send((self.rank + step) % self.size, payloads[(self.rank + step) % self.size])
        for step in range(1, self.size):
            found[(self.rank - step) % self.size] = self._receive((self.rank - step) % self.size)
        self._channel.flush()
        return found

    def _send(self, peer: int, payload: np.ndarray) -> None:
        self._channel.send(peer, frames.EXCHANGE, np.array([len(payload)], np.int64))
        for piece in pieces(payload):
            self._channel.send(peer, frames.EXCHANGE, piece)

    def _receive(self, peer: int) -> np.ndarray:
        length = int(self._channel.receive(peer, frames.EXCHANGE, np.dtype(np.int64), 1)[0])
        if not 0 <= length <= LONGEST:
            raise DSGDError(f"rank {peer} announced a payload of {length} bytes; at most {LONGEST} can be exchanged")
        payload = np.empty(length, np.uint8)
        for piece in pieces(payload):
            piece[:] = self._channel.receive(peer, frames.EXCHANGE, piece.dtype, len(piece))
        return payload

    def working(self) -> AbstractContextManager[Callable[[], None]]:
        """Give signs of life between rounds; see :class:`dsgd.collectives.Collective`."""
        return self._heart.working()

    def _give_sign(self) -> None:
        if self._lost is None:
            self._channel.give_sign()

    def _fail(self, reason: str) -> None:
        """Take this rank out for good, and tell the others why."""
        if self._lost is None:
            self._lost = reason
            self._channel.abort(reason)

    def close(self, reason: str | None = None) -> None:
        """Close the connections; with a ``reason``, because this rank gives up, which the others are told."""
        with self._heart.turn:
            if reason is not None:
                self._fail(reason)
            self._lost = self._lost or "this exchange is closed"
            self._channel.close()


@contextmanager
def exchanging(
    collective: Collective,
    *,
    host: str,
    keys: FitKeys,
    encrypt: bool = True,
    deadline: float = 30.0,
    port_range: tuple[int, int] | None = None,
) -> Iterator[Exchange]:
    """Connect the ranks of a collective with each other, for as long as the block runs.

    Parameters
    ----------
    collective : Collective
        By which the ranks tell each other where they listen, and wait for each other in the end; all of them call this, at the
        same place.
    host : str
        Address, or name of a network interface, of this machine at which to listen and be reached.
    keys, encrypt, deadline, port_range
        As in :func:`dsgd.collectives.connect`.

    Yields
    ------
    Exchange
        With the collective's ranks.

    Raises
    ------
    ConfigError
        When no port is free.
    WorkerLost
        When a rank cannot be reached within the deadline.
    """
    channel = Channel(collective.rank, Security(keys, encrypt), host=host, port_range=port_range, deadline=deadline)
    exchange = Exchange(channel, collective.size)
    try:
        addresses = [address.decode() for address in collective.allgather(channel.address.encode())]
        channel.connect({rank: address for rank, address in enumerate(addresses) if rank != collective.rank})
        yield exchange
        # Who still waits for another's payload would take it for lost if this rank went.
        collective.barrier()
    except BaseException as error:
        exchange.close(str(error) or type(error).__name__)
        raise
    finally:
        exchange.close()
