"""A part of the sample on its way to the driver of an engine's rounds, which then needs no round to look at it.

Every share's rows become a message that says its own length, so that an aggregate joins messages by putting one after the other.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from ..data.arrays import pack, unpack
from ..objective.curvature import Sample, SampledRows
from ..objective.features import DenseFeatures, Features, SparseFeatures, stack
from ..objective.problem import Problem

JOIN = "dsgd.train.sample_parts:join"
_LENGTH = 8


def to_bytes(sample: Sample, step: int) -> bytes:
    """Every so-many-th row of a share's sample, and the sums of squares over all of the share's rows.

    Parameters
    ----------
    sample : Sample
    step : int
        0 for no rows.
    """
    arrays = {"squares": sample.squares}
    if step:
        rows = sample.every(step)
        arrays |= {"target": rows.target, "weight": rows.weight, "offset": rows.offset, **_arrays_of(rows.features)}
    message = pack(arrays, {})
    return len(message).to_bytes(_LENGTH, "little") + message


def join(left: bytes, right: bytes) -> bytes:
    """Join messages."""
    return left + right


def from_bytes(problem: Problem, data: bytes) -> tuple[np.ndarray, SampledRows | None]:
    """Sums of squares of all shares, of shape (a,), and their rows, if they sent any."""
    parts = [unpack(message, "a share of the sample")[0] for message in _messages(data)]
    squares = np.sum([part["squares"] for part in parts], axis=0)
    if "target" not in parts[0]:
        return squares, None
    target, weight, offset = (np.concatenate([part[name] for part in parts]) for name in ("target", "weight", "offset"))
    width, sparse = len(squares) + 1, "indptr" in parts[0]
    features = stack([_part_of(part, width) for part in parts], width, problem.dtype, sparse)
    return squares, SampledRows(problem, features, target, weight, offset)


def _messages(data: bytes) -> Iterator[memoryview]:
    view, start = memoryview(data), 0
    while start < len(view):
        first = start + _LENGTH
        start = first + int.from_bytes(view[start:first], "little")
        yield view[first:start]


def _arrays_of(features: Features) -> dict[str, np.ndarray]:
    if isinstance(features, DenseFeatures):
        return {"matrix": features.matrix}
    if isinstance(features, SparseFeatures):
        matrix = features.matrix
        return {"indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data}
    raise TypeError(f"no way to send {type(features).__name__}")


def _part_of(arrays: dict[str, np.ndarray], width: int) -> np.ndarray | csr_array:
    if "matrix" in arrays:
        return arrays["matrix"]
    indptr = arrays["indptr"]
    return csr_array((arrays["data"], arrays["indices"], indptr), shape=(len(indptr) - 1, width))
