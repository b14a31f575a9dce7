"""Workers as a parameter shard meets them, without a network: what they ask, what is lost on the way, what they say again.

A :class:`Member` follows the protocol of a training loop: it joins, asks for weights (one push ahead, unless all step together),
pushes, and leaves. Its connection can be cut, which loses what either side says, and made anew, when it says again what has not
been answered; it can die, and its next attempt begins.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from dsgd.data.arrays import pack, unpack
from dsgd.kernels.steps import Penalty
from dsgd.optim.rules import SGD
from dsgd.optim.schedules import Constant
from dsgd.server.events import Join, Leave, Pull, Push, Refused, Weights, Welcome
from dsgd.server.policy import Policy
from dsgd.server.pushed import Pushed
from dsgd.server.shard import ParameterShard
from dsgd.server.weights import RangeWeights

# Pushes that one run can tell apart: push number n takes one from weight n.
ROOM = 600


def new_shard(policy: Policy, size: int = ROOM) -> ParameterShard:
    """A shard whose weights tell which pushes have been applied, and how often."""
    free = Penalty(0.0, 0.0, False)
    return ParameterShard(
        RangeWeights(SGD(), Constant(1.0), free, 1, np.zeros(size + 1), None, None, sparse=True), policy
    )


def flag(number: int) -> Pushed:
    """Push number ``number``; of no rows, so that several are summed and not averaged."""
    return Pushed(np.array([number], np.int32), np.ones(1), rows=0)


def revived(shard: ParameterShard, snapshot: bytes, policy: Policy) -> ParameterShard:
    """A new shard that goes on from the bytes of a snapshot."""
    again = new_shard(policy, len(shard.weights.params) - 1)
    again.restore(*unpack(snapshot))
    return again


def kept(shard: ParameterShard) -> bytes:
    """A snapshot as it travels."""
    return pack(*shard.snapshot())


class Request(NamedTuple):
    """Something that will be answered: to join, to leave (neither), to push and to pull, or only to look at the weights."""

    push: Push | None = None
    wanted: int | None = None
    joins: bool = False
    looks: bool = False


class Member:
    """A worker, as long as it lives; ``clock`` is the number of its next push."""

    def __init__(self, number: int, together: bool):
        self.number, self.together = number, together
        self.attempt, self.clock = 0, 0
        self.connected, self.takes_part = True, False
        self.unanswered: deque[Request] = deque()
        self.ready: deque[Weights] = deque()

    @property
    def who(self) -> tuple[int, int]:
        return self.number, self.attempt

    def reborn(self) -> None:
        """The next attempt, which knows nothing."""
        attempt = self.attempt + 1
        self.__init__(self.number, self.together)
        self.attempt = attempt

    def events(self, request: Request):
        """What a request says to the shard."""
        if request.joins:
            yield Join(*self.who)
        elif request.push is None and request.wanted is None:
            yield Leave(*self.who)
        if request.push is not None:
            yield request.push
        if request.wanted is not None:
            yield Pull(*self.who, request.wanted, None)

    def beginning(self) -> list[Request]:
        """The requests with which a lot begins."""
        return [Request(wanted=self.clock + ahead) for ahead in range(1 if self.together else 2)]

    def step(self, number: int, last: bool) -> Request:
        """Push number ``number`` of the run with the oldest weights at hand, and pull; after the last push confirm it only."""
        weights = self.ready.popleft()
        clock = max(self.clock, weights.clock) if self.together else self.clock
        push = Push(*self.who, clock, weights.version, flag(number))
        self.clock = clock + 1
        return Request(push, clock if last else self.clock + (0 if self.together else 1))

    def hear(self, answer: Weights | Welcome | Refused) -> None:
        """Take an answer, which must be the one that is due."""
        assert not isinstance(answer, Refused), f"the living attempt {self.who} was refused"
        request = self.unanswered.popleft()
        assert request.joins == isinstance(answer, Welcome)
        if isinstance(answer, Welcome):
            self.clock, self.takes_part = answer.clock, True
        else:
            assert request.wanted is not None
            assert answer.clock == request.wanted or (self.together and answer.clock > request.wanted)
            if not request.looks and (request.push is None or request.wanted > request.push.clock):
                self.ready.append(answer)
