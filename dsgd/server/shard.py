"""A parameter shard: a state machine without I/O, into which messages go and out of which answers come.

It owns a range of the weights (:mod:`.weights`), counts versions and the workers' clocks, and lets nobody pull weights staler
than the policy allows (:mod:`.policy`). What it is told by an earlier attempt of a worker that has been started again is
refused; a push that it has had already is not applied again. Whoever hosts it carries events in and answers out, and needs to
know nothing else.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .policy import Policy
from .weights import Pushed, RangeWeights

# Staleness from here on is counted together.
MOST_STALE = 63


class Join(NamedTuple):
    """A worker takes part from now on, or again."""

    worker: int
    attempt: int


class Leave(NamedTuple):
    """A worker takes no further part until it joins again: it has nothing to do, or is lost."""

    worker: int
    attempt: int


class Push(NamedTuple):
    """A worker's push number ``clock``, computed with the weights of ``version``."""

    worker: int
    attempt: int
    clock: int
    version: int
    pushed: Pushed


class Pull(NamedTuple):
    """A worker wants weights (of ``indices``, or all) to compute its push number ``clock`` with."""

    worker: int
    attempt: int
    clock: int
    indices: np.ndarray | None


Event = Join | Leave | Push | Pull


class Weights(NamedTuple):
    """The answer to a pull.

    Attributes
    ----------
    worker, attempt : int
        To whom.
    clock : int
        The push that the worker is to compute with these: later than the one that it asked for, when that step has been taken
        without it.
    version, step : int
        Of the weights; and optimiser steps taken, by which rates are scheduled.
    values : ndarray
        As :meth:`dsgd.server.weights.RangeWeights.values`.
    """

    worker: int
    attempt: int
    clock: int
    version: int
    step: int
    values: np.ndarray


class Welcome(NamedTuple):
    """The answer to a worker that joins: the number of its next push here."""

    worker: int
    attempt: int
    clock: int
    version: int


class Refused(NamedTuple):
    """The answer to an attempt that has been overtaken by a later one."""

    worker: int
    attempt: int
    latest: int


Answer = Weights | Welcome | Refused


@dataclass
class _Worker:
    """What a shard knows of a worker."""

    attempt: int
    clock: int
    active: bool = True
    wanted: list[Pull] = field(default_factory=list)


class ParameterShard:
    """One shard.

    Parameters
    ----------
    weights : RangeWeights
    policy : Policy
    scaled : bool
        Divide the rate of a push by its staleness (Zhang et al., "Staleness-aware async-SGD for distributed deep learning",
        IJCAI 2016).
    compensated : bool
        Remember what each worker has pulled, for delay compensation.

    Attributes
    ----------
    version : int
        Pushes applied, or steps taken together.
    staleness : ndarray of shape (64,), int64
        Pushes applied by their staleness: how many versions came between the pull and the push. The last counts all beyond.
    dropped, repeated : int
        Pushes that came after their step was taken; pushes that came a second time.

    Examples
    --------
    >>> from dsgd.kernels.steps import Penalty
    >>> from dsgd.optim.rules import SGD
    >>> from dsgd.optim.schedules import Constant
    >>> weights = RangeWeights(SGD(), Constant(1.0), Penalty(0.0, 0.0, False), 1, np.zeros(2), None, None, sparse=False)
    >>> shard = ParameterShard(weights, Policy())
    >>> shard.handle(Join(0, 0))
    [Welcome(worker=0, attempt=0, clock=0, version=0)]
    >>> shard.handle(Push(0, 0, 0, 0, Pushed(None, np.array([2.0, 0.0]), rows=1)))
    []
    >>> shard.handle(Pull(0, 0, 1, None))[0].values.tolist(), shard.version
    ([-2.0, 0.0], 1)
    """

    def __init__(self, weights: RangeWeights, policy: Policy, *, scaled: bool = False, compensated: bool = False):
        self.weights, self._policy = weights, policy
        self._scaled, self._compensated = scaled, compensated
        self._workers: dict[int, _Worker] = {}
        self._pending: dict[int, Push] = {}
        self._pulled: dict[tuple[int, int], np.ndarray] = {}
        self.version = self.dropped = self.repeated = 0
        self._round = 0
        self.staleness = np.zeros(MOST_STALE + 1, np.int64)

    def handle(self, event: Event) -> list[Answer]:
        """Take an event; return the answers that can be given now, to whomever."""
        known = self._workers.get(event.worker)
        if known is not None and event.attempt < known.attempt:
            return [Refused(event.worker, event.attempt, known.attempt)]
        if isinstance(event, Join):
            return self._join(event)
        if known is None or event.attempt > known.attempt:
            # Whoever speaks without having joined has met this shard before it was made anew.
            self._join(Join(event.worker, event.attempt))
        if isinstance(event, Leave):
            return self._leave(event)
        if isinstance(event, Push):
            return self._push(event)
        return self._pull(event)

    # ---- who takes part

    def _join(self, event: Join) -> list[Answer]:
        known = self._workers.get(event.worker)
        again = known is not None and known.attempt == event.attempt
        clock = self._first_clock(event.worker, 0 if known is None else known.clock)
        if known is not None and not again:
            self._pending.pop(event.worker, None)
        if known is None or not again or not known.active:
            self._workers[event.worker] = _Worker(event.attempt, clock)
        else:
            clock = known.clock
            known.wanted.clear()  # It asks again for what it has not been given.
        return [Welcome(event.worker, event.attempt, clock, self.version), *self._answers()]

    def _first_clock(self, worker: int, clock: int) -> int:
        """A worker that joins is as far as the slowest of the others, or as far as it was."""
        if self._policy.together:
            return max(clock, self._round)
        others = [other.clock for number, other in self._workers.items() if other.active and number != worker]
        return max(clock, min(others, default=clock))

    def _leave(self, event: Leave) -> list[Answer]:
        worker = self._workers[event.worker]
        worker.active = False
        worker.wanted.clear()
        self._close()
        return self._answers()

    # ---- pushes

    def _push(self, event: Push) -> list[Answer]:
        worker = self._workers[event.worker]
        if self._policy.together and event.clock < self._round:
            self.dropped += event.clock >= worker.clock
            self.repeated += event.clock < worker.clock
            worker.clock = max(worker.clock, event.clock + 1)
            return []
        if event.clock < worker.clock:
            self.repeated += 1
            return []
        worker.clock, worker.active = event.clock + 1, True
        if self._policy.together:
            self._pending[event.worker] = event
            self._close()
        else:
            self._apply(event)
        return self._answers()

    def _apply(self, event: Push) -> None:
        stale = max(0, self.version - event.version)
        scale = 1.0 / max(1, stale) if self._scaled else 1.0
        self.weights.apply(event.pushed, scale, self._pulled.get((event.worker, event.clock % 2)))
        self.staleness[min(stale, MOST_STALE)] += 1
        self.version += 1

    def _close(self) -> None:
        """Take the steps for which enough workers have pushed; those who have left count no more."""
        while self._policy.together and (pushes := self._complete()):
            self.weights.apply(self.weights.combined([push.pushed for push in pushes]))
            for push in pushes:
                self.staleness[min(max(0, self.version - push.version), MOST_STALE)] += 1
            self.version += 1
            self._round += 1

    def _complete(self) -> list[Push]:
        """The pushes of the present round, taken out, when enough have come; else none."""
        self._catch_up()
        active = [number for number, worker in self._workers.items() if worker.active]
        # A push of a worker that has left counts: its rows are gone from its queue.
        ready = sorted(number for number, push in self._pending.items() if push.clock == self._round)
        # A worker may be further, because another shard has taken this step without it, or before it joined here.
        missing = [
            number for number in active if number not in self._pending and self._workers[number].clock <= self._round
        ]
        allowed = len(active) - self._policy.needed(len(active)) if active else 0
        return [self._pending.pop(number) for number in ready] if len(missing) <= allowed else []

    def _catch_up(self) -> None:
        """Go on from where the workers are, when all are further than this shard: it has been made anew from a snapshot."""
        ahead = [worker.clock - (number in self._pending) for number, worker in self._workers.items() if worker.active]
        if self._policy.together and ahead:
            self._round = max(self._round, min(ahead))

    # ---- pulls

    def _pull(self, event: Pull) -> list[Answer]:
        worker = self._workers[event.worker]
        worker.active = True
        worker.wanted.append(event)
        if self._policy.together:  # Nobody pulls ahead of a push there.
            worker.clock = max(worker.clock, event.clock)
            self._close()
        return self._answers()

    def _answers(self) -> list[Answer]:
        """Answer all pulls that may be answered now."""
        answers: list[Answer] = []
        for number in sorted(self._workers):
            worker = self._workers[number]
            while worker.wanted and self._may(number, worker.wanted[0]):
                answers.append(self._answer(worker.wanted.pop(0)))
        return answers

    def _may(self, number: int, pull: Pull) -> bool:
        if self._policy.together:
            return pull.clock <= self._round
        if self._policy.staleness is None:
            return True
        others = [worker.clock for other, worker in self._workers.items() if worker.active and other != number]
        return self._policy.lets(pull.clock, min(others, default=pull.clock))

    def _answer(self, pull: Pull) -> Weights:
        clock = max(pull.clock, self._round) if self._policy.together else pull.clock
        values = self.weights.values(pull.indices)
        if self._compensated:
            self._remember(pull.worker, clock, pull.indices, values)
        return Weights(pull.worker, pull.attempt, clock, self.version, self.weights.step, values)

    def _remember(self, worker: int, clock: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        """What a worker has pulled for its even pushes, and for its odd ones: it may pull for the next before it pushes."""
        if indices is None:
            self._pulled[worker, clock % 2] = values
            return
        if (worker, clock % 2) not in self._pulled:
            self._pulled[worker, clock % 2] = np.zeros_like(self.weights.params)
        pulled = self._pulled[worker, clock % 2].reshape(-1, self.weights.outputs)
        pulled[indices] = values.reshape(len(indices), self.weights.outputs)

    # ---- snapshots

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and JSON-ready numbers, from which :meth:`restore` goes on: pushes that wait for their step are lost."""
        arrays, meta = self.weights.snapshot()
        clocks = {
            str(number): [worker.attempt, worker.clock if number not in self._pending else worker.clock - 1]
            for number, worker in self._workers.items()
        }
        counted = {"version": self.version, "round": self._round, "dropped": self.dropped, "repeated": self.repeated}
        return {**arrays, "staleness": self.staleness.copy()}, {**meta, **counted, "workers": clocks}

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` described; the workers take part when they say so, or push."""
        self.weights.restore(arrays, meta)
        self.staleness[:] = arrays["staleness"]
        self.version, self._round = int(meta["version"]), int(meta["round"])
        self.dropped, self.repeated = int(meta["dropped"]), int(meta["repeated"])
        self._pending.clear()
        self._pulled.clear()
        self._workers = {
            int(number): _Worker(int(attempt), int(clock), active=False)
            for number, (attempt, clock) in meta["workers"].items()
        }
