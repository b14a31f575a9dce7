"""The table of a search, with scikit-learn's columns: from the scores of splits and configurations to ``cv_results_``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata


def cv_results(
    candidates: Sequence[dict[str, Any]],
    scores: np.ndarray,
    names: Sequence[str],
    epochs: np.ndarray,
    seconds: tuple[float, float],
) -> dict[str, Any]:
    """Return the table as a dict of columns.

    Parameters
    ----------
    candidates : sequence of dict
        Parameters of each configuration.
    scores : ndarray of shape (metrics, splits, configurations)
    names : sequence of str
        What the metrics' columns end in: "score" alone, or their names.
    epochs : ndarray of shape (splits, configurations)
    seconds : (float, float)
        That training and measuring took, for all together.

    Returns
    -------
    dict of str to ndarray of shape (configurations,), or list

    Examples
    --------
    >>> table = cv_results([{"alpha": 1.0}, {"alpha": 0.1}], np.array([[[0.5, 0.75]]]), ["score"], np.ones((1, 2)), (2.0, 1.0))
    >>> table["rank_test_score"].tolist(), table["mean_fit_time"].tolist()
    ([2, 1], [1.0, 1.0])
    """
    count, lanes = len(candidates), epochs.size
    table: dict[str, Any] = {}
    for what, took in zip(("fit", "score"), seconds, strict=True):
        # Nobody's own: all are trained and measured together.
        table[f"mean_{what}_time"] = np.full(count, took / lanes)
        table[f"std_{what}_time"] = np.zeros(count)
    for name in sorted({name for candidate in candidates for name in candidate}):
        table[f"param_{name}"] = _column(candidates, name)
    table["params"] = list(candidates)
    for name, own in zip(names, scores, strict=True):
        for number, split in enumerate(own):
            table[f"split{number}_test_{name}"] = split
        mean = own.mean(axis=0)
        table[f"mean_test_{name}"], table[f"std_test_{name}"] = mean, own.std(axis=0)
        table[f"rank_test_{name}"] = rankdata(-np.nan_to_num(mean, nan=-np.inf), method="min").astype(np.int32)
    table["mean_n_iter"] = epochs.mean(axis=0)
    return table


def _column(candidates: Sequence[dict[str, Any]], name: str) -> np.ma.MaskedArray:
    """The values of a parameter, masked where a configuration leaves it to the estimator."""
    values = np.ma.MaskedArray(np.empty(len(candidates), object), mask=True)
    for place, candidate in enumerate(candidates):
        if name in candidate:
            values[place] = candidate[name]
    return values
