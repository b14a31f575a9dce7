"""The chunks of a block that threads claim, and the buffers that each has to itself.

Comes in: the runs of a block, or mini-batches of them, and how many steps were taken before. Goes out: the edges of the chunks,
and the number of each one's first step, so that steps are numbered as if one thread had taken them in order.
"""

from typing import NamedTuple

import numpy as np

from ..kernels.hogwild_moves import Room
from ..kernels.rows import Rows
from ..kernels.steps import Scratch
from ..objective.passes import Pass
from .batches import bounds
from .hogwild_lines import apart, scratch_apart

# Rows of the chunks that all threads have at a time, which is what one does not know of the others' work. Fewer, more merging.
_ROWS = 4096
# The first steps are the longest, so a chunk is at most such a part of the rows that were used before.
_PART = 8
# Bytes from which on memory is given out in pages.
_LONG = 1 << 18
# Chunks for each thread of a block, at least, so that none waits long for the last.
_EACH = 4


class Chunks(NamedTuple):
    """A block of rows as threads share it out.

    Attributes
    ----------
    rows : Rows
    starts : ndarray of shape (r,), int64
        First rows of its runs.
    bounds : ndarray of shape (m + 1,), int64
        Edges of the steps' mini-batches among the runs; not used where a step is a row.
    edges : ndarray of shape (c + 1,), int64
        Edges of the chunks among the runs, or among the mini-batches.
    steps : ndarray of shape (c + 1,), int64
        The number of each chunk's first step, and of the first after the last chunk.
    size : int
        Rows.
    """

    rows: Rows
    starts: np.ndarray
    bounds: np.ndarray
    edges: np.ndarray
    steps: np.ndarray
    size: int


def divide(
    rows: Rows, starts: np.ndarray, run: int, batch_runs: int | None, threads: int, step: int, used: int
) -> Chunks:
    """Divide the runs of a block into chunks.

    Parameters
    ----------
    rows : Rows
    starts : ndarray of shape (r,), int64
    run : int
        Rows of a run.
    batch_runs : int or None
        Runs of a mini-batch; None where each row is a step.
    threads : int
    step, used : int
        Steps taken, and rows used, before.
    """
    starts = np.asarray(starts, np.int64)
    sizes = np.minimum(run, len(rows.label) - starts)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    batch = bounds(len(starts), batch_runs or 1) if len(starts) else np.zeros(1, np.int64)
    units = ends if batch_runs is None else ends[batch]
    edges = chunk_edges(units, used, threads)
    steps = step + (units[edges] if batch_runs is None else edges)
    return Chunks(rows, starts, batch, edges, steps, int(ends[-1]))


def chunk_edges(units: np.ndarray, used: int, threads: int) -> np.ndarray:
    """Edges of chunks among units of work; ``units[i]`` is the number of rows before unit ``i``.

    Examples
    --------
    >>> chunk_edges(np.arange(0, 8001, 200), used=0, threads=2).tolist()[:8]
    [0, 1, 2, 3, 4, 5, 6, 7]
    >>> chunk_edges(np.arange(0, 8001, 200), used=10**6, threads=2).tolist()[:5]
    [0, 5, 10, 15, 20]
    """
    count, rows = len(units) - 1, int(units[-1])
    most = max(1, min(_ROWS // threads, rows // (_EACH * threads)))
    edges = [0]
    while edges[-1] < count and (used + units[edges[-1]]) // _PART < most:
        wanted = units[edges[-1]] + (used + units[edges[-1]]) // _PART
        edges.append(min(max(edges[-1] + 1, int(np.searchsorted(units, wanted))), count))
    if edges[-1] < count:
        # From here on all are alike.
        each = max(1, -(-most * count // max(rows, 1)))
        edges += [*range(edges[-1] + each, count, each), count]
    return np.array(edges, np.int64)


class Worker:
    """One thread's buffers.

    Parameters
    ----------
    work : Pass
        What they are made like.

    Attributes
    ----------
    scratch : Scratch
    gradient : ndarray of shape ((d + 1) k,)
    room : Room
    """

    def __init__(self, work: Pass):
        self.work = work
        self.room = make_room(0, 0, 0)
        # A long one has pages of its own.
        self.gradient = apart(work.gradient) if work.gradient.nbytes < _LONG else work.gradient
        self._made: Scratch = work.scratch
        self.scratch = scratch_apart(work.scratch)

    def prepare(self, chunks: Chunks, columns: int) -> None:
        """Make room for a run of a block, whose rows have ``columns`` codes, interactions included."""
        self.work.make_room(chunks.rows)
        if self._made is not self.work.scratch:
            self._made, self.scratch = self.work.scratch, scratch_apart(self.work.scratch)
        entries = self._longest_run(chunks)
        codes, _, _, _, indices, _, _ = self.room
        if len(codes) == 0 or codes.shape[1] != columns or len(indices) < entries:
            self.room = make_room(self.work.run, columns, entries)

    def _longest_run(self, chunks: Chunks) -> int:
        indptr = chunks.rows.indptr
        if len(indptr) <= 1:
            return 0
        stops = np.minimum(chunks.starts + self.work.run, len(chunks.rows.label))
        return int((indptr[stops] - indptr[chunks.starts]).max(initial=0))


def make_room(run: int, columns: int, entries: int) -> Room:
    """Return buffers for a run's codes and sparse entries."""
    shapes = ((run, columns), np.int32), (run + 1, np.int64), (entries, np.int32)
    arrays = [apart(np.zeros(shape, dtype)) for shape, dtype in shapes]
    codes, indptr, indices = (_read_only(array) for array in arrays)
    return Room(arrays[0], codes, arrays[1], indptr, arrays[2], indices, np.zeros(1, np.int64))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
