"""Coefficients as a table, each with the name of what it is of."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dsgd.data.layout import ColumnRange
from dsgd.fitted import LinearModel


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
        In ``coefficientMatrix``'s columns.
    coefficient : float
    """

    name: str
    value: Any
    label: Any
    position: int
    coefficient: float


def coefficient_table(core: LinearModel, names: Sequence[str] | None) -> list[Coefficient]:
    """Return a row for each coefficient; of hashed categories, for those that are not zero.

    Parameters
    ----------
    core : LinearModel
    names : sequence of str, optional
        Of the elements of the one vector column.

    Examples
    --------
    >>> from dsgd.data.spec import FeatureSpec, Vector
    >>> spec = FeatureSpec(vectors=(Vector("features", 2),))
    >>> model = LinearModel(np.array([[2.0, 3.0]]), np.array([0.0]), None, spec, "squared_error")
    >>> [tuple(row) for row in coefficient_table(model, ["age", "height"])]
    [('age', None, None, 0, 2.0), ('height', None, None, 1, 3.0)]
    """
    labels = [None] if len(core.coef) == 1 or core.classes is None else core.classes.tolist()
    rows = []
    for place in core.spec.layout.columns:
        values = core.weights(place.name).get("value")
        for position in _shown(core, place, values is not None):
            inside = int(position) - place.start
            rows += [
                Coefficient(
                    _name(place, inside, names),
                    None if values is None else values[inside],
                    label,
                    int(position),
                    float(core.coef[k, position]),
                )
                for k, label in enumerate(labels)
            ]
    return rows


def _shown(core: LinearModel, place: ColumnRange, known: bool) -> np.ndarray:
    """Positions of a column's coefficients; a hash has places that no value ever met."""
    positions = np.arange(place.start, place.stop)
    if place.kind == "interaction" or (place.kind == "categorical" and not known):
        return positions[core.coef[:, positions].any(axis=0)]
    return positions


def _name(place: ColumnRange, inside: int, names: Sequence[str] | None) -> str:
    if place.kind not in ("vector", "sparse"):
        return place.name
    return names[inside] if names is not None and inside < len(names) else f"{place.name}_{inside}"
