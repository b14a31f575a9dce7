"""Losses whose kinks are rounded off stay what they stand for: smooth, close, convex, and safe to build a parabola on."""

import numpy as np
import pytest
from numba import njit

from dsgd.kernels.protocols import loss_gradient, loss_value
from dsgd.losses import LOSSES, OneVersusRest, make_loss
from dsgd.losses.second import curvatures, touching_curvature
from dsgd.losses.smoothing import slack, smoothed, steepness

WIDTH = 0.3
KINKED = [make_loss("hinge"), make_loss("quantile", quantile=0.2), make_loss("epsilon_insensitive", epsilon=0.5)]
KINKED += [make_loss("epsilon_insensitive", epsilon=0.0), make_loss("huber", epsilon=0.1)]
every_kink = pytest.mark.parametrize("loss", KINKED, ids=str)


def grid(loss):
    domain = "sign" if "Hinge" in type(loss).__name__ else getattr(loss, "domain", "real")
    targets = {"sign": [-1.0, 1.0], "real": [-2.5, 0.0, 7.0], "nonnegative": [0.0, 7.0], "positive": [0.3, 12.0]}[
        domain
    ]
    score, target = np.meshgrid(np.linspace(-9, 9, 361) + 1e-4, targets)
    return score.ravel(), target.ravel()


@every_kink
def test_close_to_the_loss_and_equal_to_it_without_a_width(loss):
    score, target = grid(loss)
    assert smoothed(loss, 0.0) == loss
    assert smoothed(OneVersusRest(loss, 3), WIDTH) == OneVersusRest(smoothed(loss, WIDTH), 3)
    difference = smoothed(loss, WIDTH).value(score, target) - loss.value(score, target)
    assert np.abs(difference).max() <= 0.5 * WIDTH * steepness(loss)
    # At the ends of the pinball's kink, and nowhere else, something is left.
    assert loss.smooth or difference.min() >= -1e-12


@every_kink
def test_derivatives(loss):
    rounded, (score, target), step = smoothed(loss, WIDTH), grid(loss), 1e-6
    slope = (rounded.value(score + step, target) - rounded.value(score - step, target)) / (2 * step)
    np.testing.assert_allclose(rounded.gradient(score, target), slope, atol=1e-6)
    bend = (rounded.gradient(score + step, target) - rounded.gradient(score - step, target)) / (2 * step)
    np.testing.assert_allclose(rounded.curvature(score, target), bend, atol=1e-4)


@every_kink
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_as_in_python(loss, dtype):
    @njit
    def compiled(loss, score, target):
        return loss_value(loss, score, target), loss_gradient(loss, score, target)

    rounded, (score, target) = smoothed(loss, WIDTH), grid(loss)
    score, target = score.astype(dtype), target.astype(dtype)
    pairs = np.array([compiled(rounded, s, t) for s, t in zip(score, target, strict=True)])
    np.testing.assert_allclose(pairs[:, 0], rounded.value(score, target), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pairs[:, 1], rounded.gradient(score, target), rtol=1e-5, atol=1e-6)
    assert rounded.value(score, target).dtype == dtype
    assert rounded.curvature(score, target).dtype == dtype


EVERY = [make_loss(name) for name in LOSSES] + [smoothed(loss, WIDTH) for loss in KINKED]


@pytest.mark.parametrize("loss", EVERY, ids=str)
def test_a_parabola_of_the_touching_curvature_lies_above(loss):
    score, target = grid(loss)
    curvature = touching_curvature(loss, score, target)
    value, slope = loss.value(score, target), loss.gradient(score, target)
    reach = np.linspace(-15, 15, 61)
    if getattr(loss, "link", "") == "log":
        # Only a way of about 1 is safe above an exponential, and only against the slope.
        assert (np.abs(slope) <= curvature * (1 + 1e-12)).all()
        moved = score - slope / np.maximum(curvature, 1e-300)
        assert (loss.value(moved, target) <= value + 1e-12 * np.abs(value)).all()
        return
    for other in reach:
        model = value + slope * (other - score) + 0.5 * curvature * (other - score) ** 2
        assert (model - loss.value(other, target) >= -1e-5 * (1 + np.abs(model))).all()


@every_kink
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_the_slack_is_the_gap_of_fenchel_and_young(loss, target):
    rounded, points = smoothed(loss, WIDTH), np.linspace(-60, 60, 240_001)
    scores = np.array([-1.7, -1.2, -0.9, -0.2, 0.05, 0.8, 1.1])
    targets = np.full_like(scores, target)
    slopes, gaps = rounded.gradient(scores, targets), slack(rounded, scores, targets)
    for score, slope, gap in zip(scores, slopes, gaps, strict=True):
        conjugate = (slope * points - loss.value(points, target)).max()
        assert gap == pytest.approx(loss.value(score, target) + conjugate - slope * score, abs=1e-3)


def test_rows_of_all_outputs():
    loss = OneVersusRest(smoothed(make_loss("hinge"), WIDTH), 3)
    scores, target = np.array([[0.9, -1.1, 0.0], [2.0, -0.8, -1.0]]), np.array([0.0, 2.0])
    by_hand = [
        [slack(loss.loss, s, 1.0 if j == t else -1.0) for j, s in enumerate(row)]
        for row, t in zip(scores, target, strict=True)
    ]
    np.testing.assert_allclose(slack(loss, scores, target), np.sum(by_hand, axis=1))
    plain, raised = (dict(curvatures(loss, scores, target, floor)) for floor in (0.0, 1.0))
    assert all((raised[pair] >= plain[pair]).all() and (raised[pair] > 0).all() for pair in plain)
