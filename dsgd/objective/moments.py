"""What a sample of rows says about the features alone: second moments, largest values, sizes of rows.

These are what the coordinates of small steps are made of (:mod:`dsgd.train.whitening`); sums add up over ranks.
"""

import numpy as np

from .curvature import Sample


def moments(sample: Sample) -> np.ndarray:
    """Sum of weight x x' over the sampled rows, and their number; shape (p * p + 1,), float64, for p = a + 1 features."""
    return np.append(sample.features.gram(sample.weight).ravel(), len(sample.target))


def sums_of_squares(sample: Sample) -> np.ndarray:
    """Sum of weight x square of every feature; shape (p,), float64."""
    return sample.features.squares(sample.weight)


def largest_squares(sample: Sample) -> np.ndarray:
    """Largest weight x square of every feature; shape (p,), float64."""
    return sample.features.largest_squares(sample.weight)


def row_sizes(sample: Sample, matrix: np.ndarray) -> np.ndarray:
    """Weight x (x' M x) of every row, for a matrix of shape (p, p), or a diagonal of shape (p,); shape (n,)."""
    return sample.features.sizes(matrix) * sample.weight


def totals(sample: Sample) -> np.ndarray:
    """Weighted sums of the target and of exp(offset); shape (2,)."""
    weight = sample.weight.astype(np.float64)
    return np.array([weight @ sample.target, weight @ np.exp(sample.offset.astype(np.float64))])
