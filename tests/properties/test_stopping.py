"""An epoch is an epoch, stopping keeps its word, and the average is steadier than the last iterate."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from dsgd import SGDClassifier, read_parquet
from dsgd.errors import DataError
from dsgd.train.modes import Sync

from ..reference.optimum import Objective
from ..train.fits import train
from .problems import COLUMNS, RECIPES, ROWS, RULES, problem


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize("rule", ["sgd", "adagrad"])
def test_an_epoch_has_as_many_steps_as_mini_batches(kind, rule, batch_size):
    X, y = problem(350)
    if kind == "multi":
        y = y + (X[:, 0] > 1)
    X = sparse.csr_matrix(X) if kind == "sparse" else X
    for n_workers in (1, 2):
        model = train(X, y, optimizer=rule, eta0=0.01, batch_size=batch_size, max_iter=2, tol=None, n_workers=n_workers)
        assert model.steps == pytest.approx(2 * 350 / batch_size, rel=0.1)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("mode", [Sync(), Sync(local_steps="epoch")])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_one_epoch_is_an_epoch(rule, mode, n_workers):
    if rule == "svrg" and mode.local_steps != 1:
        mode = Sync("tree")
    X, y = problem()
    model = train(X, y, optimizer=rule, max_iter=1, mode=mode, n_workers=n_workers, alpha=0.01)
    assert model.epochs == 1
    signs = np.where(y == 1, 1.0, -1.0)
    objective = Objective("log_loss", X, signs, alpha=0.01)
    assert objective(model.coef, model.intercept) < objective(np.zeros((1, COLUMNS)), np.zeros(1))


@pytest.mark.parametrize("optimizer", ["auto", "svrg", "sgd"])
def test_no_tolerance_runs_all_epochs(optimizer):
    X, y = problem()
    model = train(X, y, optimizer=optimizer, tol=None, max_iter=7, alpha=0.01)
    assert (model.epochs, model.converged) == (7, False)


def test_patience_counts_epochs_without_a_gain():
    X, y = problem()
    config = {"optimizer": "sgd", "eta0": 0.5, "tol": 1e-2, "max_iter": 100, "alpha": 0.01}
    runs = [train(X, y, n_iter_no_change=patience, **config) for patience in (1, 3)]
    assert all(run.converged and run.epochs < 100 for run in runs)
    objectives = [record["objective"] for record in runs[1].history]
    assert runs[0].epochs < runs[1].epochs
    best, stale = np.inf, 0
    for value in objectives:
        stale = 0 if value < best - 1e-2 * abs(min(best, value)) or not np.isfinite(best) else stale + 1
        best = min(best, value)
    assert stale == 3


@pytest.mark.parametrize("optimizer", ["auto", "svrg", "adagrad", "averaged"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_early_stopping_returns_the_best_epoch(optimizer, n_workers):
    X, y = problem(200)
    held_out = problem(200, seed=9)
    config = RECIPES["averaged"] if optimizer == "averaged" else {"optimizer": optimizer}
    config = config | {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 15, "alpha": 0.0, "tol": 0.0}
    model = train(X, y, validation=held_out, n_workers=n_workers, **config)
    losses = [record["validation"] for record in model.history]
    signs = np.where(held_out[1] == 1, 1.0, -1.0)
    reached = Objective("log_loss", held_out[0], signs)(model.coef, model.intercept)
    assert reached == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("n_workers", [1, 2, 3])
@pytest.mark.parametrize("rows", [5, 30, 600])
def test_a_fraction_for_validation_is_never_none(rows, n_workers):
    X, y = problem(rows)
    y[:2] = 0, 1
    model = train(X, y, early_stopping=True, n_workers=n_workers, max_iter=3)
    assert all(record["validation"] is not None for record in model.history)
    assert 0 < model.history[0]["rows"] < rows
    if rows == 600:
        assert 520 <= model.history[0]["rows"] <= 560


def test_no_rows_left_to_validate_are_refused():
    with pytest.raises(DataError, match="early_stopping has no validation rows"):
        train(np.array([[1.0], [2.0]]), [0, 1], early_stopping=True, n_workers=2, max_iter=2)


def test_the_adaptive_rate_is_lowered():
    X, y = problem()
    config = {"optimizer": "sgd", "eta0": 30.0, "batch_size": 8, "tol": 1e-3, "max_iter": 60, "alpha": 1e-3}
    signs = np.where(y == 1, 1.0, -1.0)
    objective = Objective("log_loss", X, signs, alpha=1e-3)
    reached = {}
    for schedule in ("constant", "adaptive"):
        model = train(X, y, learning_rate=schedule, **config)
        reached[schedule] = (objective(model.coef, model.intercept), model.epochs)
    assert reached["adaptive"][1] > reached["constant"][1]
    assert reached["adaptive"][0] < 0.7 * reached["constant"][0]


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("kind", ["dense", "sparse", "wide"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_the_average_is_steadier_than_the_last_iterate(kind, batch_size, n_workers):
    X, y = problem()
    if kind == "wide":
        X = sparse.hstack([sparse.csr_matrix((ROWS, 20_000)), sparse.csr_matrix(X)], format="csr")
    elif kind == "sparse":
        X = sparse.csr_matrix(X)
    signs = np.where(y == 1, 1.0, -1.0)
    objective = Objective("log_loss", X, signs, alpha=1e-3)
    config = {
        "optimizer": "sgd",
        "eta0": 0.1 * batch_size**0.5,
        "batch_size": batch_size,
        "max_iter": 8,
        "tol": None,
        "alpha": 1e-3,
    }
    values = []
    for average in (False, True):
        model = train(X, y, average=average, n_workers=n_workers, **config)
        values.append(objective(model.coef, model.intercept))
    assert values[1] < values[0]


def test_averaging_begins_after_so_many_rows():
    X, y = problem()
    config = {"optimizer": "sgd", "eta0": 0.5, "max_iter": 4, "tol": None, "batch_size": 8}
    plain, late, never = (train(X, y, average=rows, **config) for rows in (False, 3 * ROWS, 10 * ROWS))
    np.testing.assert_array_equal(never.coef, plain.coef)
    assert (late.coef != plain.coef).any()
    assert [a["objective"] == b["objective"] for a, b in zip(late.history, plain.history, strict=True)] == [
        True, True, True, False,
    ]  # fmt: skip


@pytest.fixture
def named(tmp_path):
    """A reader of two files with classes that are text, by filters."""
    for part in range(2):
        rows = {"x": np.arange(40.0) + 40 * part, "y": np.array(["no", "yes"] * 20)}
        pq.write_table(pa.table(rows), tmp_path / f"{part}.parquet")
    return lambda *filters: read_parquet(str(tmp_path), label="y", filters=list(filters) or None)


def test_a_validation_set_without_rows_is_refused(named):
    with pytest.raises(DataError, match="validation set is empty"):
        SGDClassifier(early_stopping=True).fit(named(), validation=named(("x", ">", 100)))


def test_rows_with_names_of_classes_on_one_rank_only(named):
    model = SGDClassifier(n_workers=2, max_iter=3).fit(named(("x", "<", 30)), validation=named(("x", ">", 50)))
    assert model.classes_.tolist() == ["no", "yes"]
    assert all(record["validation"] is not None for record in model.model_.history)
