"""The features of a model that a fit goes on from: later rows are read by them, and rows that have other features are refused.

In come a dataset, with the features that its own columns and options give, and the model's FeatureSpec; out comes the dataset
with the model's. Columns are found by their names, so their order does not matter; a matrix has positions only. What would give
a weight another meaning (a missing, additional or differently used column, other hash bits or values) is an error.
"""

from dataclasses import replace
from typing import Any

from ..errors import ConfigError, DataError
from .dataset import Dataset
from .matrices import COLUMN
from .spec import Categorical, FeatureSpec, Vector

_ANEW = "give the features that the model was fitted on, or start anew"


def with_features_of(dataset: Dataset, spec: FeatureSpec) -> Dataset:
    """Return a dataset with the features of the model that a fit goes on from.

    ``missing`` stays as the dataset has it; means that the model has learnt for missing values go on being used.

    Raises
    ------
    DataError
        For a column of the model that the data lacks, or has as something else.
    ConfigError
        For features that the model does not have, and other options of those that it has.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from dsgd.data.sources import as_dataset
    >>> first = as_dataset(pa.table({"a": [1.0], "b": [2.0], "y": [0]}), "y")
    >>> later = as_dataset(pa.table({"y": [1], "b": [3.0], "a": [4.0]}), "y")
    >>> later.spec.numeric, with_features_of(later, first.spec).spec.numeric
    (('b', 'a'), ('a', 'b'))
    """
    own = dataset.spec
    if own == spec:
        return dataset
    if COLUMN in (*own.columns, *spec.columns):
        spec = _by_position(own, spec)
    else:
        _compare(own, spec)
    means = spec.means if own.missing == "mean" else None
    return dataset.with_spec(replace(spec, missing=own.missing, means=means))


def _by_position(own: FeatureSpec, spec: FeatureSpec) -> FeatureSpec:
    """The features of a matrix: as dense or sparse as it is, and with the names of a model of numeric columns."""
    if own.layout.size != spec.layout.size:
        raise ConfigError(
            f"the model to start from has {spec.layout.size} weights and this data has {own.layout.size} features; {_ANEW}"
        )
    if own.columns == spec.columns == (COLUMN,):
        means = spec.means if own.layout.dense == spec.layout.dense else None
        return replace(spec, vectors=own.vectors, means=means)
    if own.columns != (COLUMN,) or own.layout.dense != spec.layout.dense:
        kinds = ["a matrix without column names" if s.columns == (COLUMN,) else "named columns" for s in (spec, own)]
        raise ConfigError(f"the model to start from was fitted on {kinds[0]}, and this data has {kinds[1]}; {_ANEW}")
    return spec


def _compare(own: FeatureSpec, spec: FeatureSpec) -> None:
    used, wanted = _uses(own), _uses(spec)
    for name, use in wanted.items():
        if name not in used:
            raise DataError(
                f"the model to start from has the column {name!r}, and this data has {sorted(used)[:20]}; {_ANEW}"
            )
        if used[name] != use:
            raise DataError(
                f"column {name!r} is {_in_words(use)} in the model to start from, and {_in_words(used[name])} here; {_ANEW}"
            )
    more = sorted(set(used) - set(wanted))
    if more:
        raise ConfigError(
            f"column {more[0]!r} is none of those of the model to start from, {sorted(wanted)[:20]}; {_ANEW}"
        )
    crosses, known = ({x.columns: x.bits for x in s.interactions} for s in (own, spec))
    if crosses != known:
        raise ConfigError(
            f"the model to start from has the interactions (with their hash bits) {known}, and this fit asks for {crosses}; "
            f"{_ANEW}"
        )


def _uses(spec: FeatureSpec) -> dict[str, Any]:
    """What becomes of each column; whether a vector is kept dense or sparse does not matter."""
    uses: dict[str, Any] = dict.fromkeys(spec.numeric, "numeric")
    return uses | {c.name: c for c in spec.categorical} | {v.name: replace(v, sparse=False) for v in spec.vectors}


def _in_words(use: Any) -> str:
    if isinstance(use, Categorical):
        kind = f"hash_bits={use.bits}" if use.values is None else f"a vocabulary of {len(use.values)}"
        return f"categorical ({kind})"
    return f"a vector of {use.width} numbers" if isinstance(use, Vector) else "numeric"
