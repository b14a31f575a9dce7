"""Which metrics a task is reported by: in come the task, its classes and the loss, out come :class:`Metrics`."""

import numpy as np

from ..errors import ConfigError
from .auc import AUC
from .base import Metric, Metrics, mean
from .binary import Accuracy, BinaryLogLoss, Calibration
from .multiclass import ClassAccuracy, ClassLogLoss
from .regression import Deviance, Errors


class MeanLoss(Metric):
    """Weighted mean of the loss that is trained."""

    def __init__(self, loss):
        super().__init__(2)
        self.loss = loss

    def update(self, scores, target, weight):
        self.sums += [weight @ self.loss.value(scores, target), weight.sum()]

    def results(self):
        return {"loss": mean(*self.sums)}


def metrics_for(task: str, classes: int | None = None, loss=None) -> Metrics:
    """Return the metrics of a task, empty.

    Parameters
    ----------
    task : {"binary", "multiclass", "regression"}
    classes : int or None
        Number of classes: needed for "multiclass", 2 or None for "binary", None for "regression".
    loss : Loss or None
        The loss that is trained: its mean is reported as ``loss``, its inverse link turns scores into predictions, and
        a classifier's loss without probabilities leaves out the metrics that need them. Without a loss, scores are
        log-odds for classes and predictions for regression.

    Returns
    -------
    Metrics
        binary: ``accuracy``, ``auc``, and with probabilities ``log_loss``, ``calibration_error``;
        multiclass: ``accuracy``, ``balanced_accuracy``, and with probabilities ``log_loss``;
        regression: ``rmse``, ``mae``, ``r2``, and for the poisson, gamma and tweedie losses ``poisson_deviance``,
        ``gamma_deviance``, ``tweedie_deviance``.

    Raises
    ------
    ConfigError
        For an unknown task, or a loss or a number of classes that is not the task's.

    Examples
    --------
    >>> import numpy as np
    >>> metrics = metrics_for("binary")
    >>> metrics.update(np.array([2.0, -1.0, 0.5]), np.array([1, -1, -1]))
    >>> {name: round(value, 3) for name, value in metrics.results().items()}
    {'accuracy': 0.667, 'auc': 1.0, 'log_loss': 0.471, 'calibration_error': 0.337}
    """
    if task not in _PARTS:
        raise ConfigError(f"task must be one of {', '.join(_PARTS)}; not {task!r}")
    fits = {"binary": classes in (None, 2), "multiclass": (classes or 0) >= 2, "regression": classes is None}
    if not fits[task]:
        expected = {"binary": "2 or None", "multiclass": "at least 2", "regression": "None"}[task]
        raise ConfigError(f"classes must be {expected} for a {task} task, not {classes!r}")
    if loss is not None and loss.task != task:
        raise ConfigError(f"loss {loss.name!r} is for task {loss.task!r}, not {task!r}")
    parts: dict[str, Metric] = {} if loss is None else {"loss": MeanLoss(loss)}
    return Metrics(parts | _PARTS[task](loss, classes))


def _binary(loss, classes):
    parts: dict[str, Metric] = {"accuracy": Accuracy(), "auc": AUC()}
    if loss is None or loss.probabilities:
        logistic = loss is None or loss.link == "logit"
        inverse_link = _logistic if loss is None else loss.inverse_link
        parts["log_loss"] = BinaryLogLoss(None if logistic else inverse_link)
        parts["calibration"] = Calibration(inverse_link)
    return parts


def _multiclass(loss, classes):
    parts: dict[str, Metric] = {"accuracy": ClassAccuracy(classes)}
    if loss is None or loss.probabilities:
        softmax = loss is None or loss.name == "softmax"
        parts["log_loss"] = ClassLogLoss(None if softmax else loss.inverse_link)
    return parts


def _regression(loss, classes):
    inverse_link = _identity if loss is None else loss.inverse_link
    parts: dict[str, Metric] = {"errors": Errors(inverse_link)}
    if loss is not None and loss.link == "log":
        power = {"poisson": 1.0, "gamma": 2.0}.get(loss.name) or loss.power
        parts["deviance"] = Deviance(f"{loss.name}_deviance", inverse_link, power)
    return parts


def _identity(score):
    return score


def _logistic(score):
    return 0.5 * (1 + np.tanh(0.5 * score))


_PARTS = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}
