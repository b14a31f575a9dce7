"""FeatureSpec: which source columns become features, and how; a small frozen value that a saved model keeps.

It comes from a schema and the user's options (:mod:`dsgd.data.resolve`), gives the :class:`~dsgd.data.layout.Layout` of
the weight vector, and is applied by :mod:`dsgd.data.encode`, the same way when fitting and when predicting.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import ConfigError
from .layout import ColumnRange, Crosses, Layout

LIMIT = 2**31


@dataclass(frozen=True)
class Categorical:
    """A categorical column: hashed to ``2**bits`` weights, or an exact vocabulary with one more slot for the unseen."""

    name: str
    bits: int = 18
    values: tuple[Any, ...] | None = None

    @property
    def width(self) -> int:
        """Number of weights."""
        return 1 << self.bits if self.values is None else len(self.values) + 1

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of the data that it is made of."""
        return (self.name,)


@dataclass(frozen=True)
class CrossColumn(Categorical):
    """An interaction as a column of its own, where the weights of its members need not be: what one rank owns of it.

    Attributes
    ----------
    members : tuple of Categorical
    places : tuple of ColumnRange
        The members' weights in the layout of all columns: a cross is hashed from positions there.
    """

    members: tuple[Categorical, ...] = ()
    places: tuple[ColumnRange, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Its members."""
        return tuple(member.name for member in self.members)


@dataclass(frozen=True)
class Vector:
    """A column of vectors of ``width`` numbers, kept dense or compressed by row."""

    name: str
    width: int
    sparse: bool = False


@dataclass(frozen=True)
class VectorPiece(Vector):
    """Elements ``first`` to ``first + width`` of a column of vectors of ``whole`` numbers: what one rank owns of it."""

    first: int = 0
    whole: int = 0


@dataclass(frozen=True)
class Interaction:
    """A cross of two or more categorical columns, hashed to ``2**bits`` weights."""

    columns: tuple[str, ...]
    bits: int = 18

    @property
    def name(self) -> str:
        """Its columns joined by " x "."""
        return " x ".join(self.columns)


@dataclass(frozen=True)
class FeatureSpec:
    """The features of a model.

    Parameters
    ----------
    numeric : tuple of str
        Columns of numbers, one weight each.
    categorical : tuple of Categorical
    vectors : tuple of Vector
    interactions : tuple of Interaction
    missing : {"raise", "mean"}
        What a null or a NaN in a numeric or vector column means: an error, or the column's mean.
    means : tuple of float, or None
        With ``missing="mean"``, the ``p`` means learnt by a fit; a spec that has them imputes while encoding.

    Raises
    ------
    ConfigError
        When a name occurs twice, an interaction is not of categorical columns, or there are ``2**31`` weights or more.

    Examples
    --------
    >>> spec = FeatureSpec(("age",), (Categorical("city", bits=4), Categorical("job", values=("cook", "clerk"))))
    >>> spec.layout.size
    20
    >>> FeatureSpec.from_dict(spec.to_dict()) == spec
    True
    """

    numeric: tuple[str, ...] = ()
    categorical: tuple[Categorical, ...] = ()
    vectors: tuple[Vector, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    missing: str = "raise"
    means: tuple[float, ...] | None = None

    def __post_init__(self):
        if self.missing not in ("raise", "mean"):
            raise ConfigError(f"missing must be 'raise' or 'mean', not {self.missing!r}")
        plain = (column.name for column in self.categorical if not isinstance(column, CrossColumn))
        _check_unique((*self.numeric, *plain, *(vector.name for vector in self.vectors)))
        hashed: tuple[Categorical | Interaction, ...] = (*self.categorical, *self.interactions)
        for column in hashed:
            if not 1 <= column.bits <= 30:
                raise ConfigError(f"hash_bits of {column.name!r} must be from 1 to 30, not {column.bits}")
        for interaction in self.interactions:
            _check_interaction(interaction, self)
        size = sum(column.stop - column.start for column in self._ranges())
        if size >= LIMIT:
            raise ConfigError(
                f"the features need {size:,} weights and at most {LIMIT - 1:,} can be indexed; lower hash_bits "
                "(an int for all, or {column: bits} for the largest columns and interactions)"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the source columns, each once."""
        categorical = dict.fromkeys(name for column in self.categorical for name in column.sources)
        return (*self.numeric, *categorical, *(vector.name for vector in self.vectors))

    @property
    def dense_vectors(self) -> tuple[Vector, ...]:
        """The vector columns of the dense part."""
        return tuple(vector for vector in self.vectors if not vector.sparse)

    @property
    def sparse_vectors(self) -> tuple[Vector, ...]:
        """The vector columns of the sparse part."""
        return tuple(vector for vector in self.vectors if vector.sparse)

    def _ranges(self):
        """The column ranges in the order of their weights: dense, categorical, interactions, sparse."""
        parts = [(name, "numeric", 1) for name in self.numeric]
        parts += [(v.name, "vector", v.width) for v in self.dense_vectors]
        parts += [(c.name, "categorical", c.width) for c in self.categorical]
        parts += [(x.name, "interaction", 1 << x.bits) for x in self.interactions]
        parts += [(v.name, "sparse", v.width) for v in self.sparse_vectors]
        start = 0
        for name, kind, width in parts:
            yield ColumnRange(name, kind, start, start + width)
            start += width

    @cached_property
    def layout(self) -> Layout:
        """Which weights belong to which column."""
        columns = tuple(self._ranges())
        return Layout(
            columns=columns,
            dense=len(self.numeric) + sum(v.width for v in self.dense_vectors),
            codes=len(self.categorical),
            crosses=self._crosses(columns),
            size=columns[-1].stop if columns else 0,
        )

    def _crosses(self, columns) -> Crosses:
        order = {column.name: i for i, column in enumerate(self.categorical)}
        members = np.full((len(self.interactions), max((len(x.columns) for x in self.interactions), default=2)), -1)
        for k, interaction in enumerate(self.interactions):
            members[k, : len(interaction.columns)] = [order[name] for name in interaction.columns]
        starts = [column.start for column in columns if column.kind == "interaction"]
        masks = [(1 << interaction.bits) - 1 for interaction in self.interactions]
        return Crosses(members.astype(np.int32), np.array(starts, np.int64), np.array(masks, np.int64))

    @property
    def sparse_start(self) -> int:
        """First weight of the sparse part, which is the last of the layout."""
        return self.layout.size - sum(v.width for v in self.sparse_vectors)

    def with_means(self, means) -> "FeatureSpec":
        """Return the spec that imputes ``means``, an array of shape (p,), while it encodes."""
        return replace(self, means=tuple(float(mean) for mean in means))

    def to_dict(self) -> dict:
        """Return a JSON-ready dictionary, the inverse of :meth:`from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict) -> "FeatureSpec":
        """Rebuild a spec from :meth:`to_dict`, also after a round trip through JSON."""

        def parts(kind, key):
            return tuple(
                kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}) for item in state[key]
            )

        return cls(
            numeric=tuple(state["numeric"]),
            categorical=parts(Categorical, "categorical"),
            vectors=parts(Vector, "vectors"),
            interactions=parts(Interaction, "interactions"),
            missing=state["missing"],
            means=None if state["means"] is None else tuple(state["means"]),
        )


def _check_unique(names) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"column {name!r} is named as a feature more than once; name it once")
        seen.add(name)


def _check_interaction(interaction: Interaction, spec: FeatureSpec) -> None:
    categorical = {column.name for column in spec.categorical}
    if len(interaction.columns) < 2:
        raise ConfigError(f"interaction {interaction.columns!r} needs two columns or more")
    for name in interaction.columns:
        if name in categorical:
            continue
        if name in spec.columns:
            raise ConfigError(
                f"interaction {interaction.name!r}: {name!r} is a numeric or vector column and only categorical columns can be "
                f"crossed; add {name!r} to categorical=[...], or cut it into bins first"
            )
        raise ConfigError(
            f"interaction {interaction.name!r} names {name!r}, which is not one of the categorical columns {sorted(categorical)}"
        )
