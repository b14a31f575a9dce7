"""What must hold of any fit: weights count as repeated rows, names of classes do not matter, scales do not matter when
standardised, stopping keeps its word, and bad data is refused on every rank alike."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from dsgd.errors import DataError
from dsgd.train.modes import Sync

from ..reference.optimum import Objective, solve
from ..train.fits import against_optimum, train

ROWS, COLUMNS = 600, 6
RECIPES = {
    "auto": {"optimizer": "auto"},
    "svrg": {"optimizer": "svrg", "tol": 1e-7, "max_iter": 300},
    "averaged": {"optimizer": "sgd", "average": True, "tol": 1e-6, "max_iter": 300},
}
RULES = ("auto", "svrg", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl")


def problem(rows: int = ROWS, seed: int = 0):
    """Normal columns and two classes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, COLUMNS))
    return X, np.where(X @ rng.standard_normal(COLUMNS) + 0.5 + rng.logistic(size=rows) > 0, 1, 0)


def close(left, right, tolerance=1e-3):
    """Assert that two models are about the same."""
    scale = max(np.abs(right.coef).max(), 1e-9)
    np.testing.assert_allclose(left.coef / scale, right.coef / scale, atol=tolerance)
    np.testing.assert_allclose(left.intercept, right.intercept, atol=tolerance * max(scale, 1.0))


# ---- weights, offsets, classes


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_weight_counts_as_repeated_rows(recipe, n_workers):
    X, y = problem()
    times = np.random.default_rng(1).integers(0, 4, ROWS)
    weighted = train(X, y, times.astype(float), alpha=0.01, n_workers=n_workers, **RECIPES[recipe])
    repeated = train(X.repeat(times, axis=0), y.repeat(times), alpha=0.01, n_workers=n_workers, **RECIPES[recipe])
    close(weighted, repeated, 0.05 if recipe == "averaged" else 1e-3)


@pytest.mark.parametrize("factor", [1e-3, 1e4])
@pytest.mark.parametrize("rule", ["auto", "svrg", "adagrad", "sgd"])
def test_the_scale_of_all_weights_does_not_matter(rule, factor):
    X, y = problem()
    weight = np.random.default_rng(2).random(ROWS) + 0.1
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 5, "dtype": "float64"}
    close(train(X, y, factor * weight, **config), train(X, y, weight, **config), 1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_rows_of_no_weight_change_nothing_but_steps(kind, rule):
    """Full batches, so that the mini-batches do not depend on rows that count for nothing."""
    X, y = problem(64)
    wrong = np.concatenate([X, 1e3 * X]), np.concatenate([y, 1 - y])
    weight = np.repeat([1.0, 0.0], 64)
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 3, "dtype": "float64", "eta0": 0.01, "batch_size": 128}
    make = sparse.csr_matrix if kind == "sparse" else np.asarray
    close(train(make(wrong[0]), wrong[1], weight, **config), train(make(X), y, **config), 1e-6)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("loss", ["log_loss", "poisson", "gamma", "squared_error"])
def test_offsets_add_to_the_score(loss, recipe):
    X, _ = problem()
    rng = np.random.default_rng(3)
    offset = rng.normal(1.0, 0.7, ROWS)
    score = 0.3 * X[:, 0] - 0.5 + offset
    targets = {
        "log_loss": np.where(score + rng.logistic(size=ROWS) > 0, 1.0, -1.0),
        "poisson": rng.poisson(np.exp(score)).astype(float),
        "gamma": rng.gamma(2.0, np.exp(score) / 2.0),
        "squared_error": score + rng.standard_normal(ROWS),
    }
    weight = rng.random(ROWS) + 0.5
    found = against_optimum(loss, X, targets[loss], weight, offset, alpha=0.01, **RECIPES[recipe])
    assert found.excess < (3e-4 if recipe == "averaged" else 1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {"no": 3.0, "yes": 0.5}, {"no": 2.0}])
def test_class_weights_as_scikit_learn(class_weight):
    X, y = problem()
    names = np.where(y == 1, "yes", "no")
    weight = np.random.default_rng(4).random(ROWS) + 0.2
    # "balanced" counts rows, whatever they weigh, as scikit-learn's SGDClassifier does.
    as_dict = class_weight
    if class_weight == "balanced":
        as_dict = dict(zip(["no", "yes"], ROWS / (2 * np.bincount(y)), strict=True))
    peer = LogisticRegression(C=np.inf, class_weight=as_dict, tol=1e-9, max_iter=500).fit(X, names, weight)
    for n_workers in (1, 2):
        model = train(X, names, weight, penalty=None, class_weight=class_weight, n_workers=n_workers)
        np.testing.assert_allclose(model.coef, peer.coef_, rtol=0.01, atol=1e-3)
        np.testing.assert_allclose(model.intercept, peer.intercept_, rtol=0.01, atol=1e-3)


def test_class_weights_of_several_classes():
    X, _ = problem()
    y = np.digitize(X[:, 0] + np.random.default_rng(5).logistic(size=ROWS), [-1, 1])
    weights = {0: 1.0, 1: 5.0, 2: 0.2}
    repeated = np.array([weights[value] for value in y.tolist()])
    close(train(X, y, class_weight=weights, alpha=0.01), train(X, y, repeated, alpha=0.01), 1e-4)


@pytest.mark.parametrize("rule", ["auto", "adagrad"])
def test_names_of_classes_do_not_matter(rule):
    X, _ = problem()
    y = np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.5, 0.5])
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 20, "dtype": "float64"}
    plain = train(X, y, **config)
    renamed = train(X, np.array(["c", "a", "b"])[y], **config)
    assert renamed.classes.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(renamed.coef[[2, 0, 1]], plain.coef, atol=1e-6)
    flipped = train(X, np.where(y == 0, "z", "y"), **config)
    straight = train(X, np.where(y == 0, "a", "b"), **config)
    np.testing.assert_allclose(flipped.coef, -straight.coef, atol=1e-6)


# ---- scales


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("recipe", ["auto", "svrg", "averaged", "adagrad"])
def test_scales_do_not_matter_when_standardised(recipe, n_workers):
    X, y = problem()
    scale, shift = np.logspace(-3, 3, COLUMNS), np.array([0, 5, -3, 0, 100, 0])
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 10}) | {"alpha": 0.01, "dtype": "float64"}
    config |= {"standardize": True, "n_workers": n_workers}
    plain, scaled = train(X, y, **config), train(X * scale + shift, y, **config)
    np.testing.assert_allclose(scaled.coef * scale, plain.coef, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scaled.intercept + scaled.coef @ shift, plain.intercept, atol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_penalty_is_on_the_standardised_scale(recipe):
    """As in Spark ML with ``standardization=true``."""
    X, y = problem()
    X = X * np.logspace(-1, 1, COLUMNS)
    model = train(X, y, alpha=0.1, standardize=True, **RECIPES[recipe])
    best = solve("log_loss", (X - X.mean(0)) / X.std(0), np.where(y == 1, 1.0, -1.0), None, 0.1)
    np.testing.assert_allclose(model.coef[0] * X.std(0), best.coef, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("recipe", [*RECIPES, "adagrad", "sgd"])
def test_a_column_far_from_zero(recipe):
    """The year of a flight: 2013 with a spread of 0.3, in float32."""
    X, y = problem(2000)
    X = X.astype(np.float32)
    far = X.copy()
    far[:, 0] = 2013 + 0.3 * X[:, 0]
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 100}) | {"standardize": True, "alpha": 1e-3}
    model = train(far, y, **config)
    objective = Objective("log_loss", far.astype(float), np.where(y == 1, 1.0, -1.0))
    best = solve("log_loss", X, np.where(y == 1, 1.0, -1.0), None, 1e-3)
    allowed = 1e-3 if recipe in RECIPES else 0.02
    # The intercept is 2013 times the slope: its rounding to float32 shifts all scores a little.
    shift = float(np.abs(model.intercept[0])) * 2.0**-22
    assert (
        objective(model.coef, model.intercept)
        < Objective("log_loss", X, np.where(y == 1, 1.0, -1.0))(best.coef, best.intercept) * (1 + allowed) + shift
    )


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_constant_columns(rule, standardize):
    X, y = problem()
    X = np.column_stack([X, np.full(ROWS, 7.0), np.zeros(ROWS)])
    model = train(X, y, optimizer=rule, standardize=standardize, max_iter=5, alpha=0.01)
    assert np.isfinite(model.coef).all()
    assert model.coef[0, -1] == 0
    assert standardize is False or model.coef[0, -2] == 0


@pytest.mark.parametrize("recipe", [*RECIPES, "adagrad"])
def test_the_intercept_is_not_penalised(recipe):
    X, y = problem()
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 200, "tol": None})
    model = train(X, y, alpha=1e3, **config)
    share = y.mean()
    assert np.abs(model.coef).max() < 1e-2
    assert model.intercept[0] == pytest.approx(np.log(share / (1 - share)), abs=0.05)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_an_intercept(recipe):
    X, y = problem()
    signs = np.where(y == 1, 1.0, -1.0)
    best = solve("log_loss", X, signs, None, 0.01, fit_intercept=False)
    model = train(X, y, alpha=0.01, fit_intercept=False, **RECIPES[recipe])
    assert model.intercept[0] == 0
    assert Objective("log_loss", X, signs, alpha=0.01)(model.coef, np.zeros(1)) < best.objective * (1 + 1e-4)


# ---- mini-batches


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_an_epoch_has_as_many_steps_as_mini_batches(kind, rule, batch_size):
    X, y = problem(350)
    if kind == "multi":
        y = y + (X[:, 0] > 1)
    X = sparse.csr_matrix(X) if kind == "sparse" else X
    for n_workers in (1, 2):
        model = train(X, y, optimizer=rule, eta0=0.01, batch_size=batch_size, max_iter=2, tol=None, n_workers=n_workers)
        assert model.steps == pytest.approx(2 * 350 / batch_size, rel=0.1)


# ---- when to stop


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


# ---- going on


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam", "ftrl"])
def test_going_on_equals_not_stopping(rule, n_workers):
    """The state of the rule is kept: two fits of one epoch are a fit of two, but for the order of the rows."""
    X, y = problem()
    config = {"optimizer": rule, "eta0": 0.1, "tol": None, "n_workers": n_workers, "shuffle": False, "dtype": "float64"}
    whole = train(X, y, max_iter=2, **config)
    first = train(X, y, max_iter=1, **config)
    kept = {name: np.array(value) for name, value in first.state.items() if isinstance(value, np.ndarray)}
    second = train(X, y, max_iter=1, initial=first, **config)
    close(second, whole, 1e-9)
    assert second.steps == whole.steps
    for name, value in kept.items():  # what was handed in is not written to
        np.testing.assert_array_equal(first.state[name], value)


def test_the_state_of_another_rule_is_not_taken():
    X, y = problem()
    first = train(X, y, optimizer="adagrad", max_iter=1)
    model = train(X, y, optimizer="adam", max_iter=1, initial=first)
    assert np.isfinite(model.coef).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_warm_start_is_at_the_optimum(recipe):
    X, y = problem()
    first = train(X, y, alpha=0.01, **RECIPES[recipe])
    again = train(X, y, alpha=0.01, initial=first, **RECIPES[recipe])
    assert again.epochs <= first.epochs
    close(again, first, 5e-3)


def test_data_in_parts_with_all_classes_named():
    X, y = problem(900)
    y = y + (X[:, 0] > 1)
    order = np.argsort(y, kind="stable")
    model = None
    for _ in range(10):
        for part in np.array_split(order, 3):  # each part has one class, or two
            config = {"optimizer": "adagrad", "max_iter": 1, "tol": None, "batch_size": 16}
            model = train(X[part], y[part], initial=model, classes=[0, 1, 2], **config)
    assert model.coef.shape == (3, COLUMNS)
    assert np.isfinite(model.coef).all()
    assert model.classes.tolist() == [0, 1, 2]


# ---- what is hard, and what is refused


@pytest.mark.parametrize("recipe", RECIPES)
def test_counts_with_rows_that_overflow(recipe):
    """A step that is Newton's own would send the exponential of some row to infinity."""
    rng = np.random.default_rng(11)
    X = rng.standard_t(2, size=(1500, 3))
    X[0] = 400.0
    y = rng.poisson(np.exp(np.clip(X @ [0.5, -0.3, 0.1], -3, 4))).astype(float)
    found = against_optimum("poisson", X, y, alpha=1e-3, **RECIPES[recipe] | {"max_iter": 300})
    assert np.isfinite(found.model.coef).all()
    objective = Objective("poisson", X, y, alpha=1e-3)
    # The one row of a size of 400 makes small steps crawl; Newton's do not care.
    assert objective(found.model.coef, found.model.intercept) < objective(np.zeros((1, 3)), np.log([y.mean()]))
    assert recipe != "auto" or found.excess < 1e-3


def test_poisson_as_scikit_learn():
    X, _ = problem()
    y = np.random.default_rng(12).poisson(np.exp(0.5 * X[:, 0] + 1)).astype(float)
    peer = PoissonRegressor(alpha=0.01, tol=1e-9, max_iter=1000).fit(X, y)
    model = train(X, y, loss="poisson", alpha=0.01)
    np.testing.assert_allclose(model.coef[0], peer.coef_, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("mode", [Sync(), Sync("engine")])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y: (X, np.where(np.arange(ROWS) == 500, np.nan, y.astype(float))), "y.*500"),
        (lambda X, y: (X, np.zeros(ROWS, int)), "at least two classes"),
        (lambda X, y: (np.where((np.arange(ROWS) == 400)[:, None], np.inf, X), y), "X.*400"),
    ],
)
def test_bad_data_is_named_by_whichever_rank_finds_it(change, words, mode, n_workers):
    with pytest.raises(DataError, match=words):
        train(*change(*problem()), n_workers=n_workers, mode=mode)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_targets_outside_the_domain(n_workers):
    X, y = problem()
    with pytest.raises(DataError, match="nonnegative"):
        train(X, np.where(np.arange(ROWS) == 599, -1.0, 1.0), loss="poisson", n_workers=n_workers)
    with pytest.raises(DataError, match="weight"):
        train(X, y, np.where(np.arange(ROWS) == 599, -1.0, 1.0), n_workers=n_workers)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_steps_that_are_too_large_are_named(n_workers):
    X, _ = problem()
    with pytest.raises(DataError, match="lower eta0"):
        train(X, 1e3 * X[:, 0], loss="squared_error", optimizer="sgd", eta0=1e6, n_workers=n_workers)
