"""Losses of several scores a row: softmax, and one-versus-rest over every binary loss."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from sklearn._loss.loss import HalfMultinomialLoss

from dsgd.errors import DataError
from dsgd.kernels.protocols import row_residual
from dsgd.losses import LOSSES, OneVersusRest, Softmax, check_targets, make_loss, softmax_value

BINARY = [name for name, loss in LOSSES.items() if loss.task == "binary"]
K = 4
every_loss = pytest.mark.parametrize(
    "loss",
    [
        pytest.param(loss, id=str(loss))
        for loss in [Softmax(K), *(OneVersusRest(make_loss(name), outputs=K) for name in BINARY)]
    ],
)


@njit
def _compiled(loss, scores, target, values, residuals):
    for i in range(target.size):
        values[i] = row_residual(loss, scores[i], target[i], residuals[i])


def _sample(seed, scale=3.0, dtype=np.float64):
    random = np.random.default_rng(seed)
    return (scale * random.standard_normal((40, K))).astype(dtype), random.integers(0, K, 40).astype(dtype)


@every_loss
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_residual_is_the_derivative_of_the_value(loss, seed):
    scores, target = _sample(seed)
    if not loss.smooth or loss != Softmax(K):
        # The corners of binary losses are at +1 and -1.
        near = np.abs(np.abs(scores) - 1) < 1e-3
        scores[near] += 0.01
    residuals, step = loss.residuals(scores, target), 1e-5
    for j in range(K):
        move = step * (np.arange(K) == j)
        slope = (loss.value(scores + move, target) - loss.value(scores - move, target)) / (2 * step)
        np.testing.assert_allclose(residuals[:, j], slope, rtol=1e-6, atol=1e-7)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_compiled_and_in_python_equal_the_matrix_functions(loss, dtype):
    scores, target = _sample(3, dtype=dtype)
    scores[0], scores[1], scores[2] = 0, 1e4, -1e4
    scores[3, 1] = 1e4
    values, residuals = np.full(40, np.nan, dtype), np.full((40, K), np.nan, dtype)
    _compiled(loss, scores, target, values, residuals)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(values, loss.value(scores, target), **tolerance)
        np.testing.assert_allclose(residuals, loss.residuals(scores, target), **tolerance)
    assert loss.residuals(scores, target).dtype == dtype
    row = np.empty(K, dtype)
    assert row_residual(loss, scores[7], target[7], row) == pytest.approx(float(values[7]), rel=1e-5)
    np.testing.assert_allclose(row, residuals[7], **tolerance)


@every_loss
def test_the_residual_may_overwrite_the_scores(loss):
    scores, target = _sample(5)
    values, residuals, together = np.empty(40), np.empty((40, K)), scores.copy()
    _compiled(loss, scores, target, values, residuals)
    again = np.empty(40)
    _compiled(loss, together, target, again, together)
    np.testing.assert_array_equal(together, residuals)
    np.testing.assert_array_equal(again, values)


@every_loss
def test_pickles_hashes_and_states_its_domain(loss):
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert hash(pickle.loads(pickle.dumps(loss))) == hash(loss)
    assert loss.task == "multiclass"
    assert loss.curvature_bound > 0
    check_targets(loss, np.arange(K))
    for value in (-1.0, 1.5, float(K), np.nan):
        with pytest.raises(DataError, match=f"class numbers 0 .. 3, but row 2 of y is {value}"):
            check_targets(loss, [0, 1, value])


@every_loss
def test_probabilities_add_up_to_one(loss):
    scores, _ = _sample(8)
    scores[0] = -1e4
    predictions = loss.inverse_link(scores)
    if loss.probabilities:
        assert np.all((predictions >= 0) & (predictions <= 1))
        np.testing.assert_allclose(predictions.sum(axis=1), 1)
    else:
        np.testing.assert_array_equal(predictions, scores)


def test_softmax_is_scikit_learns_multinomial():
    scores, target = _sample(11)
    theirs = HalfMultinomialLoss(n_classes=K)
    np.testing.assert_allclose(Softmax(K).value(scores, target), theirs.loss(target, scores), rtol=1e-12)
    np.testing.assert_allclose(Softmax(K).residuals(scores, target), theirs.gradient(target, scores), atol=1e-12)
    assert softmax_value(scores[0], target[0]) == pytest.approx(theirs.loss(target[:1], scores[:1])[0])


def test_softmax_over_two_classes_is_the_log_loss_of_their_difference():
    scores = np.random.default_rng(1).standard_normal((20, 2))
    target = np.arange(20.0) % 2
    binary = make_loss("log_loss").value(scores[:, 1] - scores[:, 0], 2 * target - 1)
    np.testing.assert_allclose(Softmax(2).value(scores, target), binary, rtol=1e-12)
