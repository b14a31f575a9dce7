"""Which shard owns which weights: contiguous ranges of features with about the same load."""

from collections.abc import Sequence

import numpy as np

# Stretches of features whose load is measured together.
STRETCHES = 1024


def stretches(features: int) -> np.ndarray:
    """Edges of the stretches of features whose load is measured together; shape (s + 1,), int64.

    Examples
    --------
    >>> stretches(3).tolist(), len(stretches(10**6)), int(stretches(10**6)[-1])
    ([0, 1, 2, 3], 1025, 1000000)
    """
    count = min(features, STRETCHES)
    return np.arange(count + 1, dtype=np.int64) * features // count


def cut(load: np.ndarray, shards: int, features: int | None = None) -> np.ndarray:
    """Edges of the shards' ranges among ``d + 1`` features, the last of which is the intercept.

    Parameters
    ----------
    load : ndarray of shape (d + 1,) or (s,)
        How often each feature, or each of the :func:`stretches` of them, is pushed and pulled, in any unit; one that never is
        still takes room, and counts for a thousandth of the average.
    shards : int
    features : int, optional
        ``d + 1``, with the load of stretches.

    Returns
    -------
    ndarray of shape (shards + 1,), int64
        Shard ``s`` owns the features ``edges[s]`` to ``edges[s + 1]``; none is empty as long as there are enough features.

    Examples
    --------
    >>> cut(np.ones(9), 3).tolist(), cut(np.array([6.0, 1, 1, 1, 1, 1, 1]), 2).tolist()
    ([0, 3, 6, 9], [0, 1, 7])
    """
    features = len(load) if features is None else features
    load, places = (
        np.asarray(load, np.float64),
        stretches(features) if len(load) < features else np.arange(features + 1),
    )
    average = load.sum() / features or 1.0
    total = np.concatenate([[0.0], np.cumsum(load + average / 1000 * np.diff(places))])
    wanted = total[-1] * np.arange(1, shards) / shards
    # The edge that is nearest to the wanted load; within a stretch it is spread evenly.
    inner = np.floor(np.interp(wanted, total, places) + 0.5)
    edges = np.concatenate([[0], inner, [features]]).astype(np.int64)
    if features >= shards:
        for s in range(1, shards):
            edges[s] = min(max(edges[s], edges[s - 1] + 1), features - (shards - s))
    return edges


class Ranges:
    """The shards' ranges, and the way of a vector to them and back.

    A shard's vectors end with the ``k`` numbers of an intercept, which only the last shard has: the others' are zero.

    Parameters
    ----------
    edges : ndarray of shape (shards + 1,), int64
        As :func:`cut` makes them.
    outputs : int
        ``k``.

    Examples
    --------
    >>> ranges = Ranges(np.array([0, 2, 4]), outputs=1)
    >>> [part.tolist() for part in ranges.parts(np.array([1.0, 2.0, 3.0, 4.0]))]
    [[1.0, 2.0, 0.0], [3.0, 4.0]]
    >>> lists, (values,) = ranges.listed(np.array([1, 3]), [np.array([5.0, 6.0])])
    >>> [part.tolist() for part in lists], [part.tolist() for part in values]
    ([[1], [1]], [[5.0], [6.0]])
    """

    def __init__(self, edges: np.ndarray, outputs: int):
        self.edges, self.outputs = np.asarray(edges, np.int64), outputs

    @property
    def shards(self) -> int:
        """How many there are."""
        return len(self.edges) - 1

    def part(self, vector: np.ndarray, shard: int) -> np.ndarray:
        """A shard's part of a vector of shape ((d + 1) k,), a copy."""
        a, z = self.edges[shard] * self.outputs, self.edges[shard + 1] * self.outputs
        own = vector[a:z].copy()
        return own if shard == self.shards - 1 else np.append(own, np.zeros(self.outputs, vector.dtype))

    def parts(self, vector: np.ndarray) -> list[np.ndarray]:
        """All parts."""
        return [self.part(vector, shard) for shard in range(self.shards)]

    def put(self, values: np.ndarray, shard: int, vector: np.ndarray) -> None:
        """Write a shard's vector to its place in the whole."""
        a, z = self.edges[shard] * self.outputs, self.edges[shard + 1] * self.outputs
        vector[a:z] = values[: z - a]

    def cuts(self, indices: np.ndarray) -> np.ndarray:
        """Where ascending features are divided: shard ``s`` has ``indices[cuts[s]:cuts[s + 1]]``."""
        return np.searchsorted(indices, self.edges)

    def listed(
        self, indices: np.ndarray, columns: Sequence[np.ndarray] = ()
    ) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
        """Ascending features as each shard counts its own, int32; and each column of ``k`` numbers a feature, divided alike."""
        cuts, k = self.cuts(indices).tolist(), self.outputs
        numbers = range(self.shards)
        own = [(indices[cuts[s] : cuts[s + 1]] - self.edges[s]).astype(np.int32) for s in numbers]
        return own, [[column[cuts[s] * k : cuts[s + 1] * k] for s in numbers] for column in columns]
