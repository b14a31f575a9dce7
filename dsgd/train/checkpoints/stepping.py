"""Checkpoints of the recipe of small steps: what it needs to go on, and where within an epoch it may stop for one."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...optim.schedules import lowered
from .kept import Kept

if TYPE_CHECKING:
    from ..stepwise import Stepwise

RECIPE = "steps"
DIVISOR = 5.0
_AVERAGE = ("count", "_rows", "_before", "_carried")


class Pauses:
    """The places within an epoch where a checkpoint may be made: after so many of its units, which are blocks, steps or rounds.

    There lazy penalties are settled and ranks agree, whether one is made or not: the weights must not depend on the time.

    Attributes
    ----------
    done : int
        Units of the present epoch that an earlier beginning of the fit has done.
    loss : float
        This rank's sum of weight x loss of these.
    """

    def __init__(self, owner: "Stepwise"):
        self._owner = owner
        self._marks: frozenset[int] = frozenset()
        self.done, self.loss = 0, 0.0

    def begin(self, units: int) -> tuple[int, float]:
        """Divide an epoch of so many units; returns those that are done, and their sum of weight x loss on this rank."""
        o = self._owner
        parts = o.progress.parts(o.rows * o.problem.outputs, -(-o.rows // o.recipe.batch_rows))
        self._marks = frozenset(units * part // parts for part in range(1, parts)) - {0, units}
        found = self.done, self.loss
        self.done, self.loss = 0, 0.0
        return found

    @property
    def marks(self) -> list[int]:
        """The places, ascending."""
        return sorted(self._marks)

    def at(self, unit: int, loss: float) -> None:
        """So many units are done, with this sum of weight x loss on this rank."""
        if unit not in self._marks:
            return
        o = self._owner
        o.level()
        o.progress.keep(RECIPE, o.step, lambda: snapshot(o, unit, loss))


def snapshot(owner: "Stepwise", units: int, loss: float) -> Kept:
    """What the recipe needs to go on, after some units of an epoch or between two epochs; written before the next step."""
    o = owner
    kept = Kept({"params": o.params})
    for name in ("first", "second"):
        if getattr(o, name) is not None:
            kept.vectors[name] = getattr(o, name)
    kept.meta = {"step": o.step, "began": o.began, "epoch_step": o.epoch_step, "lowered": o.lowered, "units": units}
    kept.own = {"step": o.step, "began": o.began, "epoch_step": o.epoch_step, "loss": loss}
    if o.average is not None:
        kept.vectors["mean"] = o.average.mean
        kept.own["average"] = kept.meta["average"] = [int(getattr(o.average, name)) for name in _AVERAGE]
    residuals: dict[Any, np.ndarray] = getattr(o.reducer, "residuals", {})
    for (length, dtype), memory in residuals.items():
        kept.own_arrays[f"memory {length} {np.dtype(dtype).name}"] = memory
    if residuals:
        kept.own["reduced"] = o.reducer.steps  # type: ignore[attr-defined]
    return kept


def restore(owner: "Stepwise", kept: Kept) -> None:
    """Go on from a snapshot.

    With other ranks than those that made it, or rows in another order, the present epoch begins anew: its rows are shared out in
    another way. What was
    fed back of compressed gradients is lost then.
    """
    o, own = owner, {**kept.meta, **kept.own}
    o.params[:] = kept.vectors.pop("params")
    o.anchor[:] = o.params
    for name in ("first", "second"):
        if getattr(o, name) is not None:
            getattr(o, name)[:] = kept.vectors.pop(name)
    o.step, o.began, o.epoch_step = (int(own[name]) for name in ("step", "began", "epoch_step"))
    for _ in range(int(kept.meta["lowered"])):
        o.schedule = lowered(o.schedule, DIVISOR)
    o.lowered = int(kept.meta["lowered"])
    if o.average is not None:
        o.average.mean[:] = kept.vectors.pop("mean")
        for name, value in zip(_AVERAGE, own["average"], strict=True):
            setattr(o.average, name, int(value))
    for name, memory in kept.own_arrays.items():
        _, length, dtype = name.split()
        o.reducer.residuals[int(length), np.dtype(dtype)] = np.array(memory)  # type: ignore[attr-defined]
    if "reduced" in kept.own:
        o.reducer.steps = int(kept.own["reduced"])  # type: ignore[attr-defined]
    units = int(kept.meta["units"])
    if units and kept.exact and kept.same_rows:
        o.pauses.done, o.pauses.loss = units, float(kept.own["loss"])
    o.resumed = bool(units)
