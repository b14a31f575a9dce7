"""Predictions of Dask collections, as lazy as the collections: the model goes to the partitions, and nothing is computed here."""

from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd

from dsgd.data.sources import as_dataset
from dsgd.errors import ConfigError
from dsgd.fitted import LinearModel
from dsgd.metrics import Metrics

from .collect import aligned, is_frame


def predict(model: LinearModel, method: str, X: Any, offset: Any) -> Any:
    """Apply a method of the model ("predict", "predict_proba", "decision_function") to every partition.

    Returns
    -------
    dask.dataframe.Series or DataFrame for a frame, dask.array.Array for an array
    """
    if method == "predict_proba":
        model.check_probabilities()
    shipped = dask.delayed(model)
    if is_frame(X):
        meta = _labelled(model, method, _empty(model, method), None)
        return X.map_partitions(_frame_part, shipped, method, offset, meta=meta)
    if offset is not None:
        raise ConfigError("offset is not taken beside a Dask Array; use a Dask DataFrame and name its column")
    empty = _empty(model, method)
    X = X.rechunk({1: -1})
    chunks = (X.chunks[0],) if empty.ndim == 1 else (X.chunks[0], (empty.shape[1],))
    drop = [1] if empty.ndim == 1 else []
    return da.map_blocks(
        _array_part, X, model=shipped, method=method, dtype=empty.dtype, chunks=chunks, drop_axis=drop, meta=empty
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


def measure(model: LinearModel, X: Any, beside: dict[str, Any]) -> Metrics:
    """Return the metrics of a collection: each partition's sums, computed where it is, and added up here."""
    shipped = dask.delayed(model)
    if is_frame(X):
        columns = {role: value for role, value in beside.items() if isinstance(value, dd.Series)}
        X = X.assign(**{f"__{role}__": value for role, value in columns.items()})
        names = {role: f"__{role}__" if role in columns else value for role, value in beside.items()}
        tasks = [dask.delayed(_sums)(shipped, part, names) for part in X.to_delayed()]
    else:
        X = X.rechunk({1: -1})
        blocks = X.to_delayed().ravel()
        split = {role: aligned(X, role, value) for role, value in beside.items() if value is not None}
        tasks = [
            dask.delayed(_sums)(shipped, block, {role: parts[i] for role, parts in split.items()})
            for i, block in enumerate(blocks)
        ]
    return model.metrics().from_vector(sum(dask.compute(*tasks)))


def _sums(model: LinearModel, part: Any, beside: dict[str, Any]) -> np.ndarray:
    columns = [beside.get(role) for role in ("label", "weight", "offset")]
    if as_dataset(part, *columns, spec=model.spec).splits() == []:
        return model.metrics().to_vector()
    return model.measure(part, *columns).to_vector()
