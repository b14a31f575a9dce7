"""What small steps need to know of a sample of rows: how curved the objective is in its features, and how large single rows are.

The coordinates of such steps are made of it (:mod:`dsgd.train.whitening`); sums add up over ranks.
"""

import numpy as np

from .curvature import Sample


class RowCurvature:
    """Curvature of each sampled row's loss at some weights, one output at a time.

    Parameters
    ----------
    sample : Sample
    weights : ndarray of shape ((a + 1) k,)
    least : float
        What a row's second derivative counts for at least: a row that is fitted well now may not be so a few steps on.

    Attributes
    ----------
    factors : ndarray of shape (n, k)
        Weight x second derivative.
    """

    def __init__(self, sample: Sample, weights: np.ndarray, least: float):
        self._features = sample.features
        curvature = np.maximum(sample.own_curvatures(weights), sample.problem.dtype.type(least))
        self.factors = curvature * sample.weight[:, None]

    def sums(self) -> np.ndarray:
        """``sum_i factor_ic x_i x_i'`` for each output c, and the number of rows; shape (k p p + 1,), float64."""
        grams = [self._features.gram(np.ascontiguousarray(factor)) for factor in self.factors.T]
        return np.append(np.stack(grams).ravel(), len(self.factors))

    def largest_squares(self) -> np.ndarray:
        """Largest factor x square of every feature; shape (k, p), float64."""
        return np.stack([self._features.largest_squares(np.ascontiguousarray(factor)) for factor in self.factors.T])

    def quantile(self, matrix: np.ndarray, share: float) -> float:
        """A quantile over the rows of ``sum_c factor_ic x_i' M_c x_i``, for M of shape (k, p, p), or (k, p) if diagonal."""
        if not len(self.factors):
            return 0.0
        sizes = sum(self._features.sizes(m) * f for m, f in zip(matrix, self.factors.T, strict=True))
        return float(np.quantile(sizes, share))


def sums_of_squares(sample: Sample) -> np.ndarray:
    """Sum of weight x square of every feature; shape (p,), float64."""
    return sample.features.squares(sample.weight)


def largest_squares(sample: Sample) -> np.ndarray:
    """Largest weight x square of every feature; shape (p,), float64."""
    return sample.features.largest_squares(sample.weight)
