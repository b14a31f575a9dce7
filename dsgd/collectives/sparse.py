"""Sums of sparse vectors over the ranks, by gathering everybody's and merging them in rank order.

When the union could not be smaller than the dense vector that covers it, the values travel as a dense vector through
the collective's own all-reduce, and a bit a coordinate says which of them anybody touched.
"""

from typing import Protocol

import numpy as np

from ..errors import ConfigError, WorkerLost
from ..kernels.merge import merge_sparse
from .checks import DTYPES

_HEAD = np.dtype([("count", "<i8"), ("length", "<i8"), ("width", "<i8"), ("dtype", "<i8"), ("flat", "<i8")])


class Gatherer(Protocol):
    """What the sum needs of a collective."""

    rank: int
    size: int

    def allreduce(self, buffer: np.ndarray) -> None: ...

    def gather_arrays(self, array: np.ndarray) -> list[np.ndarray]: ...


def check_sparse(indices: np.ndarray, values: np.ndarray) -> None:
    """Raise ConfigError unless the pair is a sparse vector: ascending int32 and one value, or row, for each."""
    if indices.dtype != np.int32 or indices.ndim != 1:
        raise ConfigError(f"sparse indices must be a 1-d int32 array, not {indices.ndim}-d {indices.dtype}")
    if values.dtype not in DTYPES or values.ndim not in (1, 2) or len(values) != len(indices):
        raise ConfigError(
            f"sparse values must be float32, float64 or int64 of shape ({len(indices)},) or ({len(indices)}, k), "
            f"not {values.dtype} of shape {values.shape}"
        )
    if len(indices) and (indices[0] < 0 or not np.all(indices[1:] > indices[:-1])):
        raise ConfigError("sparse indices must be >= 0, ascending and unique; sort them and add duplicates up first")


def allreduce_sparse(collective: Gatherer, indices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum sparse vectors over the ranks of ``collective``; see :meth:`dsgd.collectives.Collective.allreduce_sparse`.

    Raises
    ------
    ConfigError
        When a rank's own arguments are not a sparse vector.
    WorkerLost
        When a peer is lost, or passes values of another dtype or width.
    """
    check_sparse(indices, values)
    heads = _exchange_heads(collective, indices, values)
    width, length = int(heads["width"][0]), int(heads["length"].max())
    rows = np.ascontiguousarray(values).reshape(len(indices), width)
    row_bytes = width * rows.dtype.itemsize
    if int(heads["count"].sum()) * (4 + row_bytes) > length * row_bytes * 2 + length // 8 * collective.size:
        union, sums = _through_dense(collective, indices, rows, length)
    else:
        union, sums = _through_gather(collective, indices, rows)
    return union, (sums[:, 0].copy() if values.ndim == 1 else sums)


def _exchange_heads(collective: Gatherer, indices: np.ndarray, values: np.ndarray) -> np.ndarray:
    width = 1 if values.ndim == 1 else values.shape[1]
    length = int(indices[-1]) + 1 if len(indices) else 0
    head = np.array([(len(indices), length, width, DTYPES.index(values.dtype), values.ndim == 1)], _HEAD)
    gathered = collective.gather_arrays(head.view(np.uint8))
    if any(len(other) != _HEAD.itemsize for other in gathered):
        raise WorkerLost("the ranks are out of step: a peer is in another operation than this sparse all-reduce")
    heads = np.concatenate(gathered).view(_HEAD)
    for name in ("width", "dtype", "flat"):
        if np.any(heads[name] != head[name][0]):
            raise WorkerLost(
                f"the ranks disagree on the {name} of a sparse all-reduce: {heads[name].tolist()} in rank order; "
                "every rank must pass values of the same dtype and width"
            )
    return heads


def _through_gather(collective: Gatherer, indices: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values first, so that they stay aligned, then the indices."""
    payload = np.concatenate([rows.reshape(-1).view(np.uint8), np.ascontiguousarray(indices).view(np.uint8)])
    row_bytes = rows.shape[1] * rows.dtype.itemsize
    counts, parts, others = [0], [], []
    for payload_of_rank in collective.gather_arrays(payload):
        count = len(payload_of_rank) // (row_bytes + 4)
        counts.append(count)
        parts.append(payload_of_rank[: count * row_bytes].view(rows.dtype).reshape(count, rows.shape[1]))
        others.append(payload_of_rank[count * row_bytes :].view(np.int32))
    return merge_sparse(np.concatenate(others), np.concatenate(parts), np.cumsum(counts))


def _through_dense(
    collective: Gatherer, indices: np.ndarray, rows: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    dense = np.zeros((length, rows.shape[1]), rows.dtype)
    dense[indices] = rows
    collective.allreduce(dense.reshape(-1))
    touched = np.zeros(length, bool)
    touched[indices] = True
    bits = np.bitwise_or.reduce(collective.gather_arrays(np.packbits(touched)))
    union = np.flatnonzero(np.unpackbits(bits, count=length)).astype(np.int32)
    return union, dense[union]
