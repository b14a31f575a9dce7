"""Whether a share's labels suit the loss: in come a share and the statistics of its labels, out comes at most a DataError.

The statistics tell that something is wrong; only then are the labels read again, to name the row.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..data.dataset import Dataset, Split
from ..data.label_statistics import LabelStatistics
from ..data.numbers import as_floats, refuse_values
from ..errors import DataError
from ..losses import make_loss
from .config import FitConfig

_BATCH_ROWS = 1 << 16


def check_labels(config: FitConfig, dataset: Dataset, splits: Sequence[Split], labels: LabelStatistics) -> None:
    """Raise unless labels are classes for a classifier, and in the domain of the loss for a regressor.

    Raises
    ------
    DataError
        With the column, the file and the first row that does not suit.
    """
    if config.task == "classification":
        if labels.classes is not None and labels.classes.dtype.kind == "f" and _fractions(labels.classes).any():
            advice = "fractions are no classes; use a regressor, or cut the label into classes first"
            _refuse(dataset, splits, _fractions, advice)
        return
    if labels.kind == "string":
        raise DataError(
            f"the label column {dataset.roles.label!r} is text; a regressor needs numbers (a classifier takes text)"
        )
    loss = make_loss(config.loss, epsilon=config.epsilon, quantile=config.quantile, power=config.power)
    advice = f"loss {loss.name!r} is for {loss.domain} targets: use another loss, or drop such rows"
    if loss.domain == "nonnegative" and labels.low < 0:
        _refuse(dataset, splits, lambda values: values < 0, advice)
    if loss.domain == "positive" and labels.low <= 0:
        _refuse(dataset, splits, lambda values: values <= 0, advice)


def _fractions(values: np.ndarray) -> np.ndarray:
    return values != np.floor(values)


def _refuse(dataset: Dataset, splits: Sequence[Split], is_bad: Callable[[np.ndarray], np.ndarray], advice: str) -> None:
    name = str(dataset.roles.label)
    for split in splits:
        for labels, where in dataset.labels(split, _BATCH_ROWS):
            values = as_floats(labels, np.dtype(np.float64))
            refuse_values(is_bad(values), values, name, where, advice)
    raise DataError(f"the label column {name!r} cannot be used: {advice}")  # Its files have changed meanwhile.
