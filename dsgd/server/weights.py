"""The arithmetic of a parameter shard: its range of the weights, their update rule, and what is pushed and pulled.

In come gradients (or changes of the weights that a worker has stepped by itself), out go weights. Features are counted from
the range's first; the flat vectors end with the intercept's ``k`` numbers, as everywhere, which only the last shard uses.
"""

from typing import Any

import numpy as np

from ..errors import ConfigError
from ..kernels.coordinates import clock_table, settle_all, settle_listed, update_dense, update_listed
from ..kernels.steps import Penalty
from ..optim.rules import FTRL
from ..optim.schedules import Scaled, lowered
from .agreement import merged
from .delay import DelayCompensation
from .pushed import Pushed

# Steps after which lazily applied penalties are all brought up to date, and the table of rates is made anew.
_CLOCK_STEPS = 1 << 13
# Rules whose state is a sum over steps: changes of weight and state that were made apart from each other add up.
ADDITIVE = ("SGD", "AdaGrad", "FTRL")


class RangeWeights:
    """A range of ``f`` features with ``k`` outputs each.

    Parameters
    ----------
    rule, schedule : named tuples
        As the kernels take them.
    penalty : Penalty
    outputs : int
        ``k``.
    params : ndarray of shape ((f + 1) k,)
        Taken over, not copied; so are ``first`` and ``second``.
    first, second : ndarray of the same shape, or None
        The rule's state.
    sparse : bool
        Whether pushes list the features that they touch; then penalties are applied when a weight is next looked at.
    step : int
        Steps taken so far.
    scaled : bool
        Whether rates may be scaled.
    compensation : float
        Strength of delay compensation; 0 for none.

    Examples
    --------
    >>> from dsgd.optim.rules import SGD
    >>> from dsgd.optim.schedules import Constant
    >>> weights = RangeWeights(SGD(), Constant(0.5), Penalty(0.0, 0.0, False), 1, np.zeros(3), None, None, sparse=True)
    >>> weights.apply(Pushed(np.array([1], np.int32), np.array([4.0]), rows=2))
    >>> weights.values(None).tolist(), weights.step
    ([0.0, -1.0, 0.0], 1)
    """

    def __init__(
        self,
        rule: Any,
        schedule: Any,
        penalty: Penalty,
        outputs: int,
        params: np.ndarray,
        first: np.ndarray | None,
        second: np.ndarray | None,
        *,
        sparse: bool,
        step: int = 0,
        scaled: bool = False,
        compensation: float = 0.0,
    ):
        self.rule, self.schedule, self.penalty, self.outputs = rule, schedule, penalty, outputs
        self.params, self.first, self.second, self.step = params, first, second, step
        self.sparse, self._scaled, self._given = sparse, scaled, schedule
        self._compensation = DelayCompensation(compensation, params) if compensation else None
        lazy = sparse and rule.lazy and (penalty.l1 > 0 or penalty.l2 > 0)
        self._last = np.zeros(len(params), np.int32) if lazy else None
        self._lowered = 0
        self._begin()

    # ---- pushes

    def apply(self, pushed: Pushed, scale: float = 1.0, pulled: np.ndarray | None = None) -> None:
        """Take a step with a gradient, or take up the steps of a worker.

        Parameters
        ----------
        pushed : Pushed
        scale : float
            Factor on the rate, if rates may be scaled; on the changes, where they are pushed.
        pulled : ndarray of shape ((f + 1) k,), optional
            The weights for which the gradient was computed, or with which the worker's steps began, as far as they touch them:
            for delay compensation, and for what others have done meanwhile.
        """
        if pushed.steps:
            self._add(pushed, scale, pulled)
            return
        values = pushed.values
        factor = self.params.dtype.type(1.0 / max(pushed.rows, 1))
        if self._compensation is not None and pulled is not None:
            # Weights are pulled with their penalty: what has changed since is told by those that have had theirs, too.
            self._settle(pushed.indices)
            places = self._places(pushed.indices)
            values, factor = self._compensation(values * factor, places, self.params, pulled), self.params.dtype.type(1)
        # Kernels are compiled for a kind of schedule; most fits scale none.
        schedule = Scaled(self.schedule, self.params.dtype.type(scale)) if self._scaled else self.schedule
        if pushed.indices is None:
            self._update_all(schedule, values, factor)
        else:
            update_listed(
                self.rule, schedule, self.penalty, self.outputs, self.params, self.first, self.second, self._last,
                self._clock, pushed.indices, values.reshape(len(pushed.indices), self.outputs), factor, self.step, self._base,
            )  # fmt: skip
        self._advance(1)

    def _update_all(self, schedule: Any, values: np.ndarray, factor: Any) -> None:
        self._settle(None)
        gradient = np.array(values, self.params.dtype)  # which is cleared
        update_dense(
            self.rule, schedule, self.penalty, self.outputs, self.params, self.first, self.second, gradient, factor, self.step
        )  # fmt: skip
        if self._last is not None:
            self._last[:] = self.step + 1 - self._base

    def misfit_of_steps(self, pushed: Pushed) -> str | None:
        """Say why a push cannot be of steps that a worker took with this rule, or None when it can, or is of a gradient."""
        if not pushed.steps:
            return None
        rule = type(self.rule).__name__
        if rule not in ADDITIVE:
            return (
                f"changes that workers make by themselves cannot be added up with {rule}, whose state is no sum over steps; "
                f"use local_steps=1, or one of {', '.join(ADDITIVE)}"
            )
        brought = [state is not None for state in (pushed.first, pushed.second)]
        wanted = [state is not None for state in (self.first, self.second)]
        return (
            None if brought == wanted else f"it brings {sum(brought)} arrays of the state of {rule}, not {sum(wanted)}"
        )

    def _add(self, pushed: Pushed, scale: float, pulled: np.ndarray | None) -> None:
        """Add changes of weights and state, the penalty of whose steps is in them; weights that they leave out have it here."""
        why = self.misfit_of_steps(pushed)
        if why:
            raise ConfigError(why)
        places = self._places(pushed.indices)
        self._settle(pushed.indices)
        change = pushed.values if scale == 1.0 else self.params.dtype.type(scale) * pushed.values
        moved = self._moved(self.params[places], change, None if pulled is None else pulled[places])
        self._advance(pushed.steps)
        # Counts the listed weights as settled; what that makes of them is written over.
        self._settle(pushed.indices)
        for state, difference in ((self.first, pushed.first), (self.second, pushed.second)):
            if state is not None and difference is not None:
                state[places] += difference
        if isinstance(self.rule, FTRL):
            self._recompute(pushed.indices)
        else:
            self.params[places] = moved

    def _moved(self, params: np.ndarray, change: np.ndarray, pulled: np.ndarray | None) -> np.ndarray:
        """Weights with a change of theirs, which was made from what was ``pulled``."""
        if pulled is None or isinstance(self.rule, FTRL):
            return params + change
        moved = params + merged(change, params - pulled)
        # What the worker and the others have both made zero stays zero: changes of neighbours are merged together.
        moved[(params == 0) & (pulled + change == 0)] = 0
        return moved

    def _recompute(self, indices: np.ndarray | None) -> None:
        """Make weights anew from the rule's state."""
        places = np.arange(len(self.params)) if indices is None else self._places(indices)
        penalised = places < len(self.params) - self.outputs
        kind = self.params.dtype.type
        assert self.first is not None
        assert self.second is not None
        for part, l1, l2 in ((penalised, self.penalty.l1, self.penalty.l2), (~penalised, kind(0), kind(0))):
            own = places[part]
            self.params[own] = self.rule.settle(
                self.params[own], self.first[own], self.second[own], kind(0), self.step, l1, l2
            )

    # ---- pulls

    def values(self, indices: np.ndarray | None) -> np.ndarray:
        """A copy of the weights of some features, or of all, their penalty brought up to date; shape (m k,) or ((f + 1) k,)."""
        self._settle(indices)
        if indices is None:
            return self.params.copy()
        return self.params.reshape(-1, self.outputs)[indices].ravel()

    def state(self, indices: np.ndarray | None) -> list[np.ndarray]:
        """Copies of the rule's state, shaped like :meth:`values`: none to two arrays."""
        places = self._places(indices)
        return [
            array[places].copy() if indices is None else array[places]
            for array in (self.first, self.second)
            if array is not None
        ]

    def penalty_value(self) -> float:
        """The penalty of this range's weights."""
        weights = self.values(None)[: len(self.params) - self.outputs].astype(np.float64)
        return float(self.penalty.l1) * float(np.abs(weights).sum()) + 0.5 * float(self.penalty.l2) * float(
            weights @ weights
        )

    # ---- rates and penalties

    @property
    def lowered(self) -> int:
        """How often an adaptive rate has been divided."""
        return self._lowered

    def lower(self, times: int) -> None:
        """Let an adaptive rate be divided ``times`` times in all, since the beginning."""
        while self._lowered < times:
            self._settle(None)
            self._lowered += 1
            self.schedule = lowered(self.schedule)
            self._begin()

    def _places(self, indices: np.ndarray | None) -> Any:
        if indices is None:
            return slice(None)
        if self.outputs == 1:
            return indices
        return (indices[:, None].astype(np.int64) * self.outputs + np.arange(self.outputs)).ravel()

    def _begin(self) -> None:
        """Count lazily applied penalties from the present step."""
        self._base = self.step
        self._clock = None if self._last is None else clock_table(self.schedule, self.step, _CLOCK_STEPS)
        if self._last is not None:
            self._last[:] = 0

    def _advance(self, steps: int) -> None:
        while steps:
            now = min(steps, self._base + _CLOCK_STEPS - self.step)
            self.step += now
            steps -= now
            if self._last is not None and self.step == self._base + _CLOCK_STEPS:
                self._settle(None)
                self._begin()
            elif self._last is None:
                self._base = self.step

    def _settle(self, indices: np.ndarray | None) -> None:
        if self._last is None:
            return
        common = (self.rule, self.schedule, self.penalty, self.outputs, self.params, self.first, self.second)
        if indices is None:
            settle_all(*common, self._last, self._clock, 0, self.step, self._base)
            self._last[:] = self.step - self._base
        else:
            settle_listed(*common, self._last, self._clock, indices, self.step, self._base)

    # ---- snapshots

    def snapshot(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and numbers from which :meth:`restore` makes the range as it is now."""
        self._settle(None)
        return {name: array.copy() for name, array in self._arrays()}, {"step": self.step, "lowered": self._lowered}

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Become what :meth:`snapshot` described."""
        for name, array in self._arrays():
            array[:] = arrays[name]
        self.step, self.schedule, self._lowered = int(meta["step"]), self._given, 0
        self._begin()
        self.lower(int(meta["lowered"]))

    def _arrays(self) -> list[tuple[str, np.ndarray]]:
        squares = None if self._compensation is None else self._compensation.squares
        named = (("params", self.params), ("first", self.first), ("second", self.second), ("squares", squares))
        return [(name, array) for name, array in named if array is not None]
