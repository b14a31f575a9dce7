"""What a recipe needs to go on, what its ranks are told of it, and what they ask of whoever keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .settings import Checkpoint


@dataclass(frozen=True)
class Orders:
    """What a rank is told of its fit's checkpoints.

    Attributes
    ----------
    settings : Checkpoint
    token : str
        Of this beginning of the fit: what an earlier one's ranks still write is not ours.
    found : mapping of str to bytes, or None
        The files, where the driver has them, and is to be left the next ones; None where they are in the directory of the
        settings.
    """

    settings: Checkpoint
    token: str
    found: Mapping[str, bytes] | None = None


@dataclass
class Kept:
    """What a recipe needs to go on.

    Attributes
    ----------
    vectors : dict of str to ndarray of shape ((n + 1) k,)
        By weight and output, ``params`` among them: carried to another division of the weights if need be. They are written
        before training goes on, and need be no copies.
    arrays : dict of str to ndarray
        Alike on all ranks; of use to as many ranks with the same weights only.
    meta : dict
        JSON-ready, alike on all ranks.
    own_arrays, own : dict
        The rank's own; of use to as many ranks only.
    exact : bool
        Whether there are as many ranks as there were, with the same weights; alike on all ranks.
    same_rows : bool
        Whether they have the same rows, too, each in the same order, as far as their statistics tell; alike on all ranks.
    progress : dict
        Of :class:`dsgd.train.progress.Progress`.
    """

    vectors: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    own_arrays: dict[str, np.ndarray] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    exact: bool = True
    same_rows: bool = True
    progress: dict[str, Any] = field(default_factory=dict)


class AnyKeeper(Protocol):
    """What a fit asks of whoever keeps its checkpoints."""

    on: bool

    def take_up(self, recipe: str) -> tuple[str, Kept] | None:
        """The recipe that a checkpoint was made by, and what it kept."""
        ...

    def parts(self, rows: int, steps: int) -> int:
        """Parts of an epoch."""
        ...

    def due(self, step: int) -> bool:
        """Whether one is to be made now."""
        ...

    def save(self, recipe: str, step: int, kept: Kept) -> None:
        """Make one."""
        ...


class NoKeeper:
    """Of a fit without checkpoints."""

    on = False

    def take_up(self, recipe: str) -> tuple[str, Kept] | None:
        """There is nothing to go on from."""
        return None

    def parts(self, rows: int, steps: int) -> int:
        """Epochs are not divided."""
        return 1

    def due(self, step: int) -> bool:
        """Never."""
        return False

    def save(self, recipe: str, step: int, kept: Kept) -> None:
        """Not called: nothing is ever due."""
