"""Fits of numbered weights give the model that fits of all weights give."""

import numpy as np
import pyarrow as pa
import pytest

from dsgd import SGDClassifier
from dsgd.data import as_dataset
from dsgd.errors import ConfigError
from dsgd.train import used_weights
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine
from dsgd.train.modes import Sync

ROWS = 1500


def table(seed: int = 0, rows: int = ROWS, first: int = 0) -> pa.Table:
    """A number and three columns of words, of which later seeds bring others; ``first`` shifts the words."""
    rng = np.random.default_rng(seed)
    codes = rng.zipf(1.5, (rows, 3)) % 300 + first
    x = rng.standard_normal(rows)
    score = x + np.sin(codes.astype(float)) @ [1.0, 0.5, 0.2] + rng.logistic(size=rows)
    words = {f"c{j}": pa.array([f"w{k}" for k in codes[:, j]]) for j in range(3)}
    return pa.table({"x": x, **words, "y": (score > 0).astype(int)})


def train(data: pa.Table, *, initial=None, validation=None, processes=False, **config):
    config = {"tol": None, "max_iter": 3, "alpha": 1e-3, **config}
    held_out = None if validation is None else as_dataset(validation, "y")
    with LocalEngine(processes=processes) as engine:
        return fit(as_dataset(data, "y"), FitConfig(**config), engine, initial=initial, validation=held_out)


RECIPES = {
    "online": {"optimizer": "adagrad", "eta0": 0.1, "batch_size": 1},
    "batches": {"optimizer": "adagrad", "eta0": 0.1, "batch_size": 64},
    "l1": {"optimizer": "ftrl", "eta0": 0.1, "batch_size": 64, "penalty": "l1"},
    "newton": {"max_iter": 20},
    "svrg": {"optimizer": "svrg", "max_iter": 20},
}


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES)
def test_as_with_all_weights(recipe, n_workers, monkeypatch):
    numbered = train(table(), n_workers=n_workers, **RECIPES[recipe])
    monkeypatch.setattr(used_weights, "can_number", lambda *layouts: False)
    whole = train(table(), n_workers=n_workers, **RECIPES[recipe])
    assert numbered.coef.shape == whole.coef.shape == (1, 1 + 3 * 2**18)
    np.testing.assert_allclose(numbered.coef, whole.coef, rtol=2e-2, atol=2e-3)
    assert numbered.history[-1]["objective"] == pytest.approx(whole.history[-1]["objective"], rel=1e-3)
    assert np.count_nonzero(numbered.coef) > 40


@pytest.mark.parametrize("mode", [Sync(), Sync(local_steps=4, compression="int8")])
def test_ranks_in_processes_and_threads(mode):
    options = {"mode": mode, "optimizer": "adagrad", "eta0": 0.1, "batch_size": 64, "n_workers": 2}
    threads, processes = (train(table(), processes=processes, **options) for processes in (False, True))
    np.testing.assert_array_equal(threads.coef, processes.coef)
    assert threads.history[-1]["objective"] < 0.65


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("rule", ["adagrad", "ftrl", "sgd"])
def test_going_on_from_a_model_with_other_words(rule, n_workers, monkeypatch):
    """Weights that the new rows do not use stay in the fit: the penalty goes on pulling at them."""
    options = {"optimizer": rule, "eta0": 0.1, "batch_size": 32, "n_workers": n_workers, "alpha": 0.05}

    def twice():
        return train(table(1, first=200), initial=train(table(), **options), **options)

    numbered = twice()
    monkeypatch.setattr(used_weights, "can_number", lambda *layouts: False)
    whole = twice()
    np.testing.assert_allclose(numbered.coef, whole.coef, rtol=2e-2, atol=3e-3)
    for name in ("first", "second"):
        left, right = numbered.state[name], whole.state[name]
        assert (left is None) == (right is None)
        if left is not None:
            assert left.shape == right.shape


def test_words_of_validation_rows_only(monkeypatch):
    """Their weights are zero: the rows are scored by what else is known."""
    options = {"validation": table(3, first=250), "early_stopping": True, **RECIPES["online"]}
    numbered = train(table(), **options)
    monkeypatch.setattr(used_weights, "can_number", lambda *layouts: False)
    whole = train(table(), **options)
    losses = [[record["validation"] for record in model.history] for model in (numbered, whole)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


def test_a_model_of_other_features_is_refused():
    initial = train(table())
    other = train(table().drop_columns(["c2"]))
    with pytest.raises(ConfigError, match="start anew"):
        train(table(), initial=other)
    assert initial.coef.shape != other.coef.shape


def test_partial_fit_in_parts_knows_all_words():
    parts = [table(seed, first=100 * seed) for seed in range(3)]
    model = SGDClassifier(optimizer="adagrad", eta0=0.1, alpha=1e-6)
    for _ in range(3):
        for part in parts:
            model.partial_fit(part, "y", classes=[0, 1])
    assert min(model.score(part, "y") for part in parts) > 0.6
