"""Metrics of more than two classes: accuracy and log-loss. Scores have shape (n, k), targets are 0 .. k-1."""

import numpy as np
from scipy.special import logsumexp

from .base import Metric, mean
from .binary import PROBABILITY_FLOOR


def _own(matrix, target):
    """The entry of each row's class, of shape (n, 1)."""
    return np.take_along_axis(matrix, target.astype(np.intp)[:, None], axis=1)


class ClassAccuracy(Metric):
    """Weighted share of rows whose largest score is their class's, over all rows and as the mean over classes seen.

    The first of equal scores is the prediction.
    """

    def __init__(self, classes: int):
        super().__init__(2 * classes)
        self.classes = classes

    def update(self, scores, target, weight):
        right = np.argmax(scores, axis=1) == target
        place = target.astype(np.intp)
        for row, amount in zip(self.sums.reshape(2, -1), (weight * right, weight), strict=True):
            row += np.bincount(place, weights=amount, minlength=self.classes)

    def results(self):
        right, total = self.sums.reshape(2, -1)
        seen = total > 0
        recall = right[seen] / total[seen]
        return {"accuracy": mean(right.sum(), total.sum()), "balanced_accuracy": mean(recall.sum(), recall.size)}


class ClassLogLoss(Metric):
    """Mean negative log-likelihood of the classes.

    Parameters
    ----------
    inverse_link : callable or None
        Probabilities (n, k) for scores; None for softmax, which is then evaluated without rounding to 0 or 1.
    """

    def __init__(self, inverse_link=None):
        super().__init__(2)
        self.inverse_link = inverse_link

    def update(self, scores, target, weight):
        if self.inverse_link is None:
            losses = logsumexp(scores - _own(scores, target), axis=1)
        else:
            losses = -np.log(np.maximum(_own(self.inverse_link(scores), target)[:, 0], PROBABILITY_FLOOR))
        self.sums += [weight @ losses, weight.sum()]

    def results(self):
        return {"log_loss": mean(*self.sums)}
