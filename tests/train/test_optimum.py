"""Training ends where it should: at the optimum that another solver finds for the same convex objective, on real and made data.

Everything but the number of epochs is left at its default: step sizes, batches and stopping come from the data.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse
from sklearn.linear_model import GammaRegressor, LinearRegression, LogisticRegression, TweedieRegressor
from sklearn.metrics import mean_tweedie_deviance

from dsgd.data.sources import as_dataset
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from ..reference import datasets
from ..reference.optimum import Objective, solve
from .fits import against_optimum, some, train

EXCESS = 1e-4
OPTIMISERS = {
    "auto": {"optimizer": "auto"},
    "svrg": {"optimizer": "svrg"},
    "averaged": {"optimizer": "sgd", "average": True},
}
REAL = {
    "a9a": datasets.a9a,
    "census": datasets.census_income_kdd,
    "flights": datasets.flights_late,
    "covtype": lambda: _two_classes(datasets.covtype_20k()),
}


def _two_classes(problem):
    return problem._replace(y=np.where(problem.y == 1, 1.0, -1.0))


def made(kind: str, rows: int = 4000):
    """Correlated columns of different scales ("dense"), or indicators of skewed categories ("sparse"), and true scores."""
    rng = np.random.default_rng(3)
    if kind == "dense":
        X = rng.standard_normal((rows, 12)) @ (np.eye(12) + 0.4 * rng.standard_normal((12, 12)))
        X *= np.logspace(-1, 1, 12)
        return X, X @ (rng.standard_normal(12) / np.logspace(-1, 1, 12)) / 2
    codes = np.minimum(rng.zipf(1.5, size=(rows, 5)), 30) - 1 + 30 * np.arange(5)
    X = sparse.csr_matrix((np.ones(codes.size), codes.ravel(), np.arange(0, codes.size + 1, 5)), shape=(rows, 150))
    return X, X @ rng.standard_normal(150)


def targets(loss: str, score):
    """Targets of the loss's kind, drawn from true scores."""
    rng = np.random.default_rng(4)
    if loss in ("poisson", "gamma"):
        mean = np.exp(np.clip(score, -3, 3) / 2)
        return rng.poisson(mean).astype(float) if loss == "poisson" else rng.gamma(2.0, mean / 2.0) + 1e-3
    if loss == "multinomial":
        return np.digitize(score + rng.logistic(size=len(score)), [-1.0, 1.0])
    noisy = score + rng.logistic(size=len(score))
    return noisy if loss in ("huber", "squared_error") else np.where(noisy > 0, 1.0, -1.0)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    "loss", ["log_loss", "squared_hinge", "huber", "squared_error", "poisson", "gamma", "multinomial"]
)
def test_made_data_l2(loss, kind, optimiser):
    X, score = made(kind)
    found = against_optimum(loss, X, targets(loss, score), alpha=1e-3, **OPTIMISERS[optimiser])
    assert found.excess < EXCESS


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("loss", ["log_loss", "squared_hinge"])
@pytest.mark.parametrize("name", REAL)
def test_real_data_l2(name, loss, optimiser):
    X, y = some(REAL[name](), 30_000)
    found = against_optimum(loss, X, y, alpha=1 / len(y), max_iter=200, **OPTIMISERS[optimiser])
    assert found.excess < EXCESS


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("loss", ["huber", "squared_error", "poisson"])
def test_flights_regression(loss, optimiser):
    problem = datasets.flights_quarters() if loss == "poisson" else datasets.flights_delay()
    X, y = some(problem, 40_000)
    assert against_optimum(loss, X, y, alpha=1 / len(y), max_iter=200, **OPTIMISERS[optimiser]).excess < EXCESS


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_covtype_multinomial(optimiser):
    X, y = datasets.covtype_20k()
    assert against_optimum("multinomial", X, y, alpha=1e-3, **OPTIMISERS[optimiser]).excess < EXCESS


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_variance_reduction_with_batches_of_few_rows(batch_size, n_workers):
    X, y = some(REAL["a9a"](), 3000)
    options = {"optimizer": "svrg", "batch_size": batch_size, "n_workers": n_workers, "tol": 1e-6}
    assert against_optimum("log_loss", X, y, alpha=1e-2, **options).excess < EXCESS


@pytest.mark.parametrize("optimizer", ["auto", "svrg"])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "poisson"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_made_data_l1(kind, loss, l1_ratio, optimizer):
    X, score = made(kind)
    X = X / X.std(axis=0) if kind == "dense" else X
    y, alpha = targets(loss, score), 1e-2
    found = against_optimum(loss, X, y, alpha=alpha, l1_ratio=l1_ratio, optimizer=optimizer, max_iter=400)
    assert found.violation < 1e-3
    best = solve(loss, X, y, None, alpha, l1_ratio)
    assert (best.coef == 0).any() or kind == "dense"
    # Exactly the same zeros, but for weights whose pull is within rounding of the threshold.
    assert np.abs(best.coef[found.model.coef[0] == 0]).max(initial=0.0) < 1e-3
    assert np.abs(found.model.coef[0][best.coef == 0]).max(initial=0.0) < 1e-3
    assert (found.model.coef == 0).sum() >= 0.9 * (best.coef == 0).sum()


@pytest.mark.parametrize("optimizer", ["auto", "svrg"])
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
@pytest.mark.parametrize("name", ["a9a", "flights", "covtype"])
def test_real_data_l1(name, l1_ratio, optimizer):
    X, y = some(REAL[name](), 30_000)
    found = against_optimum("log_loss", X, y, alpha=1e-2, l1_ratio=l1_ratio, optimizer=optimizer, max_iter=200)
    assert found.violation < 1e-3
    assert (found.model.coef == 0).any()


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "ftrl"])
def test_online_rules_give_exact_zeros(optimizer):
    X, score = made("sparse")
    model = train(X, targets("log_loss", score), penalty="l1", alpha=2e-2, optimizer=optimizer, eta0=0.05, batch_size=8)
    best = solve("log_loss", X, targets("log_loss", score), None, 2e-2, 1.0)
    assert (model.coef == 0).sum() > 0.5 * (best.coef == 0).sum() > 0


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_columns_of_very_different_scales(optimiser):
    """Counts in the thousands beside frequencies below one, as they come, without standardisation."""
    X, score = made("dense")
    X = np.abs(X) ** 2 * np.logspace(-3, 3, 12)
    found = against_optimum(
        "log_loss", X, targets("log_loss", score), alpha=1e-3, dtype="float64", **OPTIMISERS[optimiser]
    )
    assert found.excess < EXCESS


def _blocks_as_matrix(table: pa.Table, label: str):
    """What the fit sees of a table, as CSR over all d weights, and its targets."""
    from dsgd.data.encode import Encoder

    dataset = as_dataset(table, label)
    encoder = Encoder(dataset.spec, dataset.roles, np.float64)
    (split,) = dataset.splits()
    parts, labels = [], []
    for block in dataset.blocks(split, encoder, 1 << 20):
        n, c = block.codes.shape
        codes = sparse.csr_matrix(
            (np.ones(n * c), block.codes.ravel(), np.arange(0, n * c + 1, c)), (n, dataset.spec.layout.size)
        )
        dense = sparse.csr_matrix(block.dense)
        dense.resize(n, dataset.spec.layout.size)
        parts.append(codes + dense)
        labels.append(block.label)
    return dataset, sparse.vstack(parts, format="csr"), np.concatenate(labels)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("n_workers", [1, 2])
def test_categorical_columns(optimiser, n_workers):
    """Text columns, hashed: of a million weights a few hundred are in use."""
    X, score = made("sparse")
    values = np.char.add("v", X.indices.reshape(-1, 5).astype(str))
    table = pa.table(
        {f"c{i}": values[:, i] for i in range(5)} | {"x": np.sin(score), "late": targets("log_loss", score)}
    )
    dataset, matrix, y = _blocks_as_matrix(table, "late")
    used = np.unique(matrix.indices)
    best = solve("log_loss", matrix[:, used], y, None, 1e-3, 0.0)
    config = FitConfig(alpha=1e-3, n_workers=n_workers, **OPTIMISERS[optimiser])
    with LocalEngine(processes=False) as engine:
        model = fit(dataset, config, engine)
    objective = Objective("log_loss", matrix[:, used], y, alpha=1e-3)
    assert objective(model.coef[:, used], model.intercept) < best.objective * (1 + EXCESS)
    assert not np.delete(model.coef[0], used).any()


@pytest.mark.parametrize("standardize", [False, True])
def test_defaults_agree_with_logistic_regression(standardize):
    X, score = made("dense")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = targets("log_loss", score)
    peer = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X, y)
    model = train(X, y, penalty=None, standardize=standardize)
    np.testing.assert_allclose(model.coef, peer.coef_, rtol=0.01)
    np.testing.assert_allclose(model.intercept, peer.intercept_, rtol=0.01, atol=1e-3)
    objective = Objective("log_loss", X, y)
    assert objective(model.coef, model.intercept) == pytest.approx(objective(peer.coef_, peer.intercept_), rel=1e-4)


def test_defaults_agree_with_linear_regression():
    X, score = made("dense")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = targets("squared_error", score)
    peer = LinearRegression().fit(X, y)
    model = train(X, y, loss="squared_error", penalty=None)
    np.testing.assert_allclose(model.coef[0], peer.coef_, rtol=0.01)
    assert model.intercept[0] == pytest.approx(peer.intercept_, rel=0.01)


def test_defaults_agree_with_multinomial_regression():
    X, score = made("dense")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = targets("multinomial", score)
    peer = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(X, y)
    model = train(X, y)
    np.testing.assert_allclose(model.coef, peer.coef_, rtol=0.01, atol=2e-3)


def test_sorted_rows_do_no_harm():
    """All rows of one class first: a sample of the first rows, or mini-batches in order, would know one class only."""
    X, score = made("dense")
    y = targets("log_loss", score)
    order = np.argsort(y, kind="stable")
    for optimiser in OPTIMISERS.values():
        assert against_optimum("log_loss", X[order], y[order], alpha=1e-3, max_iter=200, **optimiser).excess < EXCESS


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize(("loss", "power"), [("poisson", 1.0), ("tweedie", 1.5), ("gamma", 2.0)])
def test_insurance_claims_with_exposure(loss, power, optimiser):
    """Claims of car insurances: the logarithm of the exposure as an offset, against scikit-learn on rates and weights."""
    X, claims, exposure = _insurance()
    if loss == "gamma":
        # No gamma target is zero: the exposure itself, by what the contracts are.
        claims, offset, weight = exposure + 0.1, None, None
        peer = GammaRegressor(alpha=1e-4, tol=1e-9, solver="newton-cholesky").fit(X, claims)
        rate = claims
    else:
        rate = claims / exposure
        # With weights of exposure^(2 - power), rates are the same model as counts with an offset.
        weight = exposure if loss == "poisson" else exposure ** (2 - power)
        peer = TweedieRegressor(power=power, link="log", alpha=0.0, tol=1e-9, solver="newton-cholesky")
        peer = peer.fit(X, rate, sample_weight=weight)
        offset = np.log(exposure)
    alpha = 1e-4 if loss == "gamma" else 0.0
    model = train(X, claims, None, offset, loss=loss, power=power, alpha=alpha, max_iter=200, **OPTIMISERS[optimiser])
    mean = np.exp(X @ model.coef[0] + model.intercept[0])
    ours, theirs = (mean_tweedie_deviance(rate, m, sample_weight=weight, power=power) for m in (mean, peer.predict(X)))
    assert ours == pytest.approx(theirs, rel=1e-4)


def _insurance():
    table = pq.read_table(datasets.data_file("fremtpl2", "train.parquet"))
    table = table.take(np.random.default_rng(1).permutation(table.num_rows)[:20_000])
    exposure = np.minimum(table["Exposure"].to_numpy(), 1.0).astype(np.float64)
    claims = np.minimum(table["ClaimNb"].to_numpy(), 4).astype(np.float64)
    numbers = np.column_stack([table[name].to_numpy() for name in ("VehPower", "VehAge", "DrivAge", "BonusMalus")])
    numbers = np.column_stack([datasets.standardised(numbers.astype(np.float64)), np.log(table["Density"].to_numpy())])
    groups = [datasets.one_hot(table[name]).toarray()[:, 1:] for name in ("Area", "VehBrand", "VehGas", "Region")]
    return np.column_stack([numbers, *groups]), claims, exposure
