"""Where a classifier draws the line: Spark ML's ``threshold`` and ``thresholds``, applied to scores and probabilities.

With one score a row, ``threshold`` is of the second class's probability, or of the score itself where a loss has no
probabilities (as in LinearSVC); ``thresholds`` divide the probabilities, and the largest quotient wins.
"""

from dataclasses import dataclass

import numpy as np

from dsgd.errors import ConfigError
from dsgd.fitted import LinearModel


@dataclass(frozen=True)
class Decision:
    """The rule by which a class is chosen.

    Attributes
    ----------
    threshold : float, optional
        Of the second of two classes; None for the most probable class.
    thresholds : tuple of float, optional
        One for each class.
    """

    threshold: float | None = None
    thresholds: tuple[float, ...] | None = None

    def positions(self, scores: np.ndarray, probabilities: np.ndarray | None) -> np.ndarray:
        """Return the position of the class of each row.

        Parameters
        ----------
        scores : ndarray of shape (n,) or (n, k)
        probabilities : ndarray of shape (n, classes), or None where the loss has none

        Examples
        --------
        >>> probabilities = np.array([[0.7, 0.3], [0.4, 0.6]])
        >>> scores = np.array([-0.8, 0.4])
        >>> Decision().positions(scores, probabilities).tolist()
        [0, 1]
        >>> Decision(threshold=0.2).positions(scores, probabilities).tolist()
        [1, 1]
        >>> Decision(thresholds=(0.5, 1.0)).positions(scores, probabilities).tolist()
        [0, 0]
        """
        if self.thresholds is not None and probabilities is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled = probabilities / np.array(self.thresholds)
            return np.nan_to_num(scaled, nan=-np.inf, posinf=np.inf).argmax(axis=1)
        if self.threshold is not None:
            second = scores if probabilities is None else probabilities[:, 1]
            return (second > self.threshold).astype(np.intp)
        return (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)


def decision_for(core: LinearModel, threshold: float | None, thresholds: list[float] | None) -> Decision:
    """Return the rule that the Params ask for, as they were set.

    Parameters
    ----------
    core : LinearModel
        Of a classification.
    threshold : float, optional
    thresholds : list of float, optional

    Raises
    ------
    ConfigError
        When they do not suit the number of classes, or the loss.
    """
    classes, probable = len(core.classes), core.loss_object.probabilities  # type: ignore[arg-type]
    if thresholds is not None:
        if not probable:
            raise ConfigError(
                f"thresholds are of probabilities, and loss={core.loss!r} has none: use threshold, of the score, or fit with"
                " loss='log_loss'"
            )
        if len(thresholds) != classes:
            raise ConfigError(
                f"thresholds={list(thresholds)} are {len(thresholds)} numbers, and the model has {classes} classes; give one"
                " for each"
            )
        if classes != 2:
            return Decision(thresholds=tuple(thresholds))
        first, second = thresholds
        return Decision(threshold=second / (first + second))  # Spark ML's 1 / (1 + first / second), for a 0 as well
    if threshold is None:
        return Decision()
    if classes != 2:
        raise ConfigError(
            f"threshold is for two classes, and the model has {classes}; use thresholds, one for each class"
        )
    return Decision(threshold=threshold)
