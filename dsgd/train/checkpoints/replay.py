"""Checkpoints of recipes that follow from sums over all rows: the sums are kept, and gone through again.

Newton's steps and L-BFGS are functions of a few gradients and nothing else, so that a list of the gradients so far is their
state, whatever they hold inside: begun anew, they ask for the same sums again, and are given them without a pass over the rows,
up to where the fit was interrupted. What they ask is compared bit for bit; where it differs (other ranks, whose samples are
others) they go on from the last weights instead.
"""

import hashlib
from typing import Any

import numpy as np

from ...objective.passes import Partial
from .kept import Kept

RECIPE = "rounds"
# Bytes of sums that are kept; beyond, only the weights are.
_MOST_BYTES = 64 << 20


class LoggedField:
    """A field whose gradients are kept, and answered from what was kept; all else is the field's own.

    Parameters
    ----------
    field : Field
    progress : Progress
        Of the same fit.
    """

    def __init__(self, field: Any, progress: Any):
        self._field, self._progress = field, progress
        self._asked: list[str] = []
        # Each as positions and values of what is not zero, loss, and rows: a gradient may be much longer than the weights in use.
        self._answers: list[tuple[np.ndarray, np.ndarray, float, int]] = []
        self._next, self._bytes = 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._field, name)

    def begin(self, params: np.ndarray) -> bool:
        """Take up a checkpoint; whether ``params`` are the weights of one, from which a recipe is to go on by itself."""
        before, beginning = self._progress.epochs, params.copy()
        kept = self._progress.take_up(RECIPE, params, again=True)
        if kept is not None and kept.exact and "scalars" in kept.arrays:
            params[:] = beginning
            positions, values = kept.arrays["positions"], kept.arrays["values"]
            self._asked = list(kept.meta["asked"])
            for (loss, rows), row in zip(kept.arrays["scalars"].tolist(), values, strict=True):
                self._note(positions[row != 0], row[row != 0], loss, int(rows))
            return False
        return kept is not None or self._progress.epochs > before

    def gradient(self, params: np.ndarray, width: float = 0.0) -> Partial:
        """Gradient and loss of the training rows."""
        asked = hashlib.sha256(np.ascontiguousarray(params).tobytes() + np.float64(width).tobytes()).hexdigest()
        if self._next < len(self._answers):
            # The ranks' processors may round differently, and a sum is made by all of them or by none.
            known = np.array([float(self._asked[self._next] == asked)])
            self._field.agree(known)
            if known[0]:
                self._next += 1
                return self._answer(self._next - 1, params)
            del self._asked[self._next :], self._answers[self._next :]
        partial = self._field.gradient(params, width)
        if self._bytes <= _MOST_BYTES:
            positions = np.flatnonzero(partial.gradient)
            self._note(positions, partial.gradient[positions], partial.loss, partial.rows)
            self._asked.append(asked)
        else:
            self._asked, self._answers = [], []
        self._next += 1
        self._progress.keep(RECIPE, self._next, lambda: self._kept(params))
        return partial

    def _note(self, positions: np.ndarray, values: np.ndarray, loss: float, rows: int) -> None:
        self._answers.append((positions, values, loss, rows))
        self._bytes += positions.nbytes + values.nbytes

    def _answer(self, number: int, params: np.ndarray) -> Partial:
        positions, values, loss, rows = self._answers[number]
        gradient = np.zeros(len(params), values.dtype)
        gradient[positions] = values
        return Partial(gradient, loss, rows)

    def _kept(self, params: np.ndarray) -> Kept:
        kept = Kept({"params": np.asarray(params)})
        if self._answers:
            used = np.zeros(len(params), bool)
            for positions, *_ in self._answers:
                used[positions] = True
            union = np.flatnonzero(used)
            rows = np.zeros((len(self._answers), len(union)), self._answers[0][1].dtype)
            for row, (positions, values, *_) in zip(rows, self._answers, strict=True):
                row[np.searchsorted(union, positions)] = values
            scalars = np.array([[loss, count] for *_, loss, count in self._answers], np.float64)
            kept.arrays = {"positions": union, "values": rows, "scalars": scalars}
            kept.meta = {"asked": self._asked}
        return kept
