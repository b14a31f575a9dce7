"""The one-time transposition: rows that lie on the ranks of one row of the grid with all of their columns, to blocks of columns.

Every rank reads its own rows, piece by piece, divides each piece by the blocks' columns and sends every block's part to the rank
that owns it. Rows arrive in rounds, in the order (round, rank, piece), which is the same on all ranks, so that their rows align;
each rank writes its parts to a file of its own, from which they are encoded like any others.

Zhang et al., "ColumnSGD: A Column-oriented Framework for Distributed Stochastic Gradient Descent", ICDE 2020.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ...collectives.base import Collective
from ...collectives.exchange import Exchange, exchanging
from ...data.column_blocks import ColumnBlock
from ...data.dataset import Dataset, Split
from ...data.divide import Divider, undivided
from ...data.layout import Layout
from ...data.transposed import Identity, Spool, join_pieces, pack_piece, split_pieces
from ...data.where import Where
from ...errors import DataError
from ..engine import RankContext
from ..task import FitTask

# Bytes of rows that a rank sends in a round, to all others together, but for the last piece.
ROUND_BYTES = 8 << 20
# Rows that are read at once, where it is not known how many values they have.
_SPARSE_ROWS, _MOST_ROWS = 4096, 1 << 16


def divided(dataset: Dataset, rows: int, blocks: Sequence[ColumnBlock]) -> list[tuple[Dataset, list[Split]]]:
    """What each rank of a grid is given: its rows and columns; or rows alone, where they lie with all of their columns.

    Parameters
    ----------
    dataset : Dataset
    rows : int
        Of the grid.
    blocks : sequence of ColumnBlock

    Returns
    -------
    list of (Dataset, list of Split)
        Row by row of the grid.
    """
    if dataset.divisible:
        parts = [dataset.only(share) for share in dataset.shares(rows)]
        return [(own.of_columns(block), splits) for own, splits in parts for block in blocks]
    return [dataset.only(share) for share in dataset.shares(rows * len(blocks))]


def transposed(
    context: RankContext,
    task: FitTask,
    blocks: Sequence[ColumnBlock],
    whole: Layout,
    along: Collective,
    stack: contextlib.ExitStack,
    moved: Callable[[], None],
) -> FitTask:
    """A rank's task with rows of its block's columns, those of the other ranks along its row of the grid too.

    Their files count for ``cache_bytes``, of which the task has less then.

    Parameters
    ----------
    context : RankContext
    task : FitTask
        With what :func:`divided` has given.
    blocks : sequence of ColumnBlock
        One for each rank along; none where nothing is to be divided.
    whole : Layout
        Of all columns: rows are cut into blocks by it.
    along : Collective
    stack : contextlib.ExitStack
        Removes the files in the end.
    moved : callable
        Called in every round.

    Raises
    ------
    ConfigError
        For rows that take more than ``cache_bytes``, and a disk that has no room for them.
    DataError
        For rows that cannot be divided, or did not arrive alike.
    WorkerLost
        When a rank is lost.
    """
    train, held_out, config = task.dataset, task.validation, task.config
    if len(blocks) < 2:
        return task
    with contextlib.ExitStack() as meanwhile:
        exchange = meanwhile.enter_context(_exchange(context, task, along))
        working = meanwhile.enter_context(exchange.working())

        def at_work() -> None:
            moved()
            working()

        def rows(dataset: Dataset, splits: Sequence[Split]) -> tuple[Dataset, list[Split]]:
            nonlocal config
            if dataset.divisible:
                return dataset, list(splits)
            spool = Spool(context.scratch, config.cache_bytes)
            stack.callback(spool.close)
            receive(exchange, _parcels(dataset, splits, blocks, along.rank, config.threads_per_worker), spool, at_work)
            _check_alike(spool, along)
            if config.cache_bytes is not None:
                # Encoded blocks may have what is left.
                config = replace(config, cache_bytes=config.cache_bytes - spool.bytes)
            own = spool.dataset(undivided(blocks[along.rank].spec), dataset.roles, along.size, whole)
            return own, own.splits()

        train, splits = rows(train, task.splits)
        kept: list[Split] = []
        if held_out is not None:
            held_out, kept = rows(held_out, task.validation_splits)
    return replace(task, config=config, dataset=train, splits=splits, validation=held_out, validation_splits=kept)


def _exchange(context: RankContext, task: FitTask, along: Collective) -> contextlib.AbstractContextManager[Exchange]:
    config = task.config
    assert task.keys is not None  # There are several ranks.
    return exchanging(
        along,
        host=config.interface or context.host,
        keys=task.keys,
        encrypt=config.encrypt,
        deadline=config.deadline,
        port_range=config.port_range,
    )


def receive(exchange: Exchange, parcels: Iterator[list[np.ndarray]], spool: Spool, moved: Callable[[], None]) -> None:
    """Exchange parcels until nobody has any more, and keep what arrives.

    Parameters
    ----------
    exchange : Exchange
    parcels : iterator of list of ndarray
        Of each round, for each rank: packed pieces, in the order of their numbers. All of a round's are empty, or none is.
    spool : Spool
    moved : callable
        Called after every round.

    Raises
    ------
    DataError
        When a piece is missing, comes twice or out of its order.
    """
    nothing = [np.empty(0, np.uint8)] * exchange.size
    awaited = [0] * exchange.size
    while True:
        arrived = exchange.swap(next(parcels, nothing))
        if not any(map(len, arrived)):
            return
        for rank, payload in enumerate(arrived):
            for identity, packed in split_pieces(payload):
                if (identity.rank, identity.number) != (rank, awaited[rank]):
                    raise DataError(
                        f"piece {identity.number} of rank {identity.rank}'s rows arrived where piece {awaited[rank]} of rank "
                        f"{rank}'s was expected; the columns of a row would not belong together"
                    )
                awaited[rank] += 1
                spool.add(identity, packed)
        moved()


def _check_alike(spool: Spool, along: Collective) -> None:
    """Raise DataError unless all ranks have the same pieces in the same order."""
    own = spool.digest()
    for rank, other in enumerate(along.allgather(own.encode())):
        if other != own.encode():
            raise DataError(
                f"rank {rank} did not receive the same rows as this one: {other.decode()} there, {own} here; the columns of a "
                "row would not belong together"
            )


def _parcels(
    dataset: Dataset, splits: Sequence[Split], blocks: Sequence[ColumnBlock], rank: int, threads: int
) -> Iterator[list[np.ndarray]]:
    """A rank's rows in rounds: what is sent to each rank."""
    divide = Divider([block.spec for block in blocks], dataset.roles)
    packed: list[list[pa.Buffer]] = [[] for _ in blocks]
    held = 0
    for number, (batch, where) in enumerate(_pieces(dataset, splits, threads)):
        for own, part in zip(packed, divide(batch, where), strict=True):
            own.append(pack_piece(Identity(rank, number, batch.num_rows), part, where))
            held += own[-1].size
        if held >= ROUND_BYTES:
            yield [join_pieces(own) for own in packed]
            packed, held = [[] for _ in blocks], 0
    if held:
        yield [join_pieces(own) for own in packed]


def _pieces(dataset: Dataset, splits: Sequence[Split], threads: int) -> Iterator[tuple[pa.RecordBatch, Where]]:
    """A rank's rows in batches of at most about ``ROUND_BYTES``."""
    spec = dataset.spec
    row = 8 * (spec.layout.dense + spec.layout.codes + len(dataset.roles.names))
    rows = int(np.clip(ROUND_BYTES // row, 1, _SPARSE_ROWS if spec.sparse_vectors else _MOST_ROWS))
    for split in splits:
        for batch, where in dataset.read_located(split, rows, threads):
            parts = max(1, -(-batch.nbytes // ROUND_BYTES))
            step = max(1, -(-batch.num_rows // parts))
            for start in range(0, batch.num_rows, step):
                part = batch.slice(start, step)
                own = where.after(start)
                numbers = None if own.numbers is None else own.numbers[: part.num_rows]
                yield part, replace(own, numbers=numbers)
