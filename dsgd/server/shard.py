"""A parameter shard: a state machine without I/O, into which messages go and out of which answers come.

It owns a range of the weights (:mod:`.weights`), counts versions and the workers' clocks, and lets nobody pull weights staler
than the policy allows (:mod:`.policy`). What it is told by an earlier attempt of a worker that has been started again is
refused; a push that it has had already is not applied again. Whoever hosts it carries events in and answers out, and needs to
know nothing else.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .events import Again, Answer, Event, Join, Leave, Pull, Push, Refused, Weights, Welcome
from .policy import Policy
from .pushed import combined
from .weights import RangeWeights

# Staleness from here on is counted together.
MOST_STALE = 63


@dataclass
class _Worker:
    """What a shard knows of a worker: the number of its next push, as far as that is known, and what it waits for."""

    attempt: int
    clock: int
    active: bool = False
    wanted: list[Pull] = field(default_factory=list)


class ParameterShard:
    """One shard.

    A worker takes part from when it joins, or pushes, until it leaves: the others may not be further ahead of it than the
    policy says. One that pulls without taking part is bound by the others, and binds nobody.

    Parameters
    ----------
    weights : RangeWeights
    policy : Policy
    scaled : bool
        Divide the rate of a push by its staleness (Zhang et al., "Staleness-aware async-SGD for distributed deep learning",
        IJCAI 2016).
    remembered : int
        How many of each worker's last pulls to remember: for delay compensation two, because one may be ahead of the push; one
        where workers push steps of their own, for what the others have done meanwhile.

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
    >>> from dsgd.server.pushed import Pushed
    >>> weights = RangeWeights(SGD(), Constant(1.0), Penalty(0.0, 0.0, False), 1, np.zeros(2), None, None, sparse=False)
    >>> shard = ParameterShard(weights, Policy())
    >>> shard.handle(Join(0, 0))
    [Welcome(worker=0, attempt=0, clock=0, version=0)]
    >>> shard.handle(Push(0, 0, 0, 0, Pushed(None, np.array([2.0, 0.0]), rows=1)))
    []
    >>> shard.handle(Pull(0, 0, 1, None))[0].values.tolist(), shard.version
    ([-2.0, 0.0], 1)
    """

    def __init__(self, weights: RangeWeights, policy: Policy, *, scaled: bool = False, remembered: int = 0):
        self.weights, self._policy = weights, policy
        self._scaled, self._remembered = scaled, remembered
        self._workers: dict[int, _Worker] = {}
        # By step, those that wait for it to be taken.
        self._pending: dict[int, dict[int, Push]] = {}
        self._pulled: dict[tuple[int, int], np.ndarray] = {}
        self.version = self.dropped = self.repeated = 0
        self._round = 0
        self.staleness = np.zeros(MOST_STALE + 1, np.int64)

    def handle(self, event: Event) -> list[Answer]:
        """Take an event; return the answers that can be given now, to whomever."""
        known = self._workers.get(event.worker)
        if known is not None and event.attempt < known.attempt:
            return [Refused(event.worker, event.attempt, known.attempt)]
        answers = self._meet(event)
        worker = self._workers[event.worker]
        if isinstance(event, Join):
            self._join(event.worker, worker)
            answers.append(Welcome(event.worker, event.attempt, worker.clock, self.version))
        elif isinstance(event, Leave):
            worker.active = False
        elif isinstance(event, Again):
            worker.wanted.clear()
        elif isinstance(event, Push):
            self._push(event, worker)
        else:
            self._pull(event, worker)
        self._close()
        return [*answers, *self._answers()]

    def expect(self, worker: int, attempt: int) -> None:
        """Count a worker in whose push is about to be handed over, so that its step is not taken without it."""
        known = self._workers.get(worker)
        if known is not None and known.attempt == attempt:
            known.active = True

    def waiting(self) -> list[tuple[int, int]]:
        """Workers whose pulls have not been answered, with their attempts."""
        return [(number, worker.attempt) for number, worker in self._workers.items() if worker.wanted]

    # ---- who takes part

    def _meet(self, event: Event) -> list[Answer]:
        """Take note of a worker that is new, or has been started again: its earlier attempt is told so if it waits.

        What that attempt has pushed stays, and the numbers of its pushes are not given again.
        """
        known = self._workers.get(event.worker)
        if known is not None and known.attempt == event.attempt:
            return []
        self._workers[event.worker] = _Worker(event.attempt, 0 if known is None else known.clock)
        for turn in range(self._remembered):
            self._pulled.pop((event.worker, turn), None)
        return [Refused(event.worker, known.attempt, event.attempt)] if known is not None and known.wanted else []

    def _join(self, number: int, worker: _Worker) -> None:
        """A worker that joins is as far as the slowest of the others, or as far as it was; it asks for everything anew."""
        worker.wanted.clear()
        if self._policy.together:
            first = self._round
        else:
            others = [other.clock for key, other in self._workers.items() if other.active and key != number]
            # Where nobody takes part, nobody who comes back is to wait for those who have come before him.
            first = min(others) if others else max(other.clock for other in self._workers.values())
        worker.clock, worker.active = max(worker.clock, first), True

    # ---- pushes

    def _push(self, event: Push, worker: _Worker) -> None:
        if event.clock < worker.clock:
            self.repeated += 1
            return
        worker.clock, worker.active = event.clock + 1, True
        if not self._policy.together:
            self._apply(event)
        elif event.clock < self._round:
            self.dropped += 1
            worker.clock = max(worker.clock, self._round)  # Nobody is asked for what has been done without him.
        else:
            self._pending.setdefault(event.clock, {})[event.worker] = event

    def _apply(self, event: Push) -> None:
        stale = max(0, self.version - event.version)
        scale = 1.0 / max(1, stale) if self._scaled else 1.0
        pulled = self._pulled.get((event.worker, event.clock % self._remembered)) if self._remembered else None
        self.weights.apply(event.pushed, scale, pulled)
        self.staleness[min(stale, MOST_STALE)] += 1
        self.version += 1

    def _close(self) -> None:
        """Take the steps for which enough workers have pushed; those who have left, or are further, are not waited for."""
        while self._policy.together:
            ready = self._pending.get(self._round)
            if not ready:
                if not self._skip():
                    return
                continue
            clocks = [worker.clock for worker in self._workers.values() if worker.active]
            allowed = len(clocks) - self._policy.needed(len(clocks)) if clocks else 0
            if sum(clock <= self._round for clock in clocks) > allowed:
                return
            self._step([ready[number] for number in sorted(ready)])
            del self._pending[self._round]
            self._round += 1

    def _step(self, pushes: list[Push]) -> None:
        self.weights.apply(combined([push.pushed for push in pushes], self.weights.outputs))
        for push in pushes:
            self.staleness[min(max(0, self.version - push.version), MOST_STALE)] += 1
        self.version += 1

    def _skip(self) -> bool:
        """Go on from where the workers are, when all are further than this shard: it has been made anew from a snapshot."""
        ahead = [worker.clock for worker in self._workers.values() if worker.active] + list(self._pending)
        if not ahead:
            ahead = [pull.clock for worker in self._workers.values() for pull in worker.wanted]
        if not ahead or min(ahead) <= self._round:
            return False
        self._round = min(ahead)
        return True

    # ---- pulls

    def _pull(self, event: Pull, worker: _Worker) -> None:
        # Together nobody pulls ahead of a push; otherwise at most one ahead.
        worker.clock = max(worker.clock, event.clock - (0 if self._policy.together else 1))
        worker.wanted.append(event)

    def _answers(self) -> list[Answer]:
        """Answer all pulls that may be answered now."""
        waiting = [number for number, worker in self._workers.items() if worker.wanted]
        if not waiting:
            return []
        clocks = sorted([worker.clock for worker in self._workers.values() if worker.active])
        answers: list[Answer] = []
        for number in sorted(waiting):
            worker = self._workers[number]
            others = clocks[1:] if worker.active and worker.clock == clocks[0] else clocks
            while worker.wanted and self._may(worker.wanted[0], others):
                answers.append(self._answer(worker.wanted.pop(0)))
        return answers

    def _may(self, pull: Pull, others: list[int]) -> bool:
        """Whether a pull may be answered, given the others' clocks in ascending order."""
        if self._policy.together:
            return pull.clock <= self._round
        return not others or self._policy.lets(pull.clock, others[0])

    def _answer(self, pull: Pull) -> Weights:
        clock = max(pull.clock, self._round) if self._policy.together else pull.clock
        weights = self.weights
        values = weights.values(pull.indices)
        if self._remembered:
            self._remember(pull.worker, clock % self._remembered, pull.indices, values)
        state = weights.state(pull.indices) if pull.state else ()
        return Weights(pull.worker, pull.attempt, clock, self.version, weights.step, values, state, weights.lowered)

    def _remember(self, worker: int, turn: int, indices: np.ndarray | None, values: np.ndarray) -> None:
        if indices is None:
            self._pulled[worker, turn] = values
            return
        if (worker, turn) not in self._pulled:
            self._pulled[worker, turn] = np.zeros_like(self.weights.params)
        pulled = self._pulled[worker, turn].reshape(-1, self.weights.outputs)
        pulled[indices] = values.reshape(len(indices), self.weights.outputs)

    # ---- snapshots

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and JSON-ready numbers, from which :meth:`restore` goes on: pushes that wait for their step are lost."""
        arrays, meta = self.weights.snapshot()
        clocks = {number: worker.clock for number, worker in self._workers.items()}
        for clock, pushes in self._pending.items():
            clocks |= {number: min(clock, clocks[number]) for number in pushes}
        workers = {str(number): [worker.attempt, clocks[number]] for number, worker in self._workers.items()}
        counted = {"version": self.version, "round": self._round, "dropped": self.dropped, "repeated": self.repeated}
        return {**arrays, "staleness": self.staleness.copy()}, {**meta, **counted, "workers": workers}

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` described; the workers take part when they say so, or push."""
        self.weights.restore(arrays, meta)
        self.staleness[:] = arrays["staleness"]
        self.version, self._round = int(meta["version"]), int(meta["round"])
        self.dropped, self.repeated = int(meta["dropped"]), int(meta["repeated"])
        self._pending.clear()
        self._pulled.clear()
        self._workers = {
            int(number): _Worker(int(attempt), int(clock)) for number, (attempt, clock) in meta["workers"].items()
        }
