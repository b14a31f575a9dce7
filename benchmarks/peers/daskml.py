"""dask-ml: from the Parquet path to a converged LogisticRegression on two Dask workers of one thread each.

Timed: reading into worker memory and fitting with L-BFGS, the fastest of dask-ml's solvers here. dask-ml has no sparse
design matrix from Parquet, so the click set's strings are hashed into SciPy rows by scikit-learn's FeatureHasher, as
dask-ml's own does, and handed over in the ``sparse`` package's format, which its solvers accept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pyarrow.parquet as pq
import scipy.sparse
import sparse
from dask_ml.linear_model import LogisticRegression
from distributed import Client, LocalCluster, wait
from sklearn.feature_extraction import FeatureHasher

from ..click import NUMBER_NAMES, STRING_NAMES
from ..data import dense_names
from ..measure import Sample, Stopwatch, log_loss

HASHED_FEATURES = 2**20


@contextmanager
def workers(count: int) -> Iterator[Client]:
    """Client of a LocalCluster of ``count`` workers with one thread each."""
    options = {"threads_per_worker": 1, "memory_limit": "6GB", "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(n_workers=count, **options) as cluster, Client(cluster) as client:
        yield client


def dense_rows(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 100) float32 and labels of one file of the dense set."""
    table = pq.read_table(path, use_threads=False)
    return np.column_stack([table[name].to_numpy() for name in dense_names()]), table["label"].to_numpy()


def click_rows(path: str) -> tuple[sparse.COO, np.ndarray]:
    """Features (n, 2**20 + 1) sparse, the last of them 1, and labels of one file of the click set."""
    table = pq.read_table(path, use_threads=False)
    numbers = [[(name, value) for value in table[name].to_pylist()] for name in NUMBER_NAMES]
    strings = [[(f"{name}={value}", 1.0) for value in table[name].to_pylist()] for name in STRING_NAMES]
    hasher = FeatureHasher(HASHED_FEATURES, input_type="pair", dtype=np.float32, alternate_sign=False)
    hashed = hasher.transform(zip(*numbers, *strings, strict=True))
    constant = scipy.sparse.csr_matrix(np.ones((table.num_rows, 1), np.float32))
    features = sparse.COO.from_scipy_sparse(scipy.sparse.hstack([hashed, constant], format="csr"))
    return features, table["label"].to_numpy()


ROWS_OF = {"dense": (dense_rows, len(dense_names())), "click": (click_rows, HASHED_FEATURES + 1)}
# dask-ml can neither append the intercept's column to sparse rows nor standardise them.
OPTIONS = {"dense": {}, "click": {"fit_intercept": False, "solver_kwargs": {"normalize": False}}}


def fit(client: Client, directory: Path, which: str, strength: float) -> Sample:
    """Read ``directory/train`` on the workers, fit with ``C=strength``; evaluate on ``test``."""
    rows_of, width = ROWS_OF[which]
    clock = Stopwatch()
    with clock.running():
        X, y = _read(client, directory / "train", rows_of, width)
        model = LogisticRegression(solver="lbfgs", C=strength, max_iter=100, **OPTIONS[which])
        model.fit(X, y)
    X_test, y_test = rows_of(str(directory / "test" / "part-0.parquet"))
    score = X_test @ np.asarray(model.coef_).ravel() + getattr(model, "intercept_", 0.0)
    return Sample(clock.seconds, log_loss(np.asarray(score).ravel(), y_test), {"C": strength})


def _read(client: Client, directory: Path, rows_of, width: int) -> tuple[da.Array, da.Array]:
    """The files as one dask array, a chunk a file, loaded on the workers."""
    features, labels = [], []
    meta = np.empty((0, width), np.float32)
    for path in sorted(directory.glob("*.parquet")):
        n = pq.read_metadata(path).num_rows
        part = dask.delayed(rows_of, nout=2)(str(path))
        features.append(da.from_delayed(part[0], (n, width), np.float32, meta=meta))
        labels.append(da.from_delayed(part[1], (n,), np.int32))
    X, y = client.persist([da.concatenate(features), da.concatenate(labels)])
    wait([X, y], timeout=300)
    return X, y
