"""What travels from the driver to a rank, and back."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.arrays import pack, unpack
from ..data.dataset import Dataset, Split
from ..transport.keys import FitKeys
from .checkpoints.kept import Orders
from .config import FitConfig


@dataclass(frozen=True)
class FitTask:
    """One rank's part of a fit.

    Attributes
    ----------
    dataset, splits
        This rank's rows.
    validation : Dataset or None
    validation_splits : list of Split
    config : FitConfig
    classes : list or None
        All classes that there can be, if the user says.
    initial : dict or None
        ``coef`` (k, d), ``intercept`` (k,) and the optimiser's ``state`` to start from.
    keys : FitKeys or None
    seen : float
        Weight of the rows that the model to start from was trained on, when these add to them; else 0.
    checkpoint : Orders or None
        What the rank is told of the fit's checkpoints.
    """

    dataset: Dataset
    splits: list[Split]
    validation: Dataset | None
    validation_splits: list[Split]
    config: FitConfig
    classes: list | None
    initial: dict[str, Any] | None
    keys: FitKeys | None
    seen: float = 0.0
    checkpoint: Orders | None = None


@dataclass(frozen=True)
class RankResult:
    """What rank 0 brings back: arrays by name, and a JSON-ready rest."""

    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the result as bytes; no pickle."""
        return pack(self.arrays, self.meta)

    @classmethod
    def from_bytes(cls, payload: bytes) -> "RankResult":
        """The inverse of ``to_bytes``."""
        return cls(*unpack(payload, "rank 0's result"))
