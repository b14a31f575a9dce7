"""Checkpoints of a crew: the lead finds one when the rows are numbered, tells the shards, and makes others on the way.

They are written in a thread of their own: workers that get no answer for long take their shard for dead.
"""

import json
import threading
from typing import Any

import numpy as np

from ...collectives import SingleProcess
from ...data.arrays import pack
from ..checkpoints.identity import moments_of
from ..checkpoints.keeper import Keeper
from ..checkpoints.kept import Kept
from .start import Agreed
from .states import Collected
from .task import CrewTask

RECIPE = "crew"


class Behind:
    """Writes a keeper's checkpoints behind the lead's back, one after the other.

    Parameters
    ----------
    keeper : Keeper
    """

    on = True

    def __init__(self, keeper: Keeper):
        self._keeper = keeper
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def writing(self) -> bool:
        """Whether a checkpoint is being written; raises what went wrong with the last."""
        if self._thread is not None and self._thread.is_alive():
            return True
        self._thread, error, self._error = None, self._error, None
        if error is not None:
            raise error
        return False

    def due(self, step: int) -> bool:
        """As of the keeper; not before the last is written."""
        return not self.writing and self._keeper.due(step)

    def parts(self, rows: int, steps: int) -> int:
        """As of the keeper."""
        return self._keeper.parts(rows, steps)

    def take_up(self, recipe: str) -> tuple[str, Kept] | None:
        """As of the keeper."""
        return self._keeper.take_up(recipe)

    def save(self, recipe: str, step: int, kept: Kept) -> None:
        """Begin to write; ``kept`` is copied where training would change it meanwhile."""
        if "best" in kept.vectors:
            kept.vectors["best"] = kept.vectors["best"].copy()
        kept.meta, kept.progress = json.loads(json.dumps([kept.meta, kept.progress]))

        def write() -> None:
            try:
                self._keeper.save(recipe, step, kept)
            except BaseException as error:  # For the lead, which raises it.
                self._error = error

        self._thread = threading.Thread(target=write, daemon=True, name="dsgd-checkpoint")
        self._thread.start()


class Keeping:
    """The lead's way to its fit's checkpoints, if the fit has any.

    Parameters
    ----------
    task : CrewTask
    """

    def __init__(self, task: CrewTask):
        self._task = task
        self._keeper: Keeper | None = None
        self._behind: Behind | None = None

    @property
    def writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._behind is not None and self._behind.writing

    def behind(self, agreed: Agreed) -> Behind | None:
        """The keeper, for training: it writes behind the lead's back."""
        keeper = self.keeper(agreed)
        if keeper is not None and self._behind is None:
            self._behind = Behind(keeper)
        return self._behind

    def places(self) -> np.ndarray | None:
        """Places, among all weights, of those that a checkpoint has; None where that is not asked."""
        keeper = self._opened()
        return None if keeper is None else keeper.places()

    def keeper(self, agreed: Agreed) -> Keeper | None:
        """The keeper, which knows the weights and the rows.

        Raises
        ------
        CheckpointError
            When the data is not what the checkpoint was made with.
        """
        keeper = self._opened()
        if keeper is not None:
            keeper.check_rows(agreed.problem.rows, moments_of(agreed.plan.statistics))
            keeper.hold(None if agreed.numbering is None else agreed.numbering.positions, agreed.problem.outputs)
        return keeper

    def found(self, agreed: Agreed) -> bytes:
        """What the shards go on from, and the lead; empty where there is nothing."""
        keeper = self.keeper(agreed)
        taken = None if keeper is None else keeper.take_up(RECIPE)
        if taken is None or taken[0] != RECIPE:
            return b""
        kept = taken[1]
        return pack(kept.vectors, {**kept.meta, "progress": kept.progress})

    def _opened(self) -> Keeper | None:
        if self._keeper is None and self._task.checkpoint is not None:
            whole = (0, self._task.dataset.spec.layout.size)
            self._keeper = Keeper(self._task.checkpoint, [SingleProcess()], 0, (whole,), writes=True)
        return self._keeper


def kept_of(found: Collected, snapshot: dict[str, Any]) -> Kept:
    """What is needed to go on, from the shards' state and the lead's."""
    arrays = {"params": found.params, "first": found.first, "second": found.second}
    meta = {name: value for name, value in snapshot.items() if name != "history"}
    return Kept({name: array for name, array in arrays.items() if array is not None}, meta={**meta, "step": found.step})
