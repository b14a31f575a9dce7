"""Metrics of two classes: accuracy, log-loss, calibration. Targets are -1 and +1; probabilities are of +1."""

import numpy as np

from .base import Metric, mean

PROBABILITY_FLOOR = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 before their logarithm is taken, as scikit-learn does."""


class Accuracy(Metric):
    """Weighted share of rows whose score has the sign of the target; a score of 0 predicts -1, as in scikit-learn."""

    def __init__(self):
        super().__init__(2)

    def update(self, scores, target, weight):
        self.sums += [weight @ ((scores > 0) == (target > 0)), weight.sum()]

    def results(self):
        return {"accuracy": mean(*self.sums)}


class BinaryLogLoss(Metric):
    """Mean negative log-likelihood of the classes.

    Parameters
    ----------
    inverse_link : callable or None
        Probability of +1 for a score; None for the logistic function, which is then not rounded to 0 or 1.
    """

    def __init__(self, inverse_link=None):
        super().__init__(2)
        self.inverse_link = inverse_link

    def update(self, scores, target, weight):
        positive = target > 0
        if self.inverse_link is None:
            losses = np.logaddexp(0, np.where(positive, -scores, scores))
        else:
            probability = self.inverse_link(scores)
            likelihood = np.where(positive, probability, 1 - probability)
            losses = -np.log(np.maximum(likelihood, PROBABILITY_FLOOR))
        self.sums += [weight @ losses, weight.sum()]

    def results(self):
        return {"log_loss": mean(*self.sums)}


class Calibration(Metric):
    """How far predicted probabilities are from observed frequencies, in bins of equal width.

    The expected calibration error is the mean over rows of \\|mean prediction - share of positives\\| of the row's bin
    (Naeini, Cooper & Hauskrecht, 2015).

    Parameters
    ----------
    inverse_link : callable
        Probability of +1 for a score.
    bins : int
    """

    def __init__(self, inverse_link, bins: int = 20):
        super().__init__(3 * bins)
        self.inverse_link, self.bins = inverse_link, bins

    def update(self, scores, target, weight):
        probability = np.nan_to_num(self.inverse_link(scores), nan=0.5)
        place = np.minimum((probability * self.bins).astype(np.intp), self.bins - 1)
        for row, amount in zip(self._rows(), (weight, weight * probability, weight * (target > 0)), strict=True):
            row += np.bincount(place, weights=amount, minlength=self.bins)

    def _rows(self):
        return self.sums.reshape(3, self.bins)

    def table(self) -> dict[str, np.ndarray]:
        """Weight, mean prediction and share of positives of the bins that hold rows, each of shape (bins held,)."""
        weight, predicted, observed = self._rows()
        held = weight > 0
        return {
            "weight": weight[held],
            "predicted": predicted[held] / weight[held],
            "observed": observed[held] / weight[held],
        }

    def results(self):
        table = self.table()
        gap = np.abs(table["predicted"] - table["observed"])
        return {"calibration_error": mean(table["weight"] @ gap, table["weight"].sum())}
