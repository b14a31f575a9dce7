"""Which weights are in which file: what the header of a model in shards says of them, and what it must not say."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

_DTYPES = {"float32", "float64"}
_SHA256 = re.compile("[0-9a-f]{64}")
# What a checksum is of is read at once, so that it must not be of a file of any length.
MOST_STRETCH = 1 << 26
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Shard:
    """One file.

    Attributes
    ----------
    file : str
        Its name, beside the header.
    size : int
        Its length, bytes.
    ranges : tuple of (int, int)
        The positions of its weights among all, ascending; a position has k weights.
    stored : int or None
        How many of these positions it holds, each with its number; all others are zero. None: all, in order.
    stretch : int
        Bytes of the file that one checksum is of; the last may be of fewer.
    sha256 : tuple of str
        The checksums, one after the other; none of files that were written before there were any.
    """

    file: str
    size: int
    ranges: Ranges
    stored: int | None = None
    stretch: int = 0
    sha256: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Positions that it answers for."""
        return sum(stop - start for start, stop in self.ranges)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, the inverse of :meth:`from_dict`."""
        state = asdict(self) | {"ranges": [list(each) for each in self.ranges], "sha256": list(self.sha256)}
        return state if self.sha256 else {name: state[name] for name in ("file", "size", "ranges", "stored")}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "Shard":
        """Read what :meth:`to_dict` wrote; ValueError, KeyError or TypeError for what cannot be."""
        file, stored = state["file"], state["stored"]
        if not isinstance(file, str) or not file.endswith(".safetensors") or "/" in file or "\\" in file:
            raise ValueError(f"{file!r} is not the name of a file of weights beside model.json")
        ranges = tuple((_count(start), _count(stop)) for start, stop in state["ranges"])
        if any(start >= stop for start, stop in ranges) or any(a[1] > b[0] for a, b in pairwise(ranges)):
            raise ValueError(f"the ranges of {file} are not in order")
        size, stretch, sums = _count(state["size"]), _count(state.get("stretch", 0)), tuple(state.get("sha256", ()))
        if sums and (not 0 < stretch <= MOST_STRETCH or len(sums) != -(-size // stretch)):
            raise ValueError(f"{file} of {size} bytes has {len(sums)} checksums of {stretch} bytes each")
        if not all(isinstance(each, str) and _SHA256.fullmatch(each) for each in sums):
            raise ValueError(f"the checksums of {file} are not those of SHA-256")
        shard = cls(file, size, ranges, None if stored is None else _count(stored), stretch, sums)
        if shard.stored is not None and shard.stored > shard.width:
            raise ValueError(f"{file} holds {shard.stored} positions of {shard.width}")
        return shard


@dataclass(frozen=True)
class Shards:
    """All files of a model's weights.

    Attributes
    ----------
    model : str
        Names the model in each of its files, so that none of another is taken for its own.
    outputs, weights : int
        k and d.
    dtype : {"float32", "float64"}
    parts : tuple of Shard

    Examples
    --------
    >>> parts = Shard("a.safetensors", 99, ((0, 2), (5, 9))), Shard("b.safetensors", 98, ((2, 5),))
    >>> shards = Shards("m", 1, 9, "float32", parts)
    >>> Shards.from_dict(shards.to_dict()) == shards
    True
    """

    model: str
    outputs: int
    weights: int
    dtype: str
    parts: tuple[Shard, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, the inverse of :meth:`from_dict`."""
        listed = [shard.to_dict() for shard in self.parts]
        return {"model": self.model, "shape": [self.outputs, self.weights], "dtype": self.dtype, "shards": listed}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "Shards":
        """Read what a header says.

        Raises
        ------
        ValueError, KeyError, TypeError
            For files that do not have each weight once, names that lead elsewhere, and what is of another kind.
        """
        outputs, weights = (_count(size) for size in state["shape"])
        if not isinstance(state["model"], str) or state["dtype"] not in _DTYPES:
            raise ValueError(f"weights of model {state['model']!r} and dtype {state['dtype']!r}")
        shards = cls(
            state["model"], outputs, weights, state["dtype"], tuple(Shard.from_dict(each) for each in state["shards"])
        )
        shards._check()
        return shards

    def _check(self) -> None:
        names = [shard.file for shard in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("a file of weights is named twice")
        at = 0
        for start, stop in sorted(each for shard in self.parts for each in shard.ranges):
            if start != at:
                raise ValueError(
                    f"the shards {'overlap' if start < at else 'leave a gap'} at position {min(start, at)}"
                )
            at = stop
        if at != self.weights:
            raise ValueError(f"the shards end at position {at}, and there are {self.weights}")

    @property
    def numbers(self) -> np.dtype:
        """Of the weights."""
        return np.dtype(self.dtype)


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in ascending order, those that follow on each other as one.

    Examples
    --------
    >>> joined([(4, 9), (0, 1), (1, 2)])
    ((0, 2), (4, 9))
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted((int(a), int(b)) for a, b in ranges):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        elif start < stop:
            found.append((start, stop))
    return tuple(found)


def overlaps(wanted: Sequence[tuple[int, int]], held: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int, int]]:
    """Where two lists of ranges meet: (place in ``wanted``, place in ``held``, how many), places counted range after range.

    Examples
    --------
    >>> list(overlaps([(5, 9)], [(0, 2), (4, 8)]))
    [(0, 3, 3)]
    """
    at = 0
    for start, stop in wanted:
        there = 0
        for first, last in held:
            low, high = max(start, first), min(stop, last)
            if low < high:
                yield at + low - start, there + low - first, high - low
            there += last - first
        at += stop - start


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
