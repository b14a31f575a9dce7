"""Coefficients as a table, each with the name of what it is of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data.layout import ColumnRange
from ..data.matrices import COLUMN
from ..display import Table
from ..errors import ConfigError

if TYPE_CHECKING:
    from .model import LinearModel


class Coefficient(NamedTuple):
    """A row of the table; ``pandas.DataFrame(rows)`` has these as its columns.

    Attributes
    ----------
    name : str
        Of the column, of the element of a vector, or of the interaction.
    value : object
        Of a category with a vocabulary; None for all others.
    label : object
        The class whose score it is of, where there are more scores than one; None otherwise.
    position : int
        In the columns of ``coef``.
    coefficient : float
    """

    name: str
    value: Any
    label: Any
    position: int
    coefficient: float


def coefficient_rows(
    model: "LinearModel", names: Sequence[str] | None = None, largest: int | None = None
) -> list[Coefficient]:
    """Return a row for each coefficient; of hashed categories, for those that are not zero.

    Parameters
    ----------
    model : LinearModel
    names : sequence of str, optional
        Of the elements of the one vector column.
    largest : int, optional
        Only that many, of the largest absolute value, the largest first.

    Examples
    --------
    >>> from dsgd import LinearModel
    >>> from dsgd.data.spec import FeatureSpec, Vector
    >>> spec = FeatureSpec(vectors=(Vector("features", 2),))
    >>> model = LinearModel(np.array([[2.0, 3.0]]), np.array([0.0]), None, spec, "squared_error")
    >>> [tuple(row) for row in coefficient_rows(model, ["age", "height"])]
    [('age', None, None, 0, 2.0), ('height', None, None, 1, 3.0)]
    """
    labels = [None] if len(model.coef) == 1 or model.classes is None else model.classes.tolist()
    places = model.spec.layout.columns
    shown = [_shown(model, place) for place in places]
    chosen = _chosen(model, shown, largest)
    rows = []
    for place, positions in zip(places, shown, strict=True):
        values = model.weights(place.name).get("value") if place.kind == "categorical" else None
        for position in positions[np.isin(positions, chosen)].tolist() if largest is not None else positions.tolist():
            inside = position - place.start
            name, value = _name(place, inside, names), None if values is None else values[inside]
            rows += [
                Coefficient(name, value, label, position, float(model.coef[k, position]))
                for k, label in enumerate(labels)
            ]
    return rows if largest is None else sorted(rows, key=lambda row: -abs(row.coefficient))[:largest]


def as_table(model: "LinearModel", rows: Sequence[Coefficient]) -> Table:
    """Rows as a table, without ``value`` where the model has no vocabulary, and without ``label`` where it has one score."""
    needless = set() if any(column.values is not None for column in model.spec.categorical) else {"value"}
    if len(model.coef) == 1:
        needless.add("label")
    return Table({name: part for name, part in row._asdict().items() if name not in needless} for row in rows)


def _shown(model: "LinearModel", place: ColumnRange) -> np.ndarray:
    """Positions of a column's coefficients; a hash has places that no value ever met."""
    positions = np.arange(place.start, place.stop)
    known = any(column.name == place.name and column.values is not None for column in model.spec.categorical)
    if place.kind == "interaction" or (place.kind == "categorical" and not known):
        return positions[model.coef[:, positions].any(axis=0)]
    return positions


def _chosen(model: "LinearModel", shown: list[np.ndarray], largest: int | None) -> np.ndarray:
    """Positions that can have one of the ``largest`` coefficients: a model may have millions, of which few make rows."""
    positions = np.concatenate(shown) if shown else np.zeros(0, np.int64)
    if largest is None:
        return positions
    if isinstance(largest, bool) or not isinstance(largest, (int, np.integer)) or largest < 1:
        raise ConfigError(f"largest must be an integer >= 1, or None for all, not {largest!r}")
    sizes = np.abs(model.coef[:, positions]).max(axis=0)
    return positions[np.argsort(-sizes, kind="stable")[:largest]]


def _name(place: ColumnRange, inside: int, names: Sequence[str] | None) -> str:
    if place.kind not in ("vector", "sparse"):
        return place.name
    if names is not None and inside < len(names):
        return names[inside]
    # scikit-learn's names for the columns of a matrix
    return f"x{inside}" if place.name == COLUMN else f"{place.name}_{inside}"
