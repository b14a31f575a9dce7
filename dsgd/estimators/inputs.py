"""What users hand to fit and predict, checked in scikit-learn's way, as datasets of the core.

Matrices go through scikit-learn's own validation (shape, dtype, number of features), frames, tables and datasets through the
feature spec; whatever is wrong with them is a DataError in either case.
"""

import os
import warnings
from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d, validate_data

from ..data.dataset import Dataset
from ..data.sources import as_dataset
from ..errors import ConfigError, DataError

# Parameters of an estimator that say what the columns of a frame are.
FEATURES = ("categorical", "interactions", "hash_bits", "missing")


def is_matrix(X: Any) -> bool:
    """Whether X has rows and columns and no column names: an array, a sparse matrix, nested lists."""
    if isinstance(X, (Dataset, str)) or hasattr(X, "column_names"):  # Arrow's columns are arrays, its names are apart.
        return False
    if hasattr(X, "columns"):  # A pandas frame may have numbers for names, which are no names.
        return not any(isinstance(name, str) for name in X.columns)
    return not hasattr(X, "__arrow_c_stream__")


def checked(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Check a matrix, and note (or compare) its number of features; anything else passes.

    An array of float32 or float64 is returned as it is, without a copy, and is not searched for NaN: the encoder does that.
    """
    if isinstance(X, (str, os.PathLike)):
        raise ConfigError(f"X is a path, {str(X)!r}; for files, give dsgd.read_parquet({str(X)!r}, label=...)")
    _refuse_lazy(X)
    if not is_matrix(X):
        if not reset:
            _warn_of_names(estimator, X)
        return X
    try:
        return validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype="numeric",
            ensure_all_finite=False,
            accept_large_sparse=False,
        )
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from error


def _refuse_lazy(X: Any) -> None:
    """Raise ConfigError for what Dask has yet to compute, arrays apart, which numpy takes as they are."""
    if hasattr(X, "__dask_graph__") and (hasattr(X, "columns") or not hasattr(X, "__array__")):
        raise ConfigError(
            f"X is a {type(X).__name__} of Dask's, and data in memory was expected: give X.compute(). The estimators of dask_ext "
            "take Dask DataFrames, Dask Arrays and lists of delayed partitions as they are"
        )


def _warn_of_names(estimator: Any, X: Any) -> None:
    """Say, as scikit-learn does, that the names of a frame's columns were not compared with those of the training rows."""
    fitted, named = (hasattr(estimator, name) for name in ("n_features_in_", "feature_names_in_"))
    if fitted and not named and not isinstance(X, Dataset):
        warnings.warn(
            f"X has feature names, but {type(estimator).__name__} was fitted without feature names: columns are taken in their "
            "order",
            UserWarning,
            stacklevel=4,
        )


def flat(y: Any) -> Any:
    """Return labels as an array of shape (n,), warning as scikit-learn does when they are a column; names pass."""
    if y is None or isinstance(y, str) or not hasattr(y, "__len__"):
        return y
    try:
        return column_or_1d(y, warn=True)
    except ValueError as error:
        raise DataError(f"y must hold one label a row: {error}") from error


def training_data(
    estimator: Any, X: Any, y: Any, sample_weight: Any, offset: Any, features: dict[str, Any], *, reset: bool = True
) -> Dataset:
    """Return what a fit is given as a dataset with a label, and note the features' names on the estimator."""
    if y is None and not isinstance(X, Dataset):
        raise DataError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None; give an array, or the name of "
            "a column of X"
        )
    X, y = checked(estimator, X, reset=reset), flat(y)
    dataset = as_dataset(X, y, sample_weight, offset, **features)
    if dataset.roles.label is None:
        raise DataError("the dataset names no label; give read_parquet(..., label=...)")
    if reset and not is_matrix(X):
        note_columns(estimator, dataset.spec.columns)
    return dataset


def rows_of_matrix(estimator: Any, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool) -> tuple:
    """Return a matrix and what is beside it, checked, as what can be indexed by row.

    Raises
    ------
    DataError
        When they differ in length.
    """
    X, y = checked(estimator, X, reset=reset), flat(y)
    named = {"y": y, "sample_weight": sample_weight, "offset": offset}
    beside = {name: None if values is None else np.asarray(values) for name, values in named.items()}
    for name, values in beside.items():
        if values is not None and values.shape != (X.shape[0],):
            raise DataError(f"{name} has shape {values.shape} and X has {X.shape[0]} rows; one value a row is needed")
    return X, *beside.values()


def weights_of_rows(sample_weight: Any, rows: int) -> np.ndarray:
    """Return the rows' weights as float64, ones for None.

    Raises
    ------
    DataError
        For weights of another length, below 0, not finite, or all zero.
    """
    if sample_weight is None:
        return np.ones(rows)
    try:
        weight = np.asarray(sample_weight, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight must hold numbers: {error}") from error
    if weight.ndim == 0:
        weight = np.full(rows, float(weight))
    if weight.shape != (rows,):
        raise DataError(f"sample_weight has shape {weight.shape} and X has {rows} rows; one weight a row is needed")
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise DataError("sample_weight must be finite and not negative")
    if not weight.any():
        raise DataError("all of sample_weight are zero; at least one row must have a positive weight")
    return weight


def note_columns(estimator: Any, names: tuple[str, ...]) -> None:
    """Set ``feature_names_in_`` and ``n_features_in_``."""
    estimator.feature_names_in_ = np.array(names, object)
    estimator.n_features_in_ = len(names)


def check_class_labels(y: Any) -> None:
    """Raise DataError when y is a target of a regression; scikit-learn's own check sorts all labels, which takes longer."""
    if y is None or isinstance(y, str):
        return
    array = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    if array.dtype.kind == "f" and not np.array_equal(array, np.floor(array)) and np.isfinite(array).all():
        raise DataError(
            "Unknown label type: continuous. A classifier needs classes, and y holds fractions; use SGDRegressor, or cut y "
            "into classes"
        )
