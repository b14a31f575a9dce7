"""From a configuration and the statistics of the data to the problem that every rank solves.

Every rank makes the plan for itself, from the same merged statistics, so nothing of it has to travel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.dataset import Dataset, require_rows
from ..data.label_statistics import LabelStatistics
from ..data.layout import Layout
from ..data.statistics import Statistics
from ..errors import ConfigError, DataError
from ..losses import OneVersusRest, Softmax, make_loss
from ..objective.problem import Problem
from ..objective.scaling import make_scaling, no_scaling
from .config import FitConfig


@dataclass(frozen=True)
class Plan:
    """What the statistics decided.

    Attributes
    ----------
    problem : Problem
    classes : ndarray of shape (classes,), or None for regression
    targets : dict or None
        From each class to its target; None for regression.
    statistics : Statistics
        Of all ranks' rows.
    outputs : {"single", "softmax", "ovr"}
    missing_means : ndarray of shape (p,), or None
        What missing values are replaced by, when they are imputed.
    seen : float
        Weight of the rows that the model will have been trained on.
    """

    problem: Problem
    classes: np.ndarray | None
    targets: dict[Any, float] | None
    statistics: Statistics
    outputs: str
    missing_means: np.ndarray | None
    seen: float


def make_plan(
    config: FitConfig,
    dataset: Dataset,
    statistics: Statistics,
    classes=None,
    layout: Layout | None = None,
    seen: float = 0.0,
) -> Plan:
    """Resolve everything that depends on the data.

    Parameters
    ----------
    config : FitConfig
    dataset : Dataset
        Its features and the names of its columns; no row is read.
    statistics : Statistics
        Merged over all ranks.
    classes : array-like, optional
        All classes that there can be.
    layout : Layout, optional
        Of the numbered weights, if they are; otherwise that of the dataset.
    seen : float
        Weight of earlier rows, to which these are added.

    Raises
    ------
    DataError
        For an empty dataset, no weight, a single class.
    """
    spec = dataset.spec
    _check_rows(dataset, statistics)
    if spec.missing == "mean":
        statistics = statistics.imputed()
    dtype = np.dtype(config.dtype)
    loss = make_loss(config.loss, epsilon=config.epsilon, quantile=config.quantile, power=config.power)
    found = None
    if config.task == "classification":
        found = _all_classes(statistics.label, str(dataset.roles.label), classes)
    loss, outputs, kind = _outputs(config, loss, found)
    weight, class_weight = _class_weight(config, found, statistics)
    seen += weight
    alpha = 1.0 / seen if config.alpha == "auto" else float(config.alpha)
    l1, l2 = (alpha * share for share in config.strengths)
    scaling = make_scaling(statistics, dtype, config.fit_intercept) if config.standardize else no_scaling(dtype)
    problem = Problem(
        loss=loss,
        outputs=outputs,
        layout=layout or spec.layout,
        frame=scaling.frame(spec.layout.crosses),
        scaling=scaling,
        dtype=dtype,
        l1=l1,
        l2=l2,
        intercept=config.fit_intercept,
        weight_scale=statistics.rows / weight,
        rows=statistics.rows,
        class_weight=class_weight,
    )
    means = statistics.mean if spec.missing == "mean" and spec.means is None else None
    return Plan(problem, found, _targets(found, outputs), statistics, kind, means, seen)


def _check_rows(dataset: Dataset, statistics: Statistics) -> None:
    require_rows(statistics.rows, "the training data")
    if statistics.weight <= 0:
        name = dataset.roles.weight
        raise DataError(f"all weights in column {name!r} are zero; at least one row must have a positive weight")


def _all_classes(label: LabelStatistics, name: str, given) -> np.ndarray:
    if label.classes is None:
        raise DataError(
            f"the label column {name!r} has more than 10,000 distinct values; use a regressor, or a column that holds classes"
        )
    classes = label.classes
    if given is not None:
        classes = np.unique(np.asarray(given))
        unknown = [value for value in label.classes.tolist() if value not in set(classes.tolist())]
        if unknown:
            raise DataError(f"label {unknown[0]!r} in column {name!r} is none of the classes {classes.tolist()[:10]}")
    if len(classes) < 2:
        raise DataError(
            "a classifier needs at least two classes; the number of classes has to be greater than one; got "
            f"{len(classes)} class: every label in column {name!r} is {classes.tolist()[0]!r}"
        )
    return classes


def _outputs(config: FitConfig, loss, classes) -> tuple[Any, int, str]:
    """The loss object, the number of scores a row, and their kind."""
    if classes is None:
        return loss, 1, "single"
    k = len(classes)
    # Plain steps are scikit-learn's, with one line a class.
    softmax = config.family == "auto" and config.loss == "log_loss" and k > 2 and not config.plain
    multinomial = config.family == "multinomial" or softmax
    if config.family == "binomial" and k > 2:
        raise ConfigError(f"family='binomial' is for two classes, and there are {k}; use 'multinomial' or 'ovr'")
    if multinomial:
        return Softmax(k), k, "softmax"
    return (loss, 1, "single") if k == 2 else (OneVersusRest(loss, k), k, "ovr")


def _targets(classes, outputs: int) -> dict[Any, float] | None:
    if classes is None:
        return None
    values = [-1.0, 1.0] if outputs == 1 else np.arange(len(classes), dtype=float).tolist()
    return dict(zip(classes.tolist(), values, strict=True))


def _class_weight(config: FitConfig, classes, statistics: Statistics) -> tuple[float, np.ndarray]:
    """Sum of weights after class weights, and the factors."""
    label = statistics.label
    if config.class_weight is None or classes is None or label.classes is None:
        return statistics.weight, np.zeros(0)
    present = dict(zip(label.classes.tolist(), label.class_weight, strict=True))
    totals = np.array([present.get(value, 0.0) for value in classes.tolist()])
    if config.class_weight == "balanced":
        # Of the rows as they are, sample weights aside, as scikit-learn does it.
        rows = dict(zip(label.classes.tolist(), label.class_rows, strict=True))
        counts = np.array([rows.get(value, 0) for value in classes.tolist()], float)
        factors = np.divide(counts.sum(), len(classes) * counts, out=np.zeros(len(counts)), where=counts > 0)
    else:
        factors = np.array([float(config.class_weight.get(value, 1.0)) for value in classes.tolist()])
        unknown = set(config.class_weight) - set(classes.tolist())
        if unknown:
            raise ConfigError(
                f"class_weight names {sorted(unknown, key=str)[0]!r}, which is none of the classes {classes.tolist()[:10]}"
            )
    weight = float(totals @ factors)
    if weight <= 0:
        raise ConfigError("class_weight leaves no weight on any row")
    return weight, factors
