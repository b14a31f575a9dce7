"""The state of all shards, as the lead puts it together at the end of an epoch: weights, penalty, and how stale pushes were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.arrays import unpack
from ...server import wire
from ...server.client import Client
from ...server.shard import MOST_STALE, ParameterShard
from ...server.wire import Message
from .start import Setup

_NAMES = ("params", "first", "second")


@dataclass(frozen=True)
class Collected:
    """All shards' weights and the rule's state, and what they count.

    Attributes
    ----------
    params : ndarray of shape ((d + 1) k,)
    first, second : ndarray of the same shape, or None
    penalty : float
    step : int
        Of the first shard.
    """

    params: np.ndarray
    first: np.ndarray | None
    second: np.ndarray | None
    penalty: float
    step: int


class States:
    """Asks the shards.

    Parameters
    ----------
    client : Client
        Of all shards but the first, which is the lead's own.
    attempt : int
        Of the lead.
    """

    def __init__(self, client: Client, attempt: int):
        self._client, self._attempt = client, attempt
        self._counts = self._counted = np.zeros(MOST_STALE + 1, np.int64), 0

    def collect(self, first: ParameterShard, setup: Setup, lowered: int) -> Collected:
        """Put the shards' states together; they are told how often the rate has been lowered."""
        for shard in self._client.shards:
            ask = Message(wire.STATE, self._client.worker, self._attempt, step=lowered, flags=1)
            self._client.request(shard, ask)
        first.weights.lower(lowered)
        arrays, meta = first.snapshot()
        parts, penalty = [arrays], first.weights.penalty_value()
        for shard in self._client.shards:
            more, said = unpack(self._client.answer(shard).arrays[0].data, f"the state of shard {shard}")
            parts.append(more)
            penalty += float(said["penalty"])
        self._counts = arrays["staleness"].copy(), int(meta["dropped"])
        params, slot, other = (_joined(setup, name, parts) for name in _NAMES)
        assert params is not None
        return Collected(params, slot, other, penalty, int(meta["step"]))

    def staleness(self) -> dict[str, Any]:
        """How stale the first shard's pushes were since this was asked before, and how many it dropped, for the history."""
        (counts, dropped), (before, dropped_before) = self._counts, self._counted
        self._counted = self._counts
        new = np.maximum(counts - before, 0)  # After a death there may be fewer.
        mean = float(new @ np.arange(len(new)) / new.sum()) if new.any() else None
        return {
            "staleness": mean, "staleness_counts": np.trim_zeros(new, "b").tolist(),
            "dropped": max(0, dropped - dropped_before),
        }  # fmt: skip


def _joined(setup: Setup, name: str, parts: Sequence[dict[str, np.ndarray]]) -> np.ndarray | None:
    if name not in parts[0]:
        return None
    problem = setup.agreed.problem
    whole = np.zeros(problem.size, problem.dtype)
    for shard, arrays in enumerate(parts):
        setup.ranges.put(arrays[name], shard, whole)
    return whole
