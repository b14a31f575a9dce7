"""Steps as a worker takes them: a vector's changes out to all shards, weights in from all of them.

What is pushed and what is pulled next travel in one message to each shard; weights may be asked for while a gradient is still
being computed, and are written to the worker's own vector when they are received.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import wire
from .client import Client
from .ranges import Ranges
from .translate import ALL, FIRST, LISTED, PULL, PUSH, SECOND, STATE
from .wire import Message


class Update(NamedTuple):
    """A push: see :class:`dsgd.server.weights.Pushed`, with features of the whole model.

    Attributes
    ----------
    clock : int
        Its number.
    versions : sequence of int
        Of the weights that it was computed with, shard by shard.
    indices : ndarray of shape (m,), int32, ascending, or None
    columns : sequence of ndarray
        The values; then changes of the rule's first state, and of the second.
    rows, steps : int
    """

    clock: int
    versions: Sequence[int]
    indices: np.ndarray | None
    columns: Sequence[np.ndarray]
    rows: int
    steps: int = 0


class Received(NamedTuple):
    """What has been pulled: the push that it is for; versions and steps, shard by shard; how often the rate was divided."""

    clock: int
    versions: list[int]
    steps: list[int]
    lowered: int


class Exchange:
    """The shards, as a worker's training loop sees them.

    Parameters
    ----------
    client : Client
    ranges : Ranges
    state : bool
        Whether the rule's state is pulled with the weights.
    """

    def __init__(self, client: Client, ranges: Ranges, state: bool = False):
        self._client, self._ranges = client, ranges
        self._flags = PULL | (STATE if state else 0)
        self._asked: deque[np.ndarray | None] = deque()

    def send(self, update: Update | None, wanted: int, indices: np.ndarray | None) -> None:
        """Push, and ask for the weights for push number ``wanted``: of ascending features, or of all (None)."""
        pulls = None if indices is None else self._ranges.listed(indices)[0]
        self._asked.append(indices)
        for number, message in enumerate(self._messages(update)):
            flags = message.flags | self._flags | (ALL if pulls is None else 0)
            arrays = list(message.arrays) + ([] if pulls is None else [pulls[number]])
            self._client.request(
                self._client.shards[number], message._replace(flags=flags, wanted=wanted, arrays=arrays)
            )

    def push(self, update: Update) -> None:
        """Push, ask for nothing, and wait until all shards have it."""
        for shard, message in zip(self._client.shards, self._messages(update), strict=True):
            self._client.request(shard, message)
        for shard in self._client.shards:
            self._client.answer(shard)

    def receive(self, params: np.ndarray, *state: np.ndarray) -> Received:
        """Wait for what was asked for first; write it to ``params``, of shape ((d + 1) k,), and to the rule's ``state``."""
        indices, k = self._asked.popleft(), self._ranges.outputs
        cuts = None if indices is None else self._ranges.cuts(indices)
        found = []
        for number, shard in enumerate(self._client.shards):
            message = self._client.answer(shard)
            found.append(message)
            for values, vector in zip(message.arrays, (params, *state), strict=False):
                if indices is None or cuts is None:
                    self._ranges.put(values, number, vector)
                else:
                    own = indices[cuts[number] : cuts[number + 1]]
                    vector.reshape(-1, k)[own] = values.reshape(-1, k)
        return Received(
            max(message.clock for message in found),
            [message.version for message in found],
            [message.step for message in found],
            min(message.rows for message in found),
        )

    def _messages(self, update: Update | None) -> list[Message]:
        worker, attempt = self._client.worker, self._client.attempt
        shards = range(self._ranges.shards)
        if update is None:
            return [Message(wire.STEP, worker, attempt) for _ in shards]
        flags = PUSH | (FIRST if len(update.columns) > 1 else 0) | (SECOND if len(update.columns) > 2 else 0)
        if update.indices is None:
            columns = [self._ranges.parts(column) for column in update.columns]
            arrays = [[column[s] for column in columns] for s in shards]
        else:
            flags |= LISTED
            lists, columns = self._ranges.listed(update.indices, update.columns)
            arrays = [[lists[s], *(column[s] for column in columns)] for s in shards]
        return [
            Message(
                wire.STEP, worker, attempt, update.clock, 0, update.versions[s], update.steps, update.rows, flags, arrays[s]
            )
            for s in shards
        ]  # fmt: skip
