"""Predictions of Dask collections, as lazy as the collections: the model goes to the partitions, and nothing is computed here."""

import uuid
from typing import Any

import dask
import numpy as np
import pandas as pd

from dsgd.data.matrices import COLUMN
from dsgd.errors import ConfigError, DataError
from dsgd.fitted import LinearModel

from .kinds import is_frame, is_parts, is_series


def predict(model: LinearModel, method: str, X: Any, offset: Any, who: str = "model") -> Any:
    """Apply a method of the model ("predict", "predict_proba", "decision_function") to every partition.

    Parameters
    ----------
    model : LinearModel
    method : str
    X : dask.dataframe.DataFrame, dask.array.Array, or list of delayed partitions
    offset : str or None
        A column of the frame, or of the frames of the list.
    who : str
        Whose tasks these are, for Dask's dashboard.

    Returns
    -------
    dask.dataframe.Series or DataFrame for a frame, dask.array.Array for an array, list of Delayed for a list
    """
    if method == "predict_proba":
        model.check_probabilities()
    name = f"dsgd-{method.replace('_', '-')}-{who}"
    shipped = dask.delayed(model, name=f"dsgd-model-{who}-{uuid.uuid4().hex}")
    if is_series(X):
        raise DataError("X is a Dask Series; a frame was expected: X.to_frame()")
    if is_frame(X):
        _check_columns(model, [str(name) for name in X.columns], offset)
        meta = _labelled(model, method, _empty(model, method), X._meta.index)
        return X.map_partitions(_frame_part, shipped, method, offset, meta=meta, token=name)
    if is_parts(X):
        apply = dask.delayed(_any_part, pure=False)
        return [apply(part, shipped, method, offset, dask_key_name=f"{name}-{uuid.uuid4().hex}") for part in X]
    if offset is not None:
        raise ConfigError("offset is not taken beside a Dask Array; use a Dask DataFrame and name its column")
    return _of_array(model, shipped, method, X, name)


def _check_columns(model: LinearModel, names: list[str], offset: Any) -> None:
    """Raise DataError for what a frame lacks: here, rather than when its first partition is computed."""
    by_name = model.spec.columns != (COLUMN,) or COLUMN in names
    lacking = [
        name
        for name in (*(model.spec.columns if by_name else ()), offset)
        if isinstance(name, str) and name not in names
    ]
    if lacking:
        raise DataError(f"X has no column {lacking[0]!r}, and the model needs one; its columns are {names}")
    if not by_name:
        _check_width(model, len([name for name in names if name != offset]))


def _check_width(model: LinearModel, columns: Any) -> None:
    if columns == columns and columns != model.spec.layout.size and model.spec.columns == (COLUMN,):
        raise DataError(f"X has {columns} features, and the model was fitted on {model.spec.layout.size}")


def _of_array(model: LinearModel, shipped: Any, method: str, X: Any, name: str) -> Any:
    if X.ndim != 2:
        raise DataError(f"a matrix of shape (n, d) was expected, not an array of {X.ndim} dimensions")
    _check_width(model, X.shape[1])
    empty = _empty(model, method)
    X = X.rechunk({1: -1})
    one = empty.ndim == 1
    return X.map_blocks(
        _array_part,
        model=shipped,
        method=method,
        name=f"{name}-{uuid.uuid4().hex}",
        dtype=empty.dtype,
        chunks=(X.chunks[0],) if one else (X.chunks[0], (empty.shape[1],)),
        drop_axis=[1] if one else [],
        meta=empty,
    )


def _empty(model: LinearModel, method: str) -> np.ndarray:
    """The result of a method for no rows: its dtype and number of columns."""
    k = len(model.intercept)
    scores = np.empty(0 if k == 1 else (0, k), model.coef.dtype)
    convert = {"predict": model.predictions, "predict_proba": model.probabilities}
    return convert.get(method, lambda scores: scores)(scores)


def _labelled(model: LinearModel, method: str, values: np.ndarray, index: Any) -> Any:
    """Put a partition's result into pandas form, with the partition's index."""
    if values.ndim == 1:
        return pd.Series(values, index=index, name="prediction" if method == "predict" else "score")
    return pd.DataFrame(values, index=index, columns=list(model.classes))  # type: ignore[arg-type]


def _frame_part(part: Any, model: LinearModel, method: str, offset: str | None) -> Any:
    return _labelled(model, method, getattr(model, method)(part, offset), part.index)


def _array_part(part: Any, model: LinearModel, method: str) -> np.ndarray:
    return getattr(model, method)(part)


def _any_part(part: Any, model: LinearModel, method: str, offset: str | None) -> Any:
    X = part[0] if isinstance(part, (tuple, list)) else part
    values = getattr(model, method)(X, offset)
    return _labelled(model, method, values, X.index) if isinstance(X, pd.DataFrame) else values


def logarithms_of_parts(parts: list) -> list:
    """Return the logarithms of delayed probabilities, delayed."""
    return [dask.delayed(_logarithms, pure=False)(part) for part in parts]


def _logarithms(chances: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(chances)
