"""What is in a saved model, as plain data: its task, its columns, its strongest weights, and whose weights they are.

In: a fitted model, and perhaps the data; out: JSON-ready dictionaries. A hash cannot be undone, so a category's weight is
named by looking through the data for a row that uses it; the first one met gives the name.
"""

from typing import Any

import numpy as np

from dsgd.data.encode import Encoder
from dsgd.data.layout import ColumnRange
from dsgd.fitted import LinearModel
from dsgd.kernels.expand import expand_codes


def describe(model: LinearModel) -> dict[str, Any]:
    """Return the model's task, sizes and columns."""
    return {
        "task": model.task,
        "loss": model.loss,
        "loss_parameters": model.loss_parameters,
        "classes": None if model.classes is None else model.classes.tolist(),
        "epochs": model.epochs,
        "converged": model.converged,
        "dtype": model.coef.dtype.name,
        "weights": int(model.coef.size),
        "nonzero": int(np.count_nonzero(model.coef)),
        "intercept": model.intercept.tolist(),
        "columns": [_column(model, place) for place in model.spec.layout.columns],
    }


def _column(model: LinearModel, place: ColumnRange) -> dict[str, Any]:
    weights = model.coef[:, place.start : place.stop]
    return {
        "name": place.name,
        "kind": place.kind,
        "weights": int(weights.size),
        "nonzero": int(np.count_nonzero(weights)),
    }


def strongest(model: LinearModel, count: int, dataset: Any = None) -> list[dict[str, Any]]:
    """Return the weights that are largest in absolute value.

    Parameters
    ----------
    model : LinearModel
    count : int
    dataset : ParquetDataset, optional
        Where to look for the values that hashed weights belong to.

    Returns
    -------
    list of dict
        ``column``, ``value`` (None for a number's weight, or where it is not known), ``position``, ``weight``, and ``class``
        for models of more than two classes.
    """
    size = model.coef.shape[1]
    flat = np.abs(model.coef).ravel()
    count = min(count, int(np.count_nonzero(flat)))
    top = np.argpartition(-flat, count - 1)[:count] if count else np.zeros(0, np.intp)
    top = top[np.argsort(-flat[top], kind="stable")]
    names = {} if dataset is None else name_positions(model, dataset, top % size)
    return [_weight(model, int(k), int(position), names) for k, position in zip(top // size, top % size, strict=True)]


def _weight(model: LinearModel, k: int, position: int, names: dict[int, str]) -> dict[str, Any]:
    place = next(place for place in model.spec.layout.columns if place.start <= position < place.stop)
    described = {
        "column": place.name,
        "value": names.get(position, _known_value(model, place, position)),
        "position": position,
        "weight": float(model.coef[k, position]),
    }
    if model.classes is not None and len(model.intercept) > 1:
        described["class"] = model.classes[k].item()
    return described


def _known_value(model: LinearModel, place: ColumnRange, position: int) -> str | None:
    """What the model itself knows: a vocabulary's value, or the place in a vector."""
    if place.kind in ("vector", "sparse"):
        return str(position - place.start)
    values = next((column.values for column in model.spec.categorical if column.name == place.name), None)
    if values is None or place.kind != "categorical":
        return None
    known = [*map(str, values), "any other"]
    return known[position - place.start]


def name_positions(model: LinearModel, dataset: Any, positions: np.ndarray) -> dict[int, str]:
    """Return the value, or the values joined by " x ", of the first row found that uses each position."""
    spec = model.spec
    features = model.dataset(dataset)
    encoder = Encoder(spec, features.roles, model.coef.dtype)
    members = [(column.name,) for column in spec.categorical] + [cross.columns for cross in spec.interactions]
    wanted = {int(position) for position in positions if position >= spec.layout.dense}
    names: dict[int, str] = {}
    for split in features.splits():
        for batch, where in features.read_located(split, 1 << 15):
            codes = _all_codes(encoder(batch, where).codes, spec.layout.crosses)
            for position in wanted - names.keys():
                rows, columns = np.nonzero(codes == position)
                if len(rows):
                    row = int(rows[0])
                    values = [str(batch.column(name)[row].as_py()) for name in members[columns[0]]]
                    names[position] = " x ".join(values)
        if names.keys() == wanted:
            break
    return names


def _all_codes(codes: np.ndarray, crosses: Any) -> np.ndarray:
    if not crosses.count:
        return codes
    expanded = np.empty((len(codes), codes.shape[1] + crosses.count), np.int32)
    expand_codes(codes, 0, len(codes), crosses.columns, crosses.start, crosses.mask, expanded)
    return expanded
