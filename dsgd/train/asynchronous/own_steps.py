"""A worker's way through a lot by steps of its own: weights in, many steps, changes out.

Weights and the rule's state are pulled, the optimiser goes over some thousand rows as on one machine, on as many threads as the
worker has, and what it has changed is pushed, the penalty of its steps included. That of weights that no row touches is
left to the shards.
"""

from typing import Any

import numpy as np

from ...objective.passes import Pass
from ...optim.schedules import lowered
from ...server.exchange import Exchange, Received, Update
from ..batches import Piece, batches, steps_of_epoch
from ..hogwild import Hogwild
from .lots import OpenLot
from .start import Setup
from .touched import Touched

_NONE = np.zeros(0, np.int32)


class OwnSteps:
    """Takes steps that the other workers hear of only now and then.

    Parameters
    ----------
    exchange : Exchange
        One that pulls the rule's state, too.
    work : Pass
    setup : Setup
    threads : int
    bounded : bool
        Whether a pull may have to wait for other workers.
    """

    def __init__(self, exchange: Exchange, work: Pass, setup: Setup, threads: int, bounded: bool):
        self._exchange, self._work, self._setup, self._bounded = exchange, work, setup, bounded
        self._clock = 0
        recipe, problem = setup.recipe, work.problem
        passes = [Pass(problem, setup.agreed.longest, not recipe.shuffle) for _ in range(max(1, threads))]
        nothing = np.zeros(problem.size, problem.dtype)
        first, second = recipe.initial_state(nothing)
        self._local = Hogwild(
            recipe.rule, recipe.schedule, passes, nothing, first, second, online=recipe.online, sparse=recipe.sparse,
            batch_runs=max(1, recipe.batch_rows // work.run), constant_rate=recipe.constant_rate,
        )  # fmt: skip
        # What the steps began with, for the differences.
        self._before = [np.zeros_like(vector) for vector in self._vectors()]
        self._touched = Touched(work) if setup.listed else None
        self._lowered = 0
        # What was pulled last, and whether no step has been taken from it yet.
        self._received, self._fresh = Received(0, [], [], 0), False

    @property
    def clock(self) -> int:
        """Number of the next push."""
        return self._clock

    @clock.setter
    def clock(self, clock: int) -> None:
        # Who joins, or joins again, is behind the others.
        self._clock, self._fresh = clock, False

    def train(self, lot: OpenLot, epoch: int) -> float:
        """Train on a lot's rows once; return their sum of weight x loss, each at the weights of its step."""
        assert lot.share is not None
        if not lot.rows:
            return 0.0
        drawn = epoch if self._setup.recipe.shuffle else None
        pushes = steps_of_epoch(lot.rows, self._setup.push_rows)
        update, loss = None, 0.0
        for pieces in batches(lot.share.training(drawn), self._work.run, lot.rows, pushes):
            if pieces:
                part, update = self._push_after(update, pieces)
                loss += part
        if update is not None:
            self._end(update)
        return loss

    def validate(self, lot: OpenLot) -> tuple[float, float]:
        """Sum of weight x loss over a lot's held-out rows at the present weights, and the sum of the weights."""
        assert lot.share is not None
        self._pull(None, None)
        return self._work.loss(lot.share.validation(), self._local.params)

    def _end(self, update: Update) -> None:
        """Push a lot's last changes, and wait until the shards have them."""
        if self._bounded or self._touched is not None:
            # Nothing that would have to wait for others, and no features: the next lot's are not known.
            self._exchange.send(update, update.clock, _NONE)
            self._exchange.receive(*self._vectors())
        else:
            self._pull(update, None)

    def _pull(self, update: Update | None, indices: np.ndarray | None) -> None:
        """Push, if there is something to, and pull."""
        self._exchange.send(update, self.clock, indices)
        self._received = self._exchange.receive(*self._vectors())
        self._fresh = indices is None

    def _push_after(self, update: Update | None, pieces: list[Piece]) -> tuple[float, Update]:
        """Push what the steps before have changed, pull, and take the steps of these rows; return their loss, and their push."""
        indices = None if self._touched is None else self._touched.of(pieces)
        if update is not None or not self._fresh:
            self._pull(update, indices)
        received, self._fresh = self._received, False
        places = self._places(indices)
        for before, now in zip(self._before, self._vectors(), strict=True):
            before[places] = now[places]
        loss, rows = self._step(pieces, indices, received)
        changes = [now[places] - before[places] for before, now in zip(self._before, self._vectors(), strict=True)]
        steps = self._local.step - max(received.steps)
        self._clock += 1
        return loss, Update(self._clock - 1, received.versions, indices, changes, rows, steps)

    def _step(self, pieces: list[Piece], indices: np.ndarray | None, received: Received) -> tuple[float, int]:
        local = self._local
        while self._lowered < received.lowered:
            self._lowered += 1
            local.schedule = lowered(local.schedule)
        local.restart(max(received.steps))
        loss, rows = local.run((arrays, starts[begin:end]) for arrays, starts, begin, end in pieces)
        local.settle() if indices is None else local.settle_only(indices)
        return loss, rows

    def _vectors(self) -> list[np.ndarray]:
        local = self._local
        return [vector for vector in (local.params, local.first, local.second) if vector is not None]

    def _places(self, indices: np.ndarray | None) -> Any:
        k = self._work.problem.outputs
        if indices is None:
            return slice(None)
        return indices if k == 1 else (indices[:, None].astype(np.int64) * k + np.arange(k)).ravel()
