"""From a schema and the user's options to a FeatureSpec, checked once, before anything is read at length.

Comes in: Arrow fields, the columns that play another role (label, weight, offset), the options of ``read_parquet``. Goes out: a
FeatureSpec, or a ConfigError / DataError that names the column. A group of columns that the user leaves at ``None`` takes the
columns of its types that nobody else named; a group that is given is taken as it is.
"""

import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from ..errors import ConfigError, DataError
from .spec import Categorical, FeatureSpec, Interaction, Vector
from .vocabulary import vocabulary_values

DEFAULT_BITS = 18


@dataclass(frozen=True)
class Roles:
    """The columns that are not features: label, weight, offset; None where there is none."""

    label: str | None = None
    weight: str | None = None
    offset: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are set."""
        return tuple(name for name in (self.label, self.weight, self.offset) if name is not None)


@dataclass(frozen=True)
class Options:
    """What the user said about the features; see :func:`dsgd.data.parquet.read_parquet`."""

    numeric: Sequence[str] | None = None
    categorical: Sequence[str] | None = None
    vectors: Sequence[str] | None = None
    interactions: Sequence[Sequence[str]] = ()
    hash_bits: int | Mapping[Any, int] = DEFAULT_BITS
    vocabulary: Mapping[str, Sequence[Any]] | None = None
    missing: str = "raise"


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is numeric."""
    return pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is categorical by itself: strings, dictionaries, booleans."""
    return (
        pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_boolean(kind)
        or pt.is_dictionary(kind)
        or (hasattr(pt, "is_string_view") and pt.is_string_view(kind))
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of numbers."""
    lists = pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)
    return lists and is_number(kind.value_type)


def is_spark_vector(kind: pa.DataType) -> bool:
    """Whether this is how Spark stores its vectors: struct(type, size, indices, values)."""
    return pt.is_struct(kind) and {f.name for f in kind} == {"type", "size", "indices", "values"}


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type is a vector column."""
    return is_list(kind) or is_spark_vector(kind)


def is_category(kind: pa.DataType) -> bool:
    """Whether a column of this type may be named categorical: anything that Arrow can write as text."""
    return is_text(kind) or is_number(kind) or pt.is_temporal(kind)


_GROUPS: dict[str, tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], bool], str]] = {
    "categorical": (is_text, is_category, "strings, dictionaries, booleans, integers, dates"),
    "vectors": (is_vector, is_vector, "lists of numbers or Spark vectors"),
    "numeric": (is_number, lambda kind: is_number(kind) or pt.is_boolean(kind), "numbers"),
}


def resolve_spec(
    schema: pa.Schema, roles: Roles, options: Options, vector_shape: Callable[[str], tuple[int, bool]]
) -> FeatureSpec:
    """Return the features that ``options`` and the types of ``schema`` ask for.

    Parameters
    ----------
    schema : pyarrow.Schema
    roles : Roles
    options : Options
    vector_shape : callable
        ``name -> (width, sparse)`` of a vector column, found in the data because a schema does not tell.

    Raises
    ------
    ConfigError
        For names that contradict each other, or columns of a type that cannot be a feature.
    DataError
        For a column that does not exist.
    """
    check_columns(schema, roles.names)
    _check_roles(schema, roles)
    groups = _group_columns(schema, roles, options)
    vocabulary = dict(options.vocabulary or {})
    bits = _Bits(options.hash_bits)
    spec = FeatureSpec(
        numeric=tuple(groups["numeric"]),
        categorical=tuple(_categorical(name, bits, vocabulary) for name in groups["categorical"]),
        vectors=tuple(Vector(name, *vector_shape(name)) for name in groups["vectors"]),
        interactions=tuple(Interaction(tuple(x), bits.of(tuple(x))) for x in _as_tuples(options.interactions)),
        missing=options.missing,
    )
    bits.check_all_used()
    if vocabulary:
        raise ConfigError(f"vocabulary names {sorted(vocabulary)}, which are not categorical columns of this dataset")
    if not spec.columns:
        raise ConfigError(
            f"no feature columns are left among {schema.names}; name some in numeric, categorical or vectors"
        )
    return spec


def check_columns(schema: pa.Schema, names: Iterable[str]) -> None:
    """Raise DataError for a name that the schema lacks, ConfigError for one that it has twice."""
    for name in names:
        count = len(schema.get_all_field_indices(name))
        if count == 0:
            raise DataError(f"there is no column {name!r}; the columns are {schema.names}")
        if count > 1:
            raise ConfigError(f"there are {count} columns named {name!r}; rename all but one of them")


def _check_roles(schema: pa.Schema, roles: Roles) -> None:
    for role in ("weight", "offset"):
        name = getattr(roles, role)
        kind = None if name is None else schema.field(name).type
        if kind is not None and not (is_number(kind) or pt.is_boolean(kind)):
            raise DataError(
                f"{role} column {name!r} is of type {kind}; numbers were expected: convert it, or name another"
            )


def _group_columns(schema: pa.Schema, roles: Roles, options: Options) -> dict[str, list[str]]:
    given = {group: getattr(options, group) for group in _GROUPS}
    named = {name for names in given.values() for name in _as_names(names)}
    for name in roles.names:
        if name in named:
            raise ConfigError(f"column {name!r} is the label, weight or offset and cannot also be a feature")
    if len(set(roles.names)) < len(roles.names):
        raise ConfigError(f"label, weight and offset must be different columns, not {roles}")
    groups: dict[str, list[str]] = {}
    free = [field for field in schema if field.name not in named and field.name not in roles.names]
    for group, (default, allowed, wanted) in _GROUPS.items():
        if given[group] is None:
            groups[group] = [field.name for field in free if default(field.type)]
            check_columns(schema, groups[group])
            continue
        groups[group] = _as_names(given[group])
        check_columns(schema, groups[group])
        for name in groups[group]:
            if not allowed(schema.field(name).type):
                raise DataError(
                    f"column {name!r} of type {schema.field(name).type} is named in {group}, which takes {wanted}"
                )
    if all(names is None for names in given.values()):
        _refuse_leftovers(free)
    return groups


def _refuse_leftovers(fields: Sequence[pa.Field]) -> None:
    for field in fields:
        if not any(default(field.type) for default, _, _ in _GROUPS.values()):
            raise ConfigError(
                f"column {field.name!r} of type {field.type} is neither a number, a string nor a vector; convert it, or leave "
                "it out by naming the columns to use in numeric, categorical and vectors"
            )


def _as_names(names) -> list[str]:
    if names is None:
        return []
    if isinstance(names, str):
        raise ConfigError(f"a list of column names was expected, not the string {names!r}; write [{names!r}]")
    return list(names)


def _as_tuples(interactions) -> list[tuple[str, ...]]:
    for names in interactions:
        if isinstance(names, str):
            raise ConfigError(f"an interaction is a tuple of column names, such as ('a', 'b'), not {names!r}")
    pairs = [tuple(names) for names in interactions]
    if len(set(pairs)) < len(pairs):
        raise ConfigError(f"interactions names a tuple twice: {pairs}")
    return pairs


def _categorical(name: str, bits: "_Bits", vocabulary: dict) -> Categorical:
    if name not in vocabulary:
        return Categorical(name, bits.of(name))
    return Categorical(name, values=vocabulary_values(name, vocabulary.pop(name)))


class _Bits:
    """The user's ``hash_bits``: one int, or a dictionary by column and by tuple, of which every entry must be used."""

    def __init__(self, hash_bits):
        by_name = isinstance(hash_bits, Mapping)
        self._all = DEFAULT_BITS if by_name else _whole(hash_bits)
        self._by_name = {_key(k): _whole(v) for k, v in hash_bits.items()} if by_name else {}
        self._unused = set(self._by_name)

    def of(self, name) -> int:
        self._unused.discard(name)
        return self._by_name.get(name, self._all)

    def check_all_used(self):
        if self._unused:
            raise ConfigError(
                f"hash_bits names {sorted(map(str, self._unused))}: no such categorical column or interaction"
            )


def _whole(bits: Any) -> int:
    if not isinstance(bits, numbers.Integral) or isinstance(bits, bool):
        raise ConfigError(f"hash_bits must be an integer, or a dictionary from column names to integers, not {bits!r}")
    return int(bits)


def _key(name):
    return tuple(name) if isinstance(name, list) else name
