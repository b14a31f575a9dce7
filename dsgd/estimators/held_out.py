"""Rows of a matrix that ``early_stopping`` keeps for validation, drawn as scikit-learn draws them: by class for a classifier.

In come the rows that ``fit`` was given, out come those to train on, in their order, and those to judge by. Of other data the
ranks hold rows out themselves.
"""

import math
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from ..errors import DataError

_NO_WEIGHT = "The sample weights for validation set are all zero, consider using a different random state."

Rows = tuple[Any, Any, Any, Any]


def is_splittable(X: Any) -> bool:
    """Whether the rows of X are at hand, and cheap to choose from."""
    return isinstance(X, (np.ndarray, list, tuple)) or scipy.sparse.issparse(X)


def refuse_empty(rows: Rows, fraction: float) -> None:
    """Raise DataError when no row would be left to train on, or none with a weight to judge by."""
    count, weight = len(rows[1]), rows[2]
    if count - math.ceil(fraction * count) < 1:
        raise DataError(
            f"early_stopping cannot hold validation_fraction={fraction} of {count} rows out: no row is left to train on"
        )
    if weight is not None and not np.any(weight):
        raise DataError(_NO_WEIGHT)


def split(rows: Rows, fraction: float, random_state: Any, by_class: bool) -> tuple[Rows, Rows]:
    """Return training rows and validation rows.

    Parameters
    ----------
    rows : tuple of X, y, sample_weight, offset
        Of n rows; the last two may be None.
    fraction : float
        Share of the rows to hold out.
    random_state : int, RandomState or None
    by_class : bool
        Whether the classes of y keep their shares.

    Raises
    ------
    DataError
        When one of the two would be empty, or the validation rows have no weight.

    Examples
    --------
    >>> training, held_out = split((np.eye(10), np.arange(10), None, None), 0.2, 0, False)
    >>> training[1].tolist(), held_out[1].tolist()
    ([0, 1, 3, 4, 5, 6, 7, 9], [2, 8])
    """
    y, weight = rows[1], rows[2]
    count = len(y)
    splitter = (StratifiedShuffleSplit if by_class else ShuffleSplit)(test_size=fraction, random_state=random_state)
    try:
        training, held_out = next(splitter.split(np.zeros((count, 1)), y))
    except ValueError as error:
        raise DataError(
            f"early_stopping cannot hold validation_fraction={fraction} of {count} rows out: {error}"
        ) from error
    training, held_out = np.sort(training), np.sort(held_out)
    if weight is not None and not np.any(np.asarray(weight)[held_out]):
        raise DataError(_NO_WEIGHT)
    return _chosen(rows, training), _chosen(rows, held_out)


def _chosen(rows: Rows, places: np.ndarray) -> Rows:
    X, *beside = rows
    X = X.tocsr() if scipy.sparse.issparse(X) else X
    return X[places], *(None if values is None else np.asarray(values)[places] for values in beside)
