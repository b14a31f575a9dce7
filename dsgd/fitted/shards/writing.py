"""A rank's side of saving: its block's weights as one file, in a directory that the driver has made."""

import itertools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import ConfigError
from ..place import Place
from .record import Ranges, Shard, Shards, joined
from .tensors import PIECE, Checksums, header, length, write


@dataclass(frozen=True)
class Target:
    """Where the ranks write.

    Attributes
    ----------
    directory : str
        Path or URI.
    model : str
        What names the model in each of its files.
    """

    directory: str
    model: str

    @classmethod
    def new(cls, directory: str) -> "Target":
        """A target for a model that is not yet there."""
        return cls(directory, uuid.uuid4().hex)

    def file(self, block: int, blocks: int) -> str:
        """The name of a block's file; no other model's file has it, so that two can lie in one directory for a moment."""
        return f"weights-{self.model[:8]}-{block + 1:05d}-of-{blocks:05d}.safetensors"


class ShardWriter:
    """Writes one block; :class:`dsgd.train.columns.keeping.BlockWriter` says what is asked of it.

    Raises
    ------
    ConfigError
        When nothing can be written there, which is tried before any training.
    """

    def __init__(self, target: Target, block: int, blocks: int):
        self._target, self._place, self._name = target, Place.of(target.directory), target.file(block, blocks)
        self._write([])

    def _write(self, pieces: Iterable[bytes | np.ndarray]) -> Checksums:
        try:
            return write(self._place, f"{self._place.path}/{self._name}", pieces)
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(
                f"a rank cannot write its part of the model, {self._place.uri}/{self._name}: {error}; name a directory in "
                "save_to that all workers reach and may write to"
            ) from error

    def write(
        self, ranges: Sequence[tuple[int, int]], coef: np.ndarray, positions: np.ndarray | None
    ) -> dict[str, Any]:
        """Write a block's coefficients, of shape (k, m)."""
        used = coef.any(axis=0)
        count, merged = int(np.count_nonzero(used)), joined(ranges)
        width = sum(stop - start for start, stop in merged)
        sparse = count * (8 + len(coef) * coef.itemsize) < width * len(coef) * coef.itemsize
        shard = Shard(self._name, 0, merged, count if sparse else None)
        shards = Shards(self._target.model, len(coef), 0, coef.dtype.name, ())
        pieces: Iterator[np.ndarray]
        if positions is None and not sparse:
            pieces = _whole(coef, ranges)
        else:
            at = np.flatnonzero(used)
            # The block's own numbers of the weights that are not zero; ``at`` says where in ``coef`` they are.
            position = _positions(ranges, at if positions is None else np.asarray(positions, np.int64)[at])
            order = np.argsort(position)
            position, at = position[order], at[order]
            pieces = _some(coef, position, at) if sparse else _spread(coef, merged, position, at)
        sums = self._write(itertools.chain([header(shards, shard)], pieces))
        return replace(shard, size=length(shards, shard), stretch=sums.stretch, sha256=sums.finish()).to_dict()


def _positions(ranges: Sequence[tuple[int, int]], own: np.ndarray) -> np.ndarray:
    """From a block's own numbers to those among all weights, int64."""
    starts = np.array([start for start, _ in ranges], np.int64)
    ends = np.cumsum([stop - start for start, stop in ranges])
    owner = np.searchsorted(ends, own, side="right")
    return own + (starts - np.append(0, ends[:-1]))[owner]


def _whole(coef: np.ndarray, ranges: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """The values of all weights, of shape (w, k), some at a time, the ranges in ascending order."""
    begins = np.cumsum([0, *(stop - start for start, stop in ranges)]).tolist()
    step = max(1, PIECE // (coef.itemsize * len(coef)))
    for (start, stop), begin in sorted(zip(ranges, begins, strict=False)):
        for first in range(begin, begin + stop - start, step):
            yield coef[:, first : min(first + step, begin + stop - start)].T


def _some(coef: np.ndarray, position: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
    """Positions, and then the values there, of shape (m, k), some at a time."""
    yield position
    step = max(1, PIECE // (coef.itemsize * len(coef)))
    for first in range(0, len(position), step):
        yield coef[:, at[first : first + step]].T


def _spread(coef: np.ndarray, ranges: Ranges, position: np.ndarray, at: np.ndarray) -> Iterator[np.ndarray]:
    """The values of all weights of the ranges, of shape (w, k), some at a time: those at ``position``, and zeros."""
    step = max(1, PIECE // (coef.itemsize * len(coef)))
    for start, stop in ranges:
        for first in range(start, stop, step):
            last = min(first + step, stop)
            values = np.zeros((last - first, len(coef)), coef.dtype)
            low, high = np.searchsorted(position, [first, last])
            values[position[low:high] - first] = coef[:, at[low:high]].T
            yield values
