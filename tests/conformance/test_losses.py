"""Every registered loss obeys the contract of :class:`dsgd.losses.Loss`; a new one is tested by being registered."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from sklearn._loss import loss as reference

from dsgd.errors import ConfigError, DataError
from dsgd.kernels.protocols import loss_curvature, loss_gradient, loss_value
from dsgd.losses import LOSSES, check_targets, make_loss
from dsgd.losses.formulas import KINK_WIDTH

TARGETS = {
    "sign": [-1.0, 1.0],
    "real": [-2.5, 0.0, 0.3, 7.0],
    "nonnegative": [0.0, 0.3, 1.0, 12.0],
    "positive": [0.3, 1.0, 12.0],
}
OUTSIDE = {
    "sign": [0.0, 2.0, np.nan],
    "real": [np.nan, np.inf],
    "nonnegative": [-1.0, np.nan, np.inf],
    "positive": [0.0],
}
PARAMETERS = [
    {},
    {"epsilon": 1.5, "quantile": 0.9, "power": 1.1},
    {"epsilon": 0.02, "quantile": 0.05, "power": 1.95},
]


def _objects():
    """Every registered loss with every set of parameters that makes a difference."""
    distinct = dict.fromkeys(make_loss(name, **chosen) for name in LOSSES for chosen in PARAMETERS)
    return [pytest.param(loss, id=f"{loss.name}{list(loss)}") for loss in distinct]


def _those(condition):
    return pytest.mark.parametrize("loss", [case for case in _objects() if condition(case.values[0])])


every_loss = _those(lambda loss: True)
every_smooth_loss = _those(lambda loss: loss.smooth)
# The rest is smooth and unbounded, as the exponential is: no parabola lies above it.
every_loss_below_a_parabola = _those(lambda loss: np.isfinite(loss.curvature_bound) or not loss.smooth)
scores = st.lists(st.floats(-20, 20), min_size=1, max_size=40).map(np.array)


def _grid(loss, points):
    """All pairs of scores and targets of the domain."""
    score, target = np.meshgrid(np.asarray(points, float), TARGETS[loss.domain])
    return score.ravel(), target.ravel()


def _corners(loss, target):
    """Where the derivatives of the known piecewise losses may jump, as scores."""
    if loss.domain == "sign":
        return [np.ones_like(target), -np.ones_like(target)]
    width = getattr(loss, "epsilon", 0.0)
    return [target - width, target + width, target]


def _away_from_corners(loss, score, target, distance=1e-3):
    return np.all([np.abs(score - corner) > distance for corner in _corners(loss, target)], axis=0)


@njit
def _compiled(loss, score, target, value, gradient, curvature):
    for i in range(score.size):
        value[i] = loss_value(loss, score[i], target[i])
        gradient[i] = loss_gradient(loss, score[i], target[i])
        curvature[i] = loss_curvature(loss, score[i], target[i])


@every_loss
@settings(deadline=None, max_examples=30)
@given(points=scores)
def test_gradient_is_the_derivative_of_the_value(loss, points):
    score, target = _grid(loss, points)
    keep = _away_from_corners(loss, score, target)
    score, target, step = score[keep], target[keep], 1e-5
    slope = (loss.value(score + step, target) - loss.value(score - step, target)) / (2 * step)
    scale = 1 + np.abs(slope) + np.abs(loss.value(score, target))
    assert np.all(np.abs(loss.gradient(score, target) - slope) <= 1e-6 * scale)


@every_smooth_loss
@settings(deadline=None, max_examples=30)
@given(points=scores)
def test_curvature_is_the_derivative_of_the_gradient_where_it_is_smooth(loss, points):
    score, target = _grid(loss, points)
    keep = _away_from_corners(loss, score, target)
    score, target, step = score[keep], target[keep], 1e-5
    slope = (loss.gradient(score + step, target) - loss.gradient(score - step, target)) / (2 * step)
    scale = 1 + np.abs(slope) + np.abs(loss.gradient(score, target))
    assert np.all(np.abs(loss.curvature(score, target) - slope) <= 1e-6 * scale)


@every_loss_below_a_parabola
@settings(deadline=None, max_examples=30)
@given(points=scores, others=scores)
def test_a_parabola_of_the_bounding_curvature_lies_above(loss, points, others):
    score, target = _grid(loss, points)
    curvature = loss.curvature(score, target) if np.isinf(loss.curvature_bound) else loss.curvature_bound
    for other in others:
        move = other - score
        model = loss.value(score, target) + loss.gradient(score, target) * move + 0.5 * curvature * move**2
        assert np.all(model - loss.value(other, target) >= -4 * KINK_WIDTH - 1e-12 * np.abs(model))


@every_loss
def test_curvature_is_within_its_bound_and_the_bound_is_reached(loss):
    score, target = _grid(loss, np.linspace(-9, 9, 3601))
    curvature = loss.curvature(score, target)
    assert np.all(curvature >= 0)
    if np.isfinite(loss.curvature_bound):
        assert curvature.max() == pytest.approx(loss.curvature_bound, rel=1e-6)


@every_loss
@settings(deadline=None, max_examples=30)
@given(points=scores, others=scores)
def test_convex_with_a_subgradient_everywhere_kinks_included(loss, points, others):
    corners = np.unique(np.concatenate(_corners(loss, np.array(TARGETS[loss.domain]))))
    score, target = _grid(loss, np.concatenate([points, corners]))
    value, gradient = loss.value(score, target), loss.gradient(score, target)
    for other in np.concatenate([others, corners]):
        tangent = value + gradient * (other - score)
        actual = loss.value(other, target)
        assert np.all(actual - tangent >= -1e-12 * (1 + np.abs(value) + np.abs(gradient * (other - score))))


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_stay_finite_in_their_own_dtype(loss, dtype):
    score, target = _grid(loss, [-1e4, -700, -90, -64, -1e-30, 0, 1e-30, 64, 90, 700, 1e4])
    score, target = score.astype(dtype), target.astype(dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for formula in (loss.value, loss.gradient, loss.curvature):
            result = formula(score, target)
            assert result.dtype == dtype
            assert result.shape == score.shape
            assert np.all(np.isfinite(result))
        assert np.all(np.isfinite(loss.inverse_link(score)))


@every_loss
def test_a_diverged_score_shows_in_the_value(loss):
    target = np.array(TARGETS[loss.domain])
    assert np.all(np.isnan(loss.value(np.full_like(target, np.nan), target)))


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_scalars_equal_the_vectorised_formulas(loss, dtype):
    score, target = _grid(loss, [*np.linspace(-6, 6, 97), -1e4, 1e4, 0.1, -0.1])
    score, target = score.astype(dtype), target.astype(dtype)
    out = np.full((3, score.size), np.nan, dtype)
    _compiled(loss, score, target, *out)
    for got, formula in zip(out, (loss_value, loss_gradient, loss_curvature), strict=True):
        # float32 formulas may be carried out in double precision when compiled, and then land on the other side of a
        # corner than the rounded ones do.
        keep = _away_from_corners(loss, score, target, 1e-5) if dtype == np.float32 else np.full(score.size, True)
        tolerance = {"rtol": 2e-4, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-14}
        np.testing.assert_allclose(got[keep], formula(loss, score, target)[keep], **tolerance)


@every_loss
def test_pickles_hashes_and_equals_only_itself(loss):
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert len({loss, pickle.loads(pickle.dumps(loss))}) == 1
    assert [other for other in _losses() if other == loss] == [loss]
    assert loss != tuple(loss)


def _losses():
    return [case.values[0] for case in _objects()]


@every_loss
@settings(deadline=None, max_examples=30)
@given(points=scores)
def test_inverse_link_gives_what_the_link_promises(loss, points):
    mean = loss.inverse_link(np.sort(points))
    assert np.all(np.diff(mean) >= 0)
    if loss.probabilities:
        assert loss.task == "binary"
        assert np.all((mean >= 0) & (mean <= 1))
        np.testing.assert_allclose(loss.inverse_link(-np.sort(points)), 1 - mean, atol=1e-12)
    elif loss.link == "log":
        np.testing.assert_allclose(np.log(mean), np.sort(points), atol=1e-12)
    else:
        np.testing.assert_array_equal(mean, np.sort(points))


@every_loss
def test_targets_of_the_domain_pass_and_others_are_named(loss):
    good = np.repeat(TARGETS[loss.domain], 3)
    check_targets(loss, good)
    check_targets(loss, np.array([]))
    for value in OUTSIDE[loss.domain]:
        bad = np.append(good, [value, value])
        with pytest.raises(DataError, match=f"row {100 + good.size} of column 'y' is {value}") as caught:
            check_targets(loss, bad, first_row=100, source="column 'y'")
        assert loss.name in str(caught.value)
        assert "(2 such rows in" in str(caught.value)


def test_targets_that_are_not_numbers():
    with pytest.raises(DataError, match="numeric targets"):
        check_targets(make_loss("hinge"), np.array(["yes", "no"]))


SAME_IN_SCIKIT_LEARN = [
    ("squared_error", {}, reference.HalfSquaredError()),
    ("huber", {"epsilon": 1.5}, None),
    ("quantile", {"quantile": 0.8}, reference.PinballLoss(quantile=0.8)),
    ("poisson", {}, reference.HalfPoissonLoss()),
    ("gamma", {}, reference.HalfGammaLoss()),
    ("tweedie", {"power": 1.3}, reference.HalfTweedieLoss(power=1.3)),
    ("tweedie", {"power": 1}, reference.HalfPoissonLoss()),
    ("tweedie", {"power": 2}, reference.HalfGammaLoss()),
]


@pytest.mark.parametrize(("name", "parameters", "theirs"), SAME_IN_SCIKIT_LEARN)
def test_agrees_with_scikit_learn(name, parameters, theirs):
    ours = make_loss(name, **parameters)
    if theirs is None:
        # scikit-learn's HuberLoss sets its width while it fits; give it ours.
        theirs = reference.HuberLoss()
        theirs.closs.delta = parameters["epsilon"]
    score, target = _grid(ours, np.linspace(-3.1, 4.2, 50))
    np.testing.assert_allclose(ours.gradient(score, target), theirs.gradient(target, score), atol=1e-12)
    difference = ours.value(score, target) - theirs.loss(target, score)
    for y in np.unique(target):
        assert np.ptp(difference[target == y]) < 1e-12  # equal up to a term of the target alone


def test_log_loss_agrees_with_scikit_learn():
    ours, theirs = make_loss("log_loss"), reference.HalfBinomialLoss()
    score, target = _grid(ours, np.linspace(-30, 30, 61))
    zero_one = (target + 1) / 2
    np.testing.assert_allclose(ours.value(score, target), theirs.loss(zero_one, score), atol=1e-14)
    np.testing.assert_allclose(ours.gradient(score, target), theirs.gradient(zero_one, score), rtol=1e-12)
    curvature = theirs.gradient_hessian(zero_one, score)[1]
    np.testing.assert_allclose(ours.curvature(score, target), curvature, rtol=1e-9)
    np.testing.assert_allclose(ours.inverse_link(score), theirs.predict_proba(score)[:, 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "score", "target", "value", "gradient"),
    [
        ("hinge", 0.25, 1.0, 0.75, -1.0),
        ("squared_hinge", -1.0, 1.0, 4.0, -4.0),
        ("modified_huber", -3.0, 1.0, 12.0, -4.0),
        ("modified_huber", 0.5, -1.0, 2.25, 3.0),
        ("epsilon_insensitive", 1.0, 0.5, 0.4, 1.0),
        ("squared_epsilon_insensitive", 1.0, 0.5, 0.16, 0.8),
        ("huber", 2.0, 1.0, 0.095, 0.1),
    ],
)
def test_worked_examples(name, score, target, value, gradient):
    loss = make_loss(name, epsilon=0.1)
    assert float(loss.value(score, target)) == pytest.approx(value)
    assert float(loss.gradient(score, target)) == pytest.approx(gradient)


def test_the_absolute_error_has_a_subgradient_at_its_kink():
    loss = make_loss("epsilon_insensitive", epsilon=0)
    np.testing.assert_array_equal(loss.gradient(np.array([-1.0, 0.0, 1.0]), np.zeros(3)), [-1, 0, 1])


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("logg_loss", {}, "log_loss.*'logg_loss'"),
        ("huber", {"epsilon": 0}, "epsilon must be > 0 for huber"),
        ("log_loss", {"epsilon": -1}, "epsilon must be >= 0"),
        ("hinge", {"epsilon": float("nan")}, "epsilon"),
        ("quantile", {"quantile": 1}, r"quantile must be within \(0, 1\), not 1"),
        ("tweedie", {"power": 2.5}, r"power must be within \[1, 2\], not 2.5"),
    ],
)
def test_mistakes_are_told_before_any_work(name, parameters, words):
    with pytest.raises(ConfigError, match=words):
        make_loss(name, **parameters)
