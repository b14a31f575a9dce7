"""Some of a model's weights, read from the files that have them: only these bytes are read, whoever wrote the files."""

from collections.abc import Sequence

import numpy as np

from ...errors import CheckpointError
from ..place import Place
from .record import Shard, Shards, overlaps
from .tensors import ShardFile


def read_weights(
    place: Place, shards: Shards, wanted: Sequence[tuple[int, int]], into: np.ndarray | None = None
) -> np.ndarray:
    """Return the weights at some ranges of positions.

    Parameters
    ----------
    place : Place
    shards : Shards
    wanted : sequence of (int, int)
    into : ndarray of shape (n, k), optional
        Zeros, to be filled.

    Returns
    -------
    ndarray of shape (n, k)
        Range after range; n is their length together.

    Raises
    ------
    CheckpointError
        When a file that is needed is missing, damaged or of another model, or its weights are not finite.
    """
    shape = sum(stop - start for start, stop in wanted), shards.outputs
    found = np.zeros(shape, shards.numbers) if into is None else into
    for shard in shards.parts:
        if any(True for _ in overlaps(wanted, shard.ranges)):
            with ShardFile(place, shards, shard) as file:
                (_fill if shard.stored is None else _scatter)(file, shard, wanted, found, place)
    if not np.isfinite(found.sum(dtype=np.float64)):
        raise CheckpointError(f"the weights of {place.uri} are damaged: some are not finite")
    return found


def check_files(place: Place, shards: Shards) -> None:
    """Raise CheckpointError unless all files are there, of their length, and say that they are of this model."""
    for shard in shards.parts:
        ShardFile(place, shards, shard).__exit__()


def _fill(file: ShardFile, shard: Shard, wanted, found: np.ndarray, place: Place) -> None:
    """From a file that has all of its positions, in order."""
    for here, there, count in overlaps(wanted, shard.ranges):
        for at, values in file.pieces("value", there, count):
            found[here + at : here + at + len(values)] = values


def _scatter(file: ShardFile, shard: Shard, wanted, found: np.ndarray, place: Place) -> None:
    """From a file that has some positions, ascending, each with its number."""
    last = -1
    firsts, lasts = (np.array(ends, np.int64) for ends in zip(*shard.ranges, strict=True))
    for at, position in file.pieces("position", 0, shard.stored or 0):
        owner = np.searchsorted(firsts, position, side="right") - 1
        ascending = position[0] > last and (np.diff(position) > 0).all()
        if not ascending or owner.min() < 0 or (position >= lasts[owner]).any():
            raise CheckpointError(f"{place.uri}/{shard.file} is damaged: its positions are not those of its ranges")
        last, begin = int(position[-1]), 0
        for start, stop in wanted:
            low, high = np.searchsorted(position, [start, stop]).tolist()
            if low < high:
                for more, values in file.pieces("value", at + low, high - low):
                    chosen = position[low + more : low + more + len(values)]
                    found[begin + chosen - start] = values
            begin += stop - start
