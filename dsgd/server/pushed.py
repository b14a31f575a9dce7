"""What a push brings to a shard: a gradient, or changes of weights that a worker has stepped by itself; and sums of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from ..kernels.merge import merge_sparse


@dataclass(frozen=True)
class Pushed:
    """What one push brings to a shard.

    Attributes
    ----------
    indices : ndarray of shape (m,), int32, or None
        Features of the range, ascending; None for all of it.
    values : ndarray of shape (m k,) or ((f + 1) k,)
        Sum of the rows' gradients; or the weights' changes.
    rows : int
    steps : int
        0 for a gradient; else the steps whose changes these are.
    first, second : ndarray, shaped as ``values``, or None
        Changes of the rule's state.
    """

    indices: np.ndarray | None
    values: np.ndarray
    rows: int
    steps: int = 0
    first: np.ndarray | None = None
    second: np.ndarray | None = None


def combined(pushes: Sequence[Pushed], outputs: int) -> Pushed:
    """The sum of gradients as one, added up in the order given.

    Raises
    ------
    ConfigError
        For steps that workers have taken by themselves.

    Examples
    --------
    >>> one = Pushed(np.array([0, 2], np.int32), np.array([1.0, 2.0]), rows=3)
    >>> both = combined([one, Pushed(np.array([2], np.int32), np.array([0.5]), rows=1)], outputs=1)
    >>> both.indices.tolist(), both.values.tolist(), both.rows
    ([0, 2], [1.0, 2.5], 4)
    """
    if any(pushed.steps for pushed in pushes):
        raise ConfigError("steps that workers took by themselves cannot be made one step; use local_steps=1")
    rows = sum(pushed.rows for pushed in pushes)
    if pushes[0].indices is None:
        total = np.zeros_like(pushes[0].values)
        for pushed in pushes:
            total += pushed.values
        return Pushed(None, total, rows)
    lists = [pushed.indices for pushed in pushes if pushed.indices is not None]
    values = np.concatenate([pushed.values for pushed in pushes]).reshape(-1, outputs)
    offsets = np.concatenate([[0], np.cumsum([len(indices) for indices in lists])]).astype(np.int64)
    indices, sums = merge_sparse(np.concatenate(lists), values, offsets)
    return Pushed(indices, sums.ravel(), rows)


def misfit(pushed: Pushed, outputs: int, size: int, dtype: np.dtype) -> str | None:
    """Say why a push cannot be one for a range with ``size`` numbers, or None when it can.

    Examples
    --------
    >>> misfit(Pushed(np.array([3], np.int32), np.zeros(1), rows=1), outputs=1, size=3, dtype=np.dtype(float))
    'its features are not ascending from 0 to 2'
    """
    wanted = size
    if pushed.indices is not None:
        why = misfit_of_list(pushed.indices, size // outputs)
        if why:
            return why
        wanted = len(pushed.indices) * outputs
    for array in (pushed.values, pushed.first, pushed.second):
        if array is not None and (len(array) != wanted or array.dtype != dtype):
            return f"it brings {len(array)} numbers of {array.dtype}, and {wanted} of {dtype} were expected"
    return None


def misfit_of_list(indices: np.ndarray, features: int) -> str | None:
    """Say why this can be no list of features of a range, or None when it can."""
    ascending = indices.dtype == np.int32 and bool((indices[1:] > indices[:-1]).all())
    if ascending and (not len(indices) or (indices[0] >= 0 and indices[-1] < features)):
        return None
    return f"its features are not ascending from 0 to {features - 1}"
