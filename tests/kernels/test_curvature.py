"""Weighted outer products of rows against the plain formula, and the curvature made of them against differences."""

import numpy as np
import pytest

from dsgd.kernels.curvature import BLOCK, weighted_gram
from dsgd.losses import LOSSES, make_loss


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("signs", ["positive", "negative", "mixed", "zero"])
@pytest.mark.parametrize("rows", [0, 3, BLOCK + 17])
def test_weighted_gram(rows, signs, dtype):
    random = np.random.default_rng(rows)
    features = random.standard_normal((rows, 6)).astype(dtype)
    factor = random.uniform(0.1, 1, rows) * {"positive": 1, "negative": -1, "zero": 0, "mixed": 1}[signs]
    if signs == "mixed":
        factor[::2] *= -1
    wide = features.astype(np.float64)
    found = weighted_gram(features, factor.astype(dtype))
    assert found.dtype == np.float64
    np.testing.assert_allclose(
        found, wide.T @ (wide * factor[:, None]), rtol=1e-5, atol=2e-4 if dtype == np.float32 else 1e-11
    )


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if np.isfinite(loss.curvature_bound)])
def test_it_makes_the_second_derivatives_of_an_objective(name):
    """Of its smooth pieces: no row of this sample passes a corner within the step of the difference."""
    loss, random = make_loss(name), np.random.default_rng(4)
    features, weights = random.standard_normal((50, 4)), random.standard_normal(4)
    target = np.where(random.random(50) < 0.5, -1.0, 1.0)

    def gradient(at):
        return features.T @ loss.gradient(features @ at, target)

    step = 1e-6
    differences = [(gradient(weights + move) - gradient(weights - move)) / (2 * step) for move in step * np.eye(4)]
    found = weighted_gram(features, loss.curvature(features @ weights, target))
    np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-7)
