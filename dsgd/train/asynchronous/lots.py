"""A worker's lots: encoded when they are first given to it, made ready by the plan, and kept for the epochs to come.

Where lots are small enough to be kept in memory, a worker leaves copies of its own in the scratch directory: another of the same
machine that takes one over need not read and encode it.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...data.left_store import LeftStore, leave
from ...data.numbering import Numbering, can_number
from ...errors import ConfigError
from ...objective.passes import Pass
from ...objective.share import Share
from ...objective.start import TOTALS, totals_of_rows
from ...server.ranges import stretches
from ..batches import batches, steps_of_epoch
from ..engine import RankContext
from ..field import count_values, has_sparse_columns
from ..stepsize import needs_smoothness, smoothness
from ..stores import finish_stores, open_stores
from ..task import FitTask
from .findings import Measured, pack_prepared
from .own_rows import most_rows
from .start import Agreed, rule_of
from .task import CrewTask
from .touched import Touched

# A copy's training rows, and its held-out rows.
_PARTS = ("-training", "-held-out")


class OpenLot:
    """One lot, encoded.

    Attributes
    ----------
    share : Share or None
        Its rows as training sees them, once the plan is known.
    left : bool
        Whether there is a copy of it for others.
    taken : bool
        Whether it is another worker's copy, which does not tell what was found while it was encoded.
    """

    def __init__(self, number: int, stores: tuple[Any, Any], numbering: Numbering | None, taken: bool = False):
        self.number, self.stores, self._numbering = number, stores, numbering
        self.share: Share | None = None
        self.left = self.taken = taken
        self._rows: int | None = None

    def found(self) -> bytes:
        """What the lead wants to know of it before there is a plan."""
        return pack_prepared(self.stores[0].statistics, self._numbering)

    def finish(self, agreed: Agreed, work: Pass, seed: int) -> None:
        """Make it ready for training."""
        if self._numbering is not None and agreed.numbering is not None:
            numbers = self._numbering.numbers_in(agreed.numbering)
            for store in self.stores:
                if store is not None and numbers is not None:
                    store.renumber(numbers)
        finish_stores(agreed.plan, *self.stores)
        self.train_on(agreed, work, seed)

    def train_on(self, agreed: Agreed, work: Pass, seed: int) -> None:
        """Take rows that are ready as those of training."""
        store, held_out = self.stores
        self.share = Share(
            agreed.problem, store, work.run, seed=seed, rank=self.number, fraction=agreed.fraction, validation=held_out
        )

    def leave(self, path: str) -> None:
        """Leave a copy for others, if it is in memory and there is room for it on the disk."""
        if all(store is None or store.in_memory for store in self.stores):
            with contextlib.suppress(OSError):  # Others encode it themselves.
                os.makedirs(os.path.dirname(path), exist_ok=True)
                for store, part in zip(self.stores, _PARTS, strict=True):
                    if store is not None and not os.path.exists(path + part):
                        leave(store, path + part)
                self.left = True

    @property
    def rows(self) -> int:
        """Training rows."""
        assert self.share is not None
        if self._rows is None:
            self._rows = self.share.training_rows()
        return self._rows


class Lots:
    """All lots that this worker has at hand.

    Parameters
    ----------
    context : RankContext
    task : CrewTask
    stack : ExitStack
        What is opened is closed with it.
    moved : callable
        Called for every block that is read.
    """

    def __init__(
        self,
        context: RankContext,
        task: CrewTask,
        stack: contextlib.ExitStack,
        moved: Callable[[], None] = lambda: None,
    ):
        self._context, self._task, self._stack, self._moved = context, task, stack, moved
        self._open: dict[int, OpenLot] = {}
        self._agreed: Agreed | None = None
        self.work: Pass | None = None

    def agree(self, agreed: Agreed) -> None:
        """Take up the plan."""
        self._agreed = agreed
        self.work = Pass(agreed.problem, agreed.longest, in_order=not self._task.config.shuffle)
        config, task = self._task.config, self._task
        alone = task.bound or task.workers == 1 or config.cache_bytes is not None or config.memory_limit is not None
        for lot in self._open.values():
            lot.finish(agreed, self.work, config.seed)
            if not alone:
                lot.leave(self._copy_of(lot.number))

    def get(self, number: int) -> OpenLot:
        """A lot, which is encoded now unless it is at hand, or has been left by another worker."""
        if number not in self._open:
            stores = None if self._agreed is None else self._left(number)
            self._open[number] = self._encoded(number) if stores is None else self._taken(number, stores)
        return self._open[number]

    def prepare(self, number: int) -> bytes:
        """What the lead wants to know of a lot before there is a plan.

        A lead that died before it had handed over a snapshot asks for this again, when there are copies already.
        """
        if number not in self._open or self._open[number].taken:
            self._open[number] = self._encoded(number)
        return self._open[number].found()

    def _encoded(self, number: int) -> OpenLot:
        """A lot that is encoded now, and made ready if there is a plan."""
        lot = self._encode(number)
        if self._agreed is not None and self.work is not None:
            lot.finish(self._agreed, self.work, self._task.config.seed)
        return lot

    def _taken(self, number: int, stores: tuple[Any, Any]) -> OpenLot:
        """A lot of which another worker has left a copy, made ready by the same plan."""
        assert self._agreed is not None
        assert self.work is not None
        lot = OpenLot(number, stores, None, taken=True)
        lot.train_on(self._agreed, self.work, self._task.config.seed)
        return lot

    def _copy_of(self, number: int) -> str:
        """Where a copy of a lot is left; each part of it is a directory with more to its name."""
        return os.path.join(self._context.scratch, "lots", str(number))

    def _left(self, number: int) -> tuple[Any, Any] | None:
        """The stores that another worker has left, training rows and held-out rows (or None); None if they are not there."""
        if number not in self._task.lots:
            return None
        parts = _PARTS if self._task.lots[number].validation is not None else _PARTS[:1]
        paths = [self._copy_of(number) + part for part in parts]
        if not all(map(os.path.exists, paths)):
            return None
        stores = [LeftStore(path) for path in paths]
        return stores[0], (stores[1] if len(stores) > 1 else None)

    def _encode(self, number: int) -> OpenLot:
        if number not in self._task.lots:
            raise ConfigError(f"worker {self._context.rank} was given lot {number}, whose rows it has no way to")
        lot, task = self._task.lots[number], self._task
        layout = task.dataset.spec.layout
        numbering = Numbering(layout) if can_number(layout) else None
        config = task.config
        if config.cache_bytes is not None:
            # A worker may come to have all lots at hand.
            config = replace(config, cache_bytes=config.cache_bytes // len(task.lots))
        fit_task = FitTask(
            lot.dataset,
            lot.splits,
            lot.validation,
            lot.validation_splits,
            config,
            task.classes,
            task.initial,
            None,
            task.seen,
        )
        # Those that this worker begins with; of what it takes over it is others that have copies.
        parts = max(1, task.owners.count(self._context.rank - task.shards))
        scratch = os.path.join(self._context.scratch, f"worker-{self._context.rank}-{self._context.attempt}-{number}")
        context = replace(self._context, scratch=scratch)
        return OpenLot(number, open_stores(context, fit_task, self._stack, numbering, self._moved, parts), numbering)

    def measure(self, number: int) -> bytes:
        """What the lead wants to know of a lot before there is a recipe."""
        lot, agreed = self.get(number), self._agreed
        assert agreed is not None
        share, config = lot.share, self._task.config
        assert share is not None
        layout = agreed.problem.layout
        values = float(layout.codes + layout.crosses.count) * share.store.rows
        if has_sparse_columns(layout):
            values += count_values(share)
        touched, load = layout.size + 1, np.zeros(0, np.int64)
        if layout.size > layout.dense and lot.rows:
            count = steps_of_epoch(lot.rows, most_rows(self._task, agreed.batch_rows))
            assert self.work is not None
            places = Touched(self.work).of(next(batches(share.training(), self.work.run, lot.rows, count)))
            touched, load = len(places), np.diff(np.searchsorted(places, stretches(layout.size + 1)))
        largest = 1.0
        if needs_smoothness(rule_of(config)) and config.eta0 == "auto":
            largest = smoothness(agreed.problem, share, agreed.batch_rows)
        sums = np.zeros(TOTALS)
        if agreed.plan.classes is None:
            sums = totals_of_rows(share.training(), share.run)
        return Measured(lot.rows, values, touched, largest, sums.tolist(), lot.left, load.tolist()).to_bytes()
