"""A fit of the weights that the data uses: the ranks' common numbering of them, and the way from and to all weights.

Every rank numbers weights as it encodes (:mod:`dsgd.data.numbering`). The ranks then agree on the numbers that follow from
meeting all of rank 0's values first, then rank 1's, and so on, so that one vector means the same to all of them. What the user
gives to start from and gets in the end has all weights; in between the vectors are as short as the data allows.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..collectives.base import Collective
from ..data.layout import Layout
from ..data.numbering import Numbering, can_number, merge_numberings
from ..errors import ConfigError
from .task import FitTask

_STATE = ("first", "second")


def make_numbering(task: FitTask) -> Numbering | None:
    """An empty numbering, or None where weights keep their positions."""
    layout = task.dataset.spec.layout
    return Numbering(layout) if can_number(layout, task.dataset.cut_like) else None


def agree(
    numbering: Numbering,
    layout: Layout,
    initial: dict[str, Any] | None,
    collective: Collective,
    stores: Iterable[Any],
    kept: np.ndarray | None = None,
) -> Numbering:
    """Return the numbering of all ranks, which the blocks of this rank's ``stores`` then follow.

    Weights that the model to start from has are numbered too: the penalty is on them, whether rows use them or not. So are those
    of a checkpoint, ``kept`` (positions, alike on all ranks), but last: where it is of the same rows it changes nothing.
    """
    if initial is not None:
        numbering.apply(weights_of(initial, layout))
    last = [] if kept is None else [kept[kept >= layout.dense].astype(np.int32)]
    if collective.size == 1:
        for codes in last:
            numbering.apply(codes)
        numbering.complete()
        return numbering
    numbering.complete()
    ranks = [np.frombuffer(codes, np.int32) for codes in collective.allgather(numbering.codes.tobytes())]
    merged = merge_numberings(layout, [*ranks, *last])
    numbers = numbering.numbers_in(merged)
    for store in stores:
        if store is not None and numbers is not None:
            store.renumber(numbers)
    return merged


def narrow(initial: dict[str, Any], layout: Layout, positions: np.ndarray) -> dict[str, Any]:
    """What a fit starts from (see FitTask), by the numbered weights."""
    coef = np.asarray(initial["coef"])
    _check(coef, layout)
    state = dict(initial.get("state") or {})
    rows = np.append(positions, layout.size)
    for name in _STATE:
        if state.get(name) is not None:
            state[name] = state[name].reshape(layout.size + 1, -1)[rows].ravel()
    return {**initial, "coef": coef[:, positions], "state": state}


def widen(arrays: dict[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    """The inverse, for a rank's answer: weights that were not numbered are zero."""
    positions = arrays.get("positions")
    if positions is None:
        return arrays
    coef = np.zeros((len(arrays["coef"]), layout.size), arrays["coef"].dtype)
    coef[:, positions] = arrays["coef"]
    wide = {"coef": coef, "intercept": arrays["intercept"]}
    rows = np.append(positions, layout.size)
    for name in (f"state_{name}" for name in _STATE):
        if name in arrays:
            values = arrays[name].reshape(len(rows), -1)
            full = np.zeros((layout.size + 1, values.shape[1]), values.dtype)
            full[rows] = values
            wide[name] = full.ravel()
    return wide


def weights_of(initial: dict[str, Any], layout: Layout) -> np.ndarray:
    """Positions of the categories' weights that are not zero, or whose state is not."""
    coef = np.asarray(initial["coef"])
    _check(coef, layout)
    used = (coef[:, layout.dense :] != 0).any(axis=0)
    for name in _STATE:
        values = (initial.get("state") or {}).get(name)
        if values is not None:
            used |= (values.reshape(layout.size + 1, -1)[layout.dense : -1] != 0).any(axis=1)
    return (np.flatnonzero(used) + layout.dense).astype(np.int32)


def _check(coef: np.ndarray, layout: Layout) -> None:
    if coef.ndim != 2 or coef.shape[1] != layout.size:
        raise ConfigError(
            f"the model to start from has coefficients of shape {coef.shape}, and this fit has {layout.size} weights; "
            "start anew, or give the same features and hash_bits"
        )
