"""What a rank does that predicts with a block of the weights: its part of the scores, and of the first what becomes of them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ...collectives import connect
from ...collectives.base import Collective
from ...data.arrays import pack
from ...data.dataset import Dataset, Split
from ...data.spec import FeatureSpec
from ...errors import DataError
from ...train import place as places
from ...train.engine import RankContext
from ...transport.keys import FitKeys
from .. import scoring
from ..model import LinearModel
from ..predicted import prediction_columns
from ..shards.stored import StoredModel
from .output import Output
from .pieces import even

# Rows whose scores are summed at once, and the bytes of scores that they may have.
_ROWS, _BYTES = 1 << 17, 16 << 20


@dataclass(frozen=True)
class Meeting:
    """How ranks meet; as in :class:`dsgd.train.config.FitConfig`."""

    keys: FitKeys | None
    topology: Literal["ring", "tree"] = "ring"
    encrypt: bool = True
    deadline: float = 60.0
    port_range: tuple[int, int] | None = None
    interface: str | None = None


@dataclass(frozen=True)
class BlockTask:
    """One rank's part.

    Attributes
    ----------
    dataset, splits
        The rows, of the block's columns; the first rank's with the offset.
    model : LinearModel
        Without weights.
    block : StoredModel or ndarray of shape (w, k)
        Where the block's weights are, or themselves.
    ranges : tuple of (int, int)
        The block's weights among all.
    dtype : str
    meeting : Meeting
    whole : Dataset or None
        For columns to keep.
    output : Output or None
        Where the first rank writes; None to return the scores.
    """

    dataset: Dataset
    splits: list[Split]
    model: LinearModel
    block: StoredModel | np.ndarray
    ranges: tuple[tuple[int, int], ...]
    dtype: str
    meeting: Meeting
    whole: Dataset | None = None
    output: Output | None = None

    @property
    def outputs(self) -> int:
        """Scores of a row."""
        return len(self.model.intercept)

    def params(self, lead: bool) -> np.ndarray:
        """The block's weights as the kernels want them; the intercept is the first rank's."""
        size = sum(stop - start for start, stop in self.ranges)
        params = np.zeros((size + 1, self.outputs), self.dtype)
        if isinstance(self.block, StoredModel):
            self.block.weights_at(self.ranges, params[:-1])
        else:
            params[:-1] = self.block
        if lead:
            params[-1] = self.model.intercept
        return params.ravel()


def run_rank(context: RankContext, task: BlockTask) -> bytes:
    """Predict as one of the ranks; the first returns the scores, or how many rows it has written, the others nothing."""
    lead, meeting = context.rank == 0, task.meeting
    if lead and task.output is not None:
        task.output.reached()
    with contextlib.ExitStack() as stack:
        stack.enter_context(places.limit_threads(context.threads))
        largest = _rows(task.outputs) * task.outputs * np.dtype(task.dtype).itemsize
        along = connect(
            context,
            meeting.topology,
            largest,
            keys=meeting.keys,
            encrypt=meeting.encrypt,
            deadline=meeting.deadline,
            port_range=meeting.port_range,
            interface=meeting.interface,
        )
        stack.callback(along.close)
        moved = stack.enter_context(along.working())
        pieces = _summed(task, task.params(lead), along, moved)
        if not lead:
            for _ in pieces:
                pass
            return b""
        return _returned(task, pieces) if task.output is None else _written(task, task.output, pieces)


def _rows(outputs: int) -> int:
    return max(1024, min(_ROWS, _BYTES // (8 * outputs)))


def _summed(task: BlockTask, params: np.ndarray, along: Collective, moved: Any) -> Iterator[np.ndarray]:
    """The scores of the rows, piece by piece of each split; every rank goes through all of them."""
    rows = _rows(task.outputs)
    for number, split in enumerate(task.splits):
        blocks = scoring.scored_blocks(task.dataset, params, task.outputs, [split])
        for piece in even((found for _, found, _ in blocks), rows):
            _agree(along, number, len(piece))
            scores = np.array(piece)
            along.allreduce(scores.reshape(-1))
            moved()
            yield scores
    _agree(along, len(task.splits), 0)


def _agree(along: Collective, *where: int) -> None:
    """Raise DataError on all ranks unless they are all at the same rows."""
    for rank, other in enumerate(along.allgather(json.dumps(where).encode())):
        if json.loads(other) != list(where):
            raise DataError(
                f"rank {rank} does not have the same rows as rank {along.rank}: the files have changed while they were read, "
                "or a filter does not choose the same rows every time"
            )


def _returned(task: BlockTask, pieces: Iterator[np.ndarray]) -> bytes:
    found = list(pieces)
    empty = np.empty(0 if task.outputs == 1 else (0, task.outputs), task.dtype)
    return pack({"scores": np.concatenate(found) if found else empty}, {})


def _written(task: BlockTask, output: Output, pieces: Iterator[np.ndarray]) -> bytes:
    empty = np.empty(0 if task.outputs == 1 else (0, task.outputs), task.dtype)
    kept = _kept(task, output.keep)
    first = _beside(next(kept), prediction_columns(task.model, empty))
    done = 0
    with output.writer(first.schema) as writer:
        writer.write_table(first)
        for scores in pieces:
            writer.write_table(_beside(next(kept), prediction_columns(task.model, scores)))
            done += len(scores)
    return pack({}, {"rows": done})


def _beside(kept: pa.Table | None, columns: dict[str, pa.Array]) -> pa.Table:
    found = {} if kept is None else dict(zip(kept.column_names, kept.columns, strict=True))
    return pa.table(found | columns)


def _kept(task: BlockTask, names: Sequence[str]) -> Iterator[pa.Table | None]:
    """The columns to keep: of no rows first, for their types, then piece by piece as the scores come."""
    if not names or task.whole is None:
        while True:
            yield None
    schema = pa.schema([task.whole.schema.field(name) for name in names])  # type: ignore[attr-defined]
    yield schema.empty_table()
    source = task.whole.with_spec(FeatureSpec(tuple(names)))
    for split in task.splits:
        batches = source.read_located(split, scoring.BATCH_ROWS)
        # Text comes as dictionaries, which is a matter of how it is read.
        tables = (pa.Table.from_batches([batch.select(list(names))]).cast(schema) for batch, _ in batches)
        yield from even(tables, _rows(task.outputs))
