"""What a sample of rows says about the features alone: second moments, largest values, sizes of rows.

These are what the coordinates of small steps are made of (:mod:`dsgd.train.whitening`); sums add up over ranks.
"""

import numpy as np

from .curvature import Sample

_ROWS = 1 << 12


def moments(sample: Sample) -> np.ndarray:
    """Sum of weight x x' over the sampled rows, and their number; shape (p * p + 1,), float64, for p = a + 1 features."""
    total = np.zeros((sample.features.shape[1],) * 2)
    for start in range(0, len(sample.target), _ROWS):
        features, weight = sample.features[start : start + _ROWS], sample.weight[start : start + _ROWS]
        total += features.T @ (features * weight[:, None])
    return np.append(total.ravel(), len(sample.target))


def largest_squares(sample: Sample) -> np.ndarray:
    """Largest weight x square of every feature; shape (p,), float64."""
    largest = np.zeros(sample.features.shape[1])
    for start in range(0, len(sample.target), _ROWS):
        features, weight = sample.features[start : start + _ROWS], sample.weight[start : start + _ROWS]
        largest = np.maximum(largest, (features * features * weight[:, None]).max(axis=0))
    return largest


def sums_of_squares(sample: Sample) -> np.ndarray:
    """Sum of weight x square of every feature; shape (p,), float64."""
    total = np.zeros(sample.features.shape[1])
    for start in range(0, len(sample.target), _ROWS):
        features, weight = sample.features[start : start + _ROWS], sample.weight[start : start + _ROWS]
        total += weight @ (features * features)
    return total


def row_sizes(sample: Sample, matrix: np.ndarray) -> np.ndarray:
    """Weight x (x' M x) of every row, for a matrix of shape (p, p), or a diagonal of shape (p,)."""
    features = sample.features
    if matrix.ndim == 1:
        return ((features * features) @ matrix.astype(features.dtype)) * sample.weight
    return np.einsum("ij,ij->i", features @ matrix.astype(features.dtype), features) * sample.weight


def totals(sample: Sample) -> np.ndarray:
    """Weighted sums of the target and of exp(offset); shape (2,)."""
    weight = sample.weight.astype(np.float64)
    return np.array([weight @ sample.target, weight @ np.exp(sample.offset.astype(np.float64))])
