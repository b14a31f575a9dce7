"""Rows that lie on ranks with all of their columns are transposed: column blocks train as where every rank can read all rows."""

import os
import signal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from dsgd.collectives.exchange import Exchange
from dsgd.data import transposed
from dsgd.data.cache import BlockCache
from dsgd.data.dataset import Dataset, Split
from dsgd.data.sources import as_dataset
from dsgd.data.transposed import join_pieces, split_pieces
from dsgd.data.where import Where
from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train.columns import transpose
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine
from dsgd.train.modes import Columns, Hybrid, Sync

from ..conformance.test_modes import data
from ..reference.vectors import spark_vectors
from .fits import train
from .test_columns import distance

CONFIG = {"optimizer": "adagrad", "eta0": 0.3, "batch_size": 60, "max_iter": 3, "tol": None, "dtype": "float64"}


class Apart(Dataset):
    """Parts that lie on one rank each, as those of a cluster's frame do; a part may have no rows."""

    divisible = False

    def __init__(self, parts):
        self.parts = list(parts)
        self.roles = parts[0].roles

    @property
    def spec(self):
        return self.parts[0].spec

    def with_spec(self, spec):
        return Apart([part.with_spec(spec) for part in self.parts])

    def splits(self):
        return [Split("", 0, 0, 1, index=i) for i in range(len(self.parts))]

    def shares(self, size):
        assert size == len(self.parts)
        return [[split] for split in self.splits()]

    def read_located(self, split, batch_rows, threads=1):
        for own in self.parts[split.index].splits():
            for batch, where in self.parts[split.index].read_located(own, batch_rows, threads):
                yield batch, Where(f"part {split.index}", where.first)


def apart(edges, X, y, *beside, **options) -> Apart:
    """The rows between edges, each on a rank of its own."""
    spec = as_dataset(X, y, *beside, **options).spec

    def take(values, a, b):
        return values if isinstance(values, str) else values[a:b]

    return Apart([as_dataset(*(take(v, a, b) for v in (X, y, *beside)), spec=spec) for a, b in pairwise(edges)])


def fitted(dataset, validation=None, **config):
    with LocalEngine(processes=False) as engine:
        return fit(dataset, FitConfig(**CONFIG | {"shuffle": False} | config), engine, validation=validation)


def same(model, other, bound=1e-10):
    assert distance(model, other) < bound
    np.testing.assert_allclose(model.intercept, other.intercept, rtol=1e-9)
    assert [r["objective"] for r in model.history] == pytest.approx([r["objective"] for r in other.history])


@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize("edges", [(0, 300, 600, 900), (0, 10, 880, 900), (0, 0, 900, 900)], ids=str)
def test_matrices(kind, edges):
    """Rows come in the order of the ranks, so that the steps are those of one rank that has them all."""
    X, y = data(kind)
    same(
        fitted(apart(edges, X, y), mode=Columns(), n_workers=3),
        train(X, y, mode=Hybrid(1, 1), n_workers=1, shuffle=False, **CONFIG),
    )


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_grid_divides_the_rows_among_its_rows(shuffle):
    X, y = data("sparse")
    grid = fitted(apart((0, 100, 450, 800, 900), X, y), mode=Hybrid(2, 2), n_workers=4, shuffle=shuffle)
    # The first two ranks have what the first rank of synchronous training has.
    rows = train(X, y, mode=Sync(), n_workers=2, shuffle=False, **CONFIG)
    assert distance(grid, rows) < (0.5 if shuffle else 1e-10)


def test_rows_come_in_rounds(monkeypatch):
    """Of a row each here: the first of every rank, then the second of every rank, and so on."""
    monkeypatch.setattr(transpose, "ROUND_BYTES", 1)
    X, y = data("dense", 60)
    parts = apart((0, 20, 30, 60), X, y)
    order = [start + k for k in range(30) for start, stop in ((0, 20), (20, 30), (30, 60)) if start + k < stop]
    config = {"mode": Columns(), "batch_size": 7}
    alone = train(X[order], y[order], n_workers=1, shuffle=False, **CONFIG | config | {"mode": Hybrid(1, 1)})
    same(fitted(parts, n_workers=3, **config), alone)


@pytest.fixture(scope="module")
def table():
    """Numbers with gaps, text, vectors of three kinds, weights, offsets and classes that are text."""
    rng, n = np.random.default_rng(3), 900
    dense, sparse = rng.normal(size=(n, 5)), rng.normal(size=(n, 40)) * (rng.random((n, 40)) < 0.1)
    score = dense.sum(axis=1) + sparse[:, :20].sum(axis=1)
    return pa.table(
        {
            "a": pa.array(np.where(rng.random(n) < 0.1, np.nan, rng.normal(5, 2, n)), from_pandas=True),
            "b": rng.integers(0, 9, n),
            "c": rng.choice(list("uvw"), n),
            "d": pa.array(rng.integers(0, 500, n).astype(str)).dictionary_encode(),
            "list": pa.array(dense.tolist()),
            "fixed": pa.FixedSizeListArray.from_arrays(pa.array(dense.ravel()), 5),
            "sparse": spark_vectors(sparse),
            "weight": rng.random(n) + 0.5,
            "offset": rng.normal(size=n),
            "y": np.where(score + rng.logistic(size=n) > 0, "yes", "no"),
        }
    )


OPTIONS = {"numeric": ["a", "b"], "categorical": ["c", "d"], "vectors": ["list", "fixed", "sparse"], "missing": "mean"}


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("mode", [Columns(), Hybrid(1, 5)], ids=str)
def test_columns_of_all_kinds(table, mode, standardize):
    n, options = (3 if mode == Columns() else 5), OPTIONS | {"hash_bits": 9}
    edges = np.linspace(0, len(table), n + 1).astype(int)
    parts = apart(edges, table, "y", "weight", "offset", **options)
    config = {"standardize": standardize, "alpha": 1e-3, "early_stopping": True, "n_iter_no_change": 2}
    alone = fitted(as_dataset(table, "y", "weight", "offset", **options), mode=Hybrid(1, 1), n_workers=1, **config)
    blocks = fitted(parts, mode=mode, n_workers=n, **config)
    same(blocks, alone)
    assert blocks.spec.vectors == alone.spec.vectors
    np.testing.assert_allclose(blocks.spec.means, alone.spec.means)
    assert blocks.classes.tolist() == ["no", "yes"]


def test_one_vector_in_many_blocks(table):
    """Each has some of its elements; dense rows may come in Spark's form, too."""
    narrow = table.select(["sparse", "y"])
    parts = apart(np.linspace(0, 900, 8).astype(int), narrow, "y", vectors=["sparse"])
    alone = fitted(as_dataset(narrow, "y", vectors=["sparse"]), mode=Hybrid(1, 1), n_workers=1)
    same(fitted(parts, mode=Columns(), n_workers=7), alone)


def test_validation_rows_lie_anywhere():
    X, y = data("dense")
    config = {"mode": Columns(), "n_workers": 3, "early_stopping": True, "max_iter": 10}
    alone = fitted(as_dataset(X[:600], y[:600]), as_dataset(X[600:], y[600:]), **config)
    train_apart, held_apart = apart((0, 200, 400, 600), X[:600], y[:600]), apart((0, 0, 250, 300), X[600:], y[600:])
    for rows, held_out in (
        (train_apart, held_apart),
        (train_apart, as_dataset(X[600:], y[600:])),
        (as_dataset(X[:600], y[:600]), held_apart),
    ):
        model = fitted(rows, held_out, **config)
        assert [r["validation"] for r in model.history] == pytest.approx([r["validation"] for r in alone.history])
        assert distance(model, alone) < 1e-10


def test_going_on_from_a_model():
    X, y = data("sparse")
    models = []
    for dataset, mode, n in ((as_dataset(X, y), Hybrid(1, 1), 1), (apart((0, 500, 900), X, y), Columns(), 2)):
        with LocalEngine(processes=False) as engine:
            config = FitConfig(**CONFIG | {"mode": mode, "n_workers": n, "shuffle": False})
            models.append(fit(dataset, config, engine, initial=fit(dataset, config, engine)))
    same(models[1], models[0])
    assert models[1].state["step"] == models[0].state["step"]


def test_encoded_rows_need_not_fit_memory_or_disk(monkeypatch):
    """What the store does not keep is read again from what arrived."""
    monkeypatch.setattr("dsgd.train.stores.MEMORY_BYTES", 0)
    X, y = data("sparse")
    received = received_bytes(monkeypatch, lambda: fitted(apart((0, 500, 900), X, y), mode=Columns(), n_workers=2))
    model = fitted(apart((0, 500, 900), X, y), mode=Columns(), n_workers=2, cache_bytes=received)
    same(model, fitted(as_dataset(X, y), mode=Columns(), n_workers=2))


def received_bytes(monkeypatch, work) -> int:
    """The largest file of rows that arrived, of all ranks, during some work."""
    sizes, end = [], transposed.Spool.close

    def noting(self):
        sizes.append(self.bytes)
        end(self)

    with monkeypatch.context() as patch:
        patch.setattr(transposed.Spool, "close", noting)
        work()
    return max(sizes)


def test_rows_that_arrive_count_for_cache_bytes(monkeypatch):
    """Encoded rows may take what they leave, and they themselves no more than there is."""
    monkeypatch.setattr("dsgd.train.stores.MEMORY_BYTES", 0)
    X, y = data("dense")
    options = {"mode": Columns(), "n_workers": 2}
    rows = apart((0, 500, 900), X, y)
    received = received_bytes(monkeypatch, lambda: fitted(rows, **options))
    given, begin = [], BlockCache.__init__

    def noting(self, directory, memory_bytes, cache_bytes, memory_limit=None):
        given.append(cache_bytes)
        begin(self, directory, memory_bytes, cache_bytes, memory_limit)

    monkeypatch.setattr(BlockCache, "__init__", noting)
    fitted(rows, cache_bytes=received + 1000, **options)
    assert min(given) == 1000
    with pytest.raises(ConfigError, match=f"more than the {received - 1:,} bytes that cache_bytes leaves; allow more"):
        fitted(rows, cache_bytes=received - 1, **options)
    fitted(rows, validation=rows, cache_bytes=2 * received, **options)
    with pytest.raises(ConfigError, match=r"than the [\d,]+ bytes that cache_bytes leaves"):
        fitted(rows, validation=rows, cache_bytes=received + 10, **options)


@pytest.mark.parametrize(
    ("column", "told"),
    [("label", r"'y' is nan"), ("first", r"'X\[0\]' is NaN"), ("last", r"'X\[9\]' is NaN")],
)
def test_rows_that_cannot_be_used_are_named_where_they_lie(column, told):
    X, y = data("dense", 90)
    X, y = X.copy(), y.astype(float)
    (y if column == "label" else X[:, 0] if column == "first" else X[:, 9])[50] = np.nan
    with pytest.raises(DataError, match=rf"{told} in row 20 of part 1"):
        fitted(apart((0, 30, 90), X, y), mode=Columns(), n_workers=2)


def test_sparse_rows_that_cannot_be_used_are_named_where_they_lie():
    X, y = data("sparse", 90)
    X = X.tolil()
    X[50, 2999] = np.inf
    with pytest.raises(DataError, match=r"'X\[2999\]' is inf in row 20 of part 1"):
        fitted(apart((0, 30, 90), scipy.sparse.csr_matrix(X), y), mode=Columns(), n_workers=2)


def test_files_are_removed(monkeypatch):
    paths, start = [], transposed.Spool.__init__

    def noting(self, directory, most):
        start(self, directory, most)
        paths.append(self.path)

    monkeypatch.setattr(transposed.Spool, "__init__", noting)
    X, y = data("dense")
    fitted(apart((0, 500, 900), X, y), mode=Columns(), n_workers=2)
    assert len(paths) == 2
    assert not any(os.path.exists(path) for path in paths)


def packed(payload):
    return [pa.py_buffer(piece.copy()) for _, piece in split_pieces(payload)]


def without_first(pieces):
    return pieces[1:]


def without_last(pieces):
    return pieces[:-1]


def twice(pieces):
    return [*pieces, pieces[-1]]


def swapped(pieces):
    return [pieces[1], pieces[0], *pieces[2:]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_first, "piece 1 of rank 0's rows arrived where piece 0 of rank 0's was expected"),
        (twice, "piece 99 of rank 0's rows arrived where piece 100 of rank 0's was expected"),
        (swapped, "piece 1 of rank 0's rows arrived where piece 0 of rank 0's was expected"),
        (without_last, "did not receive the same rows as this one: "),
    ],
)
def test_rows_that_do_not_align_are_refused(monkeypatch, change, told):
    """On the way to one rank pieces are dropped, doubled or swapped."""
    monkeypatch.setattr(transpose, "_MOST_ROWS", 3)
    swap = Exchange.swap

    def tampered(self, payloads):
        arrived = swap(self, payloads)
        if self.rank == 1 and len(arrived[0]):
            arrived[0] = join_pieces(change(packed(arrived[0])))
        return arrived

    monkeypatch.setattr(Exchange, "swap", tampered)
    X, y = data("dense", 600)
    with pytest.raises(DataError, match=told):
        fitted(apart((0, 300, 600), X, y), mode=Columns(), n_workers=2)


def test_rows_under_another_name_are_refused(monkeypatch):
    """The right identities, and other rows: their labels tell."""
    pack = transpose.pack_piece

    def lying(identity, batch, where):
        names = batch.schema.names
        if identity.rank == 0 and "X" in names and batch.column("X").type.list_size == 5 and lying.first:
            lying.first = False
            batch = batch.take(pa.array(np.arange(batch.num_rows)[::-1]))
        return pack(identity, batch, where)

    lying.first = True
    monkeypatch.setattr(transpose, "pack_piece", lying)
    X, y = data("dense", 600)
    with pytest.raises(DataError, match="does not have the same rows as this one"):
        fitted(apart((0, 300, 600), X, y), mode=Columns(), n_workers=2)


class Mortal(Apart):
    """Rows of which the second part kills the rank that reads them, as ``kill -9`` does it."""

    def with_spec(self, spec):
        return Mortal(Apart.with_spec(self, spec).parts)

    def read_located(self, split, batch_rows, threads=1):
        for number, found in enumerate(super().read_located(split, 50)):
            if split.index == 1 and number == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield found


def test_a_rank_that_dies_ends_the_fit():
    X, y = data("dense")
    config = FitConfig(**CONFIG | {"mode": Columns(), "n_workers": 3})
    with LocalEngine(processes=True) as engine, pytest.raises(WorkerLost, match="rank 1"):
        fit(Mortal(apart((0, 300, 600, 900), X, y).parts), config, engine)


def test_what_is_under_way_is_bounded(monkeypatch):
    """Whatever the number of rows: those of a round, and one piece more."""
    monkeypatch.setattr(transpose, "ROUND_BYTES", 4000)
    swap, rounds = Exchange.swap, []

    def noting(self, payloads):
        rounds.append(sum(map(len, payloads)))
        return swap(self, payloads)

    monkeypatch.setattr(Exchange, "swap", noting)
    X, y = data("dense", 3000)
    fitted(apart((0, 1500, 3000), X, y), mode=Columns(), n_workers=2, max_iter=1)
    assert len(rounds) > 60
    assert max(rounds) < 3 * 4000
