"""A sweep: lanes are fits of their own, folds are rows left out, and what cannot be shared is refused."""

from dataclasses import replace

import numpy as np
import pytest

from dsgd.data.sources import as_dataset
from dsgd.errors import ConfigError, DataError
from dsgd.fitted import LinearModel
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine
from dsgd.train.modes import Async, Columns, Hybrid, Sync
from dsgd.train.sweep.driver import sweep
from dsgd.train.sweep.splits import Places, ranges
from dsgd.train.sweep.turns import Abandoned, take_turns

GENERATOR = np.random.default_rng(3)
X = GENERATOR.standard_normal((1500, 6))
SCORE = X @ GENERATOR.standard_normal(6) + GENERATOR.standard_normal(1500)
BINARY = (SCORE > 0).astype(int)
THREE = np.digitize(SCORE, [-1.0, 1.0])


def folds_of(rows, cv, seed):
    """The fold of every row of a matrix."""
    numbers = Places(seed).numbers((0, 0, 0), rows)
    return sum((numbers >= part.low).astype(int) for part in ranges(cv)) - 1


def swept(y, configs, **options):
    options = {"cv": 3, "metrics": ("neg_loss",), "refit": "neg_loss"} | options
    with LocalEngine(processes=False) as engine:
        return sweep(as_dataset(X, y), configs, engine, **options)


def configs(n_workers=1, **varying):
    base = FitConfig(dtype="float64", n_workers=n_workers, seed=5, **varying.pop("base", {}))
    (name, values), *_ = varying.items()
    return [replace(base, **{name: value}) for value in values]


def score_of_own_fit(y, config, fold, cv):
    """The mean loss on a fold of a fit without its rows; steps, which have an order, with these rows but without weight."""
    out = folds_of(len(y), cv, config.seed) == fold
    rows = (X[~out], y[~out]) if config.optimizer == "auto" else (X, y, (~out).astype(float))
    with LocalEngine(processes=False) as engine:
        trained = fit(as_dataset(*rows), config, engine)
    return -LinearModel.of(trained).evaluate(X[out], y[out])["loss"]


CASES = {
    "alpha": (BINARY, {"alpha": [1.0, 1e-2, "auto"]}, 1e-4),
    "l1": (BINARY, {"alpha": [0.1, 0.02], "base": {"penalty": "l1"}}, 2e-3),
    "classes": (THREE, {"alpha": [0.3, 1e-3]}, 1e-4),
    "class_weight": (BINARY, {"class_weight": [None, "balanced", {0: 3.0}]}, 1e-4),
    "loss": (BINARY, {"loss": ["log_loss", "squared_hinge"]}, 1e-4),
    "regression": (SCORE, {"alpha": [1.0, 1e-3], "base": {"task": "regression", "loss": "squared_error"}}, 1e-4),
    "steps": (BINARY, {"eta0": [0.5, 0.05], "base": {"optimizer": "adagrad", "max_iter": 3, "tol": None}}, 1e-9),
}


@pytest.mark.parametrize("name", CASES)
def test_a_lane_is_the_fit_without_its_fold(name):
    y, varying, tolerance = CASES[name]
    own = configs(**varying)
    found = swept(y, own, refit=None)
    for number, config in enumerate(own):
        expected = [score_of_own_fit(y, config, fold, 3) for fold in range(3)]
        np.testing.assert_allclose(found.scores[0, :, number], expected, rtol=tolerance)


def test_two_ranks_find_what_one_finds():
    one, two = (swept(BINARY, configs(n_workers=ranks, alpha=[1.0, 1e-3])) for ranks in (1, 2))
    np.testing.assert_allclose(two.scores, one.scores, rtol=1e-4)
    assert (two.best, one.best) == (1, 1)


def test_the_best_is_trained_on_all_rows_as_by_itself():
    own = configs(alpha=[1.0, 1e-3])
    found = swept(BINARY, own)
    with LocalEngine(processes=False) as engine:
        expected = fit(as_dataset(X, BINARY), own[found.best], engine)
    np.testing.assert_array_equal(found.model.coef, expected.coef)


def test_validation_rows_are_measured_and_nothing_is_left_out():
    own = configs(alpha=[1.0, 1e-3])
    found = swept(BINARY, own, cv=None, validation=as_dataset(X[:200], BINARY[:200]))
    with LocalEngine(processes=False) as engine:
        expected = [LinearModel.of(fit(as_dataset(X, BINARY), config, engine)) for config in own]
    losses = [-model.evaluate(X[:200], BINARY[:200])["loss"] for model in expected]
    np.testing.assert_allclose(found.scores[0, 0], losses, rtol=1e-4)
    np.testing.assert_allclose(found.model.coef, expected[found.best].coef, rtol=1e-2)


def test_folds_are_as_large_as_each_other_and_follow_from_the_seed():
    counts = np.bincount(folds_of(100_000, 5, 0))
    assert len(counts) == 5
    assert abs(counts - 20_000).max() < 600
    assert not np.array_equal(folds_of(1000, 5, 0), folds_of(1000, 5, 1))


@pytest.mark.parametrize("field", [{"dtype": "float32"}, {"standardize": True}, {"shuffle": False}])
def test_what_one_reading_cannot_serve_is_refused(field):
    own = configs(alpha=[1.0])
    with pytest.raises(ConfigError, match=next(iter(field))):
        swept(BINARY, [*own, replace(own[0], **field)])


@pytest.mark.parametrize(
    "mode", [Columns(), Hybrid(2, 2), Async(), Sync(backup_workers=1), Sync(topology="engine")], ids=repr
)
def test_a_mode_by_which_it_does_not_train_is_refused(mode):
    own = configs(alpha=[1.0])
    with pytest.raises(ConfigError, match=r"^a search "):
        swept(BINARY, [replace(own[0], mode=mode, n_workers=4)])


def test_a_fold_without_rows_is_refused():
    with LocalEngine(processes=False) as engine, pytest.raises(DataError, match="fewer folds"):
        sweep(as_dataset(X[:4], [0, 1, 0, 1]), configs(alpha=[1.0]), engine, cv=50, metrics=("accuracy",), refit=None)


def test_a_score_that_the_loss_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="neg_log_loss"):
        swept(BINARY, configs(loss=["hinge"]), metrics=("neg_log_loss",), refit=None)


def test_an_error_ends_the_turns_of_all():
    ended = []

    def waits(turn):
        try:
            turn.ask("for ever")
        except Abandoned:
            ended.append(True)
            raise

    def fails(turn):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        take_turns([waits, fails], lambda asked: {})
    assert ended == [True]
