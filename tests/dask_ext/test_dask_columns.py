"""Column blocks of Dask's collections, whose rows lie on workers with all of their columns: steps are those of one machine."""

import dask
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd

import dask_ext
import dsgd
from dask_ext.collect import collect, look
from dsgd import DataError
from dsgd.data.column_blocks import column_blocks

FEATURES = {"categorical": None, "interactions": (), "hash_bits": 18, "missing": "raise"}
N, D = 400, 300
# Steps of all rows: partitions come in the order of the workers that have them.
OPTIONS = {
    "optimizer": "adagrad",
    "max_iter": 10,
    "tol": None,
    "batch_size": N,
    "dtype": "float64",
    "standardize": False,
}
RNG = np.random.default_rng(4)
SPARSE = scipy.sparse.random(N, D, 0.05, "csr", random_state=0, data_rvs=RNG.standard_normal)
DENSE = RNG.normal(size=(N, 12))
WEIGHT, OFFSET = RNG.uniform(0.5, 2.0, N), RNG.normal(size=N)


def label(X):
    score = np.asarray(X @ np.random.default_rng(1).normal(size=X.shape[1])).ravel()
    return np.where(score > 0, "yes", "no")


def chunks_of(X):
    """Of unequal lengths; of a sparse matrix, sparse chunks."""
    parts = [X[a:b] for a, b in ((0, 30), (30, 300), (300, N))]
    arrays = [da.from_delayed(dask.delayed(part), part.shape, dtype=X.dtype, meta=X[:0]) for part in parts]
    return da.concatenate(arrays)


@pytest.fixture
def here():
    """The same rows on this machine, by one rank."""

    def fit(X, y, **beside):
        return dsgd.SGDClassifier(n_workers=1, **OPTIONS).fit(X, y, **beside)

    return fit


@pytest.mark.parametrize("mode", [dsgd.Columns(), dsgd.Hybrid(1, 2)], ids=str)
@pytest.mark.parametrize("X", [DENSE, SPARSE], ids=["dense", "sparse"])
def test_arrays(dask_client, here, X, mode):
    y = label(X)
    beside = {"sample_weight": WEIGHT, "offset": OFFSET}
    model = dask_ext.SGDClassifier(mode=mode, n_workers=2, **OPTIONS)
    model.fit(chunks_of(X), da.from_array(y, chunks=90), **{k: da.from_array(v, chunks=90) for k, v in beside.items()})
    wanted = here(X, y, **beside)
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.intercept_, wanted.intercept_, rtol=1e-8)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.n_features_in_ == X.shape[1]


@pytest.fixture(scope="module")
def frame():
    frame = pd.DataFrame(DENSE[:, :3], columns=list("abc")).assign(city=RNG.choice(["Ulm", "Bonn", "Kiel"], N))
    return frame.assign(late=label(DENSE[:, :3]), weight=WEIGHT)


def test_frames_and_their_validation_rows(dask_client, here, frame):
    train, held_out = frame[:300], frame[300:].reset_index(drop=True)
    options = OPTIONS | {"early_stopping": True, "batch_size": 300, "max_iter": 5}
    models = []
    for package, mode, n, lazily in (
        (dsgd, dsgd.Sync(), 1, lambda f: f),
        (dask_ext, dsgd.Columns(), 2, lambda f: dd.from_pandas(f, npartitions=3)),
    ):
        model = package.SGDClassifier(mode=mode, n_workers=n, **options)
        rows = (lazily(held_out[["a", "b", "c", "city", "late"]]), "late")
        models.append(model.fit(lazily(train[["a", "b", "c", "city", "late"]]), "late", validation=rows))
    wanted, found = models
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.history_.column("validation"), wanted.history_.column("validation"))


def test_going_on(dask_client, frame):
    rows = frame[["a", "b", "c", "city", "late"]]
    models = []
    for package, mode, n, X in (
        (dsgd, dsgd.Sync(), 1, rows),
        (dask_ext, dsgd.Columns(), 2, dd.from_pandas(rows, npartitions=3)),
    ):
        model = package.SGDClassifier(mode=mode, n_workers=n, warm_start=True, **OPTIONS)
        models.append(model.fit(X, "late").fit(X, "late"))
    np.testing.assert_allclose(models[1].coef_, models[0].coef_, rtol=1e-8, atol=1e-12)
    assert models[1].t_ == models[0].t_


def test_rows_that_cannot_be_used_are_named(dask_client):
    X = DENSE.copy()
    X[310, 11] = np.inf
    with pytest.raises(DataError, match=r"'X\[11\]' is inf in row 10 of partition 2"):
        dask_ext.SGDClassifier(mode="columns", n_workers=2, **OPTIONS).fit(chunks_of(X), da.from_array(label(DENSE)))


def test_a_few_rows_tell_where_blocks_are_cut(dask_client):
    """Half of the values are those of three elements, the others are spread evenly over ten thousand."""
    rng = np.random.default_rng(0)
    indices = np.concatenate([np.tile([0, 1, 2], (N, 1)), 3 + rng.integers(0, 10_000, (N, 3))], axis=1)
    X = scipy.sparse.csr_matrix(
        (np.ones(indices.size), indices.ravel(), np.arange(0, indices.size + 1, 6)), (N, 10_003)
    )
    dataset = collect(dask_client, chunks_of(X), {"label": da.from_array(np.zeros(N))}, FEATURES, [])
    look(dask_client, dataset)
    edge = column_blocks(dataset.spec, 2, dataset.values_per_row())[0].ranges[-1][1]
    assert 0.4 < np.mean(indices < edge) < 0.6
    assert column_blocks(dataset.spec, 2)[0].ranges[-1][1] == pytest.approx(5000, rel=0.05)
    dataset.release()
