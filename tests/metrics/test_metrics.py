"""Metrics: equal to scikit-learn's, however the rows are split, and defined for every loss."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn import metrics as reference

from dsgd.errors import ConfigError, DataError
from dsgd.losses import LOSSES, OneVersusRest, Softmax, check_targets, make_loss
from dsgd.metrics import AUC, Calibration, metrics_for
from dsgd.metrics.auc import BINS, REACH

K = 3


def _case(task, loss, random, n):
    """Scores, targets and weights that fit a task and a loss."""
    scores = random.standard_normal((n, K) if task == "multiclass" else n)
    noise = random.standard_normal(n)
    if task == "multiclass":
        target = random.integers(0, K, n).astype(float)
    elif task == "binary":
        target = np.where(scores + noise > 0, 1.0, -1.0)
    else:
        target = np.exp(scores + 0.3 * noise) if loss is not None and loss.link == "log" else scores + noise
    return scores, target, random.integers(0, 4, n).astype(float)


def _choices():
    yield from [("binary", None, None), ("multiclass", K, None), ("regression", None, None)]
    for name, cls in LOSSES.items():
        yield cls.task, None, make_loss(name)
        if cls.task == "binary":
            yield "multiclass", K, OneVersusRest(make_loss(name), K)
    yield "multiclass", K, Softmax(K)


every_choice = pytest.mark.parametrize(
    ("task", "classes", "loss"), [pytest.param(*choice, id=f"{choice[0]}-{choice[2]}") for choice in _choices()]
)


@every_choice
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), cuts=st.tuples(st.integers(0, 30), st.integers(0, 30)))
def test_any_split_merges_to_the_same_numbers(task, classes, loss, seed, cuts):
    scores, target, weight = _case(task, loss, np.random.default_rng(seed), 30)
    if loss is not None:
        check_targets(loss, target)
    pieces = [slice(0, min(cuts)), slice(min(cuts), max(cuts)), slice(max(cuts), 30)]

    def of(piece):
        metrics = metrics_for(task, classes, loss)
        metrics.update(scores[piece], target[piece], weight[piece])
        return metrics

    whole = of(slice(0, 30)).results()
    left = of(pieces[0]).merge(of(pieces[1])).merge(of(pieces[2])).results()
    right = of(pieces[0]).merge(of(pieces[1]).merge(of(pieces[2]))).results()
    reduced = metrics_for(task, classes, loss).from_vector(sum(of(piece).to_vector() for piece in pieces)).results()
    for other in (left, right, reduced):
        assert other.keys() == whole.keys()
        np.testing.assert_allclose(list(other.values()), list(whole.values()), rtol=1e-9, atol=1e-9)


@every_choice
def test_integer_weights_are_repetitions(task, classes, loss):
    scores, target, weight = _case(task, loss, np.random.default_rng(4), 50)
    weighted, repeated = metrics_for(task, classes, loss), metrics_for(task, classes, loss)
    weighted.update(scores, target, weight)
    times = weight.astype(int)
    repeated.update(np.repeat(scores, times, axis=0), np.repeat(target, times))
    np.testing.assert_allclose(list(weighted.results().values()), list(repeated.results().values()), rtol=1e-9)


@every_choice
def test_nothing_seen_is_nan_and_does_not_warn(task, classes, loss):
    metrics = metrics_for(task, classes, loss)
    metrics.update(np.empty((0, K) if task == "multiclass" else 0), np.empty(0), np.empty(0))
    with np.errstate(all="raise"):
        assert all(math.isnan(value) for value in metrics.results().values())


def test_binary_equals_scikit_learn():
    scores, target, weight = _case("binary", None, np.random.default_rng(0), 500)
    metrics = metrics_for("binary", 2, make_loss("log_loss"))
    metrics.update(scores, target, weight)
    got = metrics.results()
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(target > 0, scores > 0, sample_weight=weight))
    expected = reference.log_loss(target, expit(scores), sample_weight=weight)
    assert got["log_loss"] == pytest.approx(expected)
    assert got["loss"] == pytest.approx(expected)
    assert got["auc"] == pytest.approx(reference.roc_auc_score(target, scores, sample_weight=weight), abs=1e-4)


def test_clipped_probabilities_cost_what_scikit_learn_says():
    scores, target, weight = np.array([3.0, -3.0, 0.5]), np.array([1.0, 1.0, -1.0]), np.ones(3)
    metrics = metrics_for("binary", loss=make_loss("modified_huber"))
    metrics.update(scores, target, weight)
    expected = reference.log_loss(target, np.array([1.0, 0.0, 0.75]))
    assert metrics.results()["log_loss"] == pytest.approx(expected)


def test_losses_without_probabilities_report_none():
    assert set(metrics_for("binary", loss=make_loss("hinge")).results()) == {"loss", "accuracy", "auc"}
    ovr = metrics_for("multiclass", K, OneVersusRest(make_loss("hinge"), K))
    assert set(ovr.results()) == {"loss", "accuracy", "balanced_accuracy"}


def test_multiclass_equals_scikit_learn():
    scores, target, weight = _case("multiclass", None, np.random.default_rng(1), 300)
    metrics = metrics_for("multiclass", K, Softmax(K))
    metrics.update(scores, target, weight)
    got, predicted = metrics.results(), np.argmax(scores, axis=1)
    assert got["accuracy"] == pytest.approx(reference.accuracy_score(target, predicted, sample_weight=weight))
    balanced = reference.balanced_accuracy_score(target, predicted, sample_weight=weight)
    assert got["balanced_accuracy"] == pytest.approx(balanced)
    expected = reference.log_loss(target, softmax(scores, axis=1), sample_weight=weight)
    assert got["log_loss"] == pytest.approx(expected)
    assert got["loss"] == pytest.approx(expected)


def test_regression_equals_scikit_learn():
    scores, target, weight = _case("regression", None, np.random.default_rng(2), 300)
    metrics = metrics_for("regression", loss=make_loss("squared_error"))
    metrics.update(scores, target, weight)
    got = metrics.results()
    squared = reference.mean_squared_error(target, scores, sample_weight=weight)
    assert got["rmse"] == pytest.approx(math.sqrt(squared))
    assert got["loss"] == pytest.approx(squared / 2)
    assert got["mae"] == pytest.approx(reference.mean_absolute_error(target, scores, sample_weight=weight))
    assert got["r2"] == pytest.approx(reference.r2_score(target, scores, sample_weight=weight))


@pytest.mark.parametrize(("name", "power"), [("poisson", 1), ("gamma", 2), ("tweedie", 1.4)])
def test_deviances_equal_scikit_learn(name, power):
    loss = make_loss(name, power=power)
    scores, target, weight = _case("regression", loss, np.random.default_rng(3), 200)
    if name != "gamma":
        target[:40] = 0
    metrics = metrics_for("regression", loss=loss)
    metrics.update(scores, target, weight)
    expected = reference.mean_tweedie_deviance(target, np.exp(scores), sample_weight=weight, power=power)
    assert metrics.results()[f"{name}_deviance"] == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([1e-3, 0.05, 1.0, 30.0, 2e3]),
    shift=st.sampled_from([0.0, -4.0, 0.5]),
)
def test_auc_is_within_its_own_bound_and_close(seed, scale, shift):
    random = np.random.default_rng(seed)
    n = 3000
    signal = random.standard_normal(n)
    target = np.where(signal + random.standard_normal(n) > 0.5, 1.0, -1.0)
    scores, weight = scale * signal + shift, random.exponential(size=n)
    metric = AUC()
    metric.update(scores, target, weight)
    exact = reference.roc_auc_score(target, scores, sample_weight=weight)
    assert abs(metric.results()["auc"] - exact) <= metric.error_bound() + 1e-12
    bin_width = max(abs(shift), scale, 1 / 16) * REACH / (BINS / 2)
    if scale > 50 * bin_width:
        assert metric.error_bound() < 0.01
        assert abs(metric.results()["auc"] - exact) < 5e-4


def test_auc_is_exact_when_bins_tell_the_scores_apart():
    target = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    for scores in (np.array([3.0, 1.0, 1.0, 1.0, -2.0]), np.array([1e6, -1e6, 2.0, 1.0, 0.0])):
        metric = AUC()
        metric.update(scores, target, np.ones(5))
        assert metric.results()["auc"] == pytest.approx(reference.roc_auc_score(target, scores), abs=1e-15)


def test_auc_of_one_class_or_of_diverged_scores():
    metric = AUC()
    metric.update(np.array([1.0, 2.0]), np.ones(2), np.ones(2))
    assert math.isnan(metric.results()["auc"])
    assert math.isnan(metric.error_bound())
    metric.update(np.full(2, np.nan), -np.ones(2), np.ones(2))
    assert 0 <= metric.results()["auc"] <= 1


def test_calibration_table_and_error():
    metric = Calibration(expit, bins=10)
    probability = np.repeat([0.05, 0.25, 0.95], 100)
    target = np.concatenate([np.repeat([1.0, -1.0], [5, 95]), np.repeat([1.0, -1.0], [45, 55]), np.ones(100)])
    metric.update(np.log(probability / (1 - probability)), target, np.ones(300))
    table = metric.table()
    np.testing.assert_allclose(table["predicted"], [0.05, 0.25, 0.95])
    np.testing.assert_allclose(table["observed"], [0.05, 0.45, 1.0])
    np.testing.assert_allclose(table["weight"], [100, 100, 100])
    assert metric.results()["calibration_error"] == pytest.approx((0 + 0.2 + 0.05) / 3)


def test_a_constant_target_has_no_r2():
    metrics = metrics_for("regression")
    metrics.update(np.array([1.0, 2.0, 3.0]), np.full(3, 0.1))
    assert math.isnan(metrics.results()["r2"])
    assert metrics.results()["mae"] == pytest.approx(1.9)


def test_mistakes_are_told():
    with pytest.raises(ConfigError, match="task must be one of binary, multiclass, regression; not 'ranking'"):
        metrics_for("ranking")
    with pytest.raises(ConfigError, match="loss 'hinge' is for task 'binary', not 'regression'"):
        metrics_for("regression", loss=make_loss("hinge"))
    with pytest.raises(ConfigError, match="classes must be at least 2 for a multiclass task, not None"):
        metrics_for("multiclass")
    with pytest.raises(ConfigError, match="classes must be 2 or None for a binary task, not 3"):
        metrics_for("binary", 3)
    with pytest.raises(DataError, match="not 3, 2 and 2"):
        metrics_for("binary").update(np.zeros(3), np.ones(2))
    with pytest.raises(DataError, match=r"shape \(5,\), not \(4,\)"):
        metrics_for("regression").from_vector(np.zeros(4))
    with pytest.raises(DataError, match="cannot merge"):
        metrics_for("regression").merge(metrics_for("binary"))
