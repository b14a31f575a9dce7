"""What travels from the driver to the members of a crew."""

from dataclasses import dataclass
from typing import Any

from ...data.dataset import Dataset, Split
from ...transport.keys import FitKeys
from ..checkpoints.kept import Orders
from ..config import FitConfig
from ..modes import Async


@dataclass(frozen=True)
class Lot:
    """Rows that are worked on together, by one worker at a time.

    Attributes
    ----------
    dataset : Dataset
    splits : list of Split
    validation : Dataset or None
    validation_splits : list of Split
    """

    dataset: Dataset
    splits: list[Split]
    validation: Dataset | None
    validation_splits: list[Split]


@dataclass(frozen=True)
class CrewTask:
    """One member's part.

    Attributes
    ----------
    dataset : Dataset
        Whose features and columns' names these are.
    lots : dict of int to Lot
        Those that this member can work on: all of them, where rows can be read anywhere. The lead and the other shards have none.
    owners : list of int
        For each lot the worker that is the first to be given it.
    bound : bool
        Whether nobody else can be.
    validated : bool
        Whether there are validation rows of the user's.
    config : FitConfig
    mode : Async
    classes : list or None
    initial : dict or None
    seen : float
        As in :class:`dsgd.train.task.FitTask`.
    keys : FitKeys
    shards, workers : int
        Members: first the shards, of which the first leads, then the workers.
    checkpoint : Orders or None
        What the lead is told of the fit's checkpoints.
    """

    dataset: Dataset
    lots: dict[int, Lot]
    owners: list[int]
    bound: bool
    validated: bool
    config: FitConfig
    mode: Async
    classes: list | None
    initial: dict[str, Any] | None
    seen: float
    keys: FitKeys
    shards: int
    workers: int
    checkpoint: Orders | None = None

    @property
    def patience(self) -> float:
        """Seconds to wait for a shard: one that has died is started again by the engine, which takes longer than silence."""
        return 2 * self.config.deadline
