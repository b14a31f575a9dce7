"""A worker's way through a lot: mini-batch by mini-batch, weights in, gradient out.

While a gradient is computed, the weights for the next one are already on their way, unless all workers step together. Where data
are sparse, only the weights that a mini-batch touches travel, and only their gradients.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...kernels.coordinates import take_listed
from ...objective.passes import Pass
from ...server.exchange import Exchange, Received, Update
from ..batches import Piece, batches, steps_of_epoch
from .lots import OpenLot
from .start import Setup
from .touched import Touched

_NONE = np.zeros(0, np.int32)


class _Asked(NamedTuple):
    """A mini-batch whose weights have been asked for; ``pieces`` is None for an answer that nobody needs."""

    pieces: list[Piece] | None
    indices: np.ndarray | None


class Steps:
    """Takes the steps of one worker.

    Parameters
    ----------
    exchange : Exchange
    work : Pass
    setup : Setup
    together : bool
        Whether all workers step together, so that no weights can be asked for ahead.

    Attributes
    ----------
    clock : int
        Number of the next push.
    """

    def __init__(self, exchange: Exchange, work: Pass, setup: Setup, together: bool):
        self._exchange, self._work, self._recipe = exchange, work, setup.recipe
        self._ahead = 0 if together else 1
        self.clock = 0
        problem = work.problem
        self.params = np.zeros(problem.size, problem.dtype)
        self._touched = Touched(work) if setup.listed else None

    def train(self, lot: OpenLot, epoch: int) -> float:
        """Train on a lot's rows once; return their sum of weight x loss, each at the weights of its step."""
        assert lot.share is not None
        if not lot.rows:
            return 0.0
        drawn = epoch if self._recipe.shuffle else None
        count = steps_of_epoch(lot.rows, self._recipe.batch_rows)
        pending = iter(batches(lot.share.training(drawn), self._work.run, lot.rows, count))
        asked: deque[_Asked] = deque()
        for ahead in range(1 + self._ahead):
            self._ask(pending, asked, None, self.clock + ahead)
        loss = 0.0
        while asked:
            batch = asked.popleft()
            received = self._exchange.receive(self.params)
            if batch.pieces is not None:
                loss += self._step(batch, received, pending, asked)
        return loss

    def validate(self, lot: OpenLot) -> tuple[float, float]:
        """Sum of weight x loss over a lot's held-out rows at the present weights, and the sum of the weights."""
        assert lot.share is not None
        self._exchange.send(None, self.clock, None)
        self._exchange.receive(self.params)
        return self._work.loss(lot.share.validation(), self.params)

    def _step(self, batch: _Asked, received: Received, pending: Iterator[list[Piece]], asked: deque[_Asked]) -> float:
        assert batch.pieces is not None
        loss, rows = 0.0, 0
        for arrays, starts, begin, end in batch.pieces:
            part, count = self._work.add_batch(arrays, starts, begin, end, self.params)
            loss += part
            rows += count
        # A step that was taken without this worker is none of its any more.
        clock = max(self.clock, received.clock) if not self._ahead else self.clock
        self.clock = clock + 1
        update = Update(clock, received.versions, batch.indices, [self._gradient(batch.indices)], rows)
        self._ask(pending, asked, update, self.clock + self._ahead)
        return loss

    def _ask(self, pending: Iterator[list[Piece]], asked: deque[_Asked], update: Update | None, wanted: int) -> None:
        """Push, and ask for the weights of the next mini-batch; after the last one, only have the push confirmed."""
        pieces = next(pending, None)
        if pieces is not None:
            indices = None if self._touched is None else self._touched.of(pieces)
            self._exchange.send(update, wanted, indices)
            asked.append(_Asked(pieces, indices))
        elif update is not None:
            self._exchange.send(update, update.clock, _NONE)
            asked.append(_Asked(None, None))

    def _gradient(self, indices: np.ndarray | None) -> np.ndarray:
        """The gradient, of listed features or of all, taken out of the buffer."""
        work, problem = self._work, self._work.problem
        work.unfold(work.gradient)
        if indices is None:
            gradient = work.gradient.copy()
            work.gradient[:] = 0
            return gradient
        values = np.empty((len(indices), problem.outputs), problem.dtype)
        take_listed(work.gradient, indices, problem.outputs, values)
        return values.ravel()
