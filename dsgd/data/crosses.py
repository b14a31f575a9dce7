"""Interactions as columns of their own, for ranks that own some of the columns: hashed once, when rows are encoded.

A rank with all columns makes a cross mini-batch by mini-batch from the codes of its members (:mod:`dsgd.kernels.expand`). A rank
with a block of the columns may not have the members, and numbers the weights of those that it has otherwise. So it reads the
members, whosever they are, encodes them by their places in the layout of all columns, and keeps what they hash to: 4 bytes a row.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from ..kernels.expand import expand_codes
from .categories import encode_categories
from .layout import ColumnRange
from .numbering import Numbering
from .spec import Categorical, CrossColumn, FeatureSpec
from .where import Where

# Rows that are crossed at a time.
_ROWS = 1 << 12


def cross_columns(spec: FeatureSpec) -> list[CrossColumn]:
    """The interactions of a dataset as columns.

    Examples
    --------
    >>> from dsgd.data.spec import Interaction
    >>> spec = FeatureSpec((), (Categorical("c", bits=3), Categorical("d", bits=3)), (), (Interaction(("c", "d"), bits=5),))
    >>> (cross,) = cross_columns(spec)
    >>> cross.name, cross.width, cross.sources, cross.places[1].start
    ('c x d', 32, ('c', 'd'), 8)
    """
    columns = {column.name: column for column in spec.categorical}
    places = {place.name: place for place in spec.layout.columns if place.kind == "categorical"}
    return [
        CrossColumn(
            cross.name,
            cross.bits,
            members=tuple(columns[name] for name in cross.columns),
            places=tuple(places[name] for name in cross.columns),
        )
        for cross in spec.interactions
    ]


def encode_with_crosses(
    arrays: Mapping[str, pa.Array],
    columns: Sequence[Categorical],
    ranges: Sequence[ColumnRange],
    destination: np.ndarray,
    where: Where,
    numbering: Numbering | None = None,
) -> np.ndarray:
    """As :func:`dsgd.data.categories.encode_categories`, where some of the columns are crosses.

    Parameters
    ----------
    arrays : dict of pyarrow.Array, each of length n
        The columns and the crosses' members by name.
    columns, ranges, destination, where, numbering
        As there.

    Returns
    -------
    ndarray of shape (n, c), int32
    """
    crossed = [isinstance(column, CrossColumn) for column in columns]
    plain = [(column, place) for column, place, is_cross in zip(columns, ranges, crossed, strict=True) if not is_cross]
    out = np.empty((len(destination), len(columns)), np.int32)
    if plain:
        own = [arrays[column.name] for column, _ in plain]
        parts = [column for column, _ in plain], [place for _, place in plain]
        out[:, np.invert(crossed)] = encode_categories(own, *parts, destination, where, numbering)
    crosses = [column for column in columns if isinstance(column, CrossColumn)]
    starts = [place.start for place, is_cross in zip(ranges, crossed, strict=True) if is_cross]
    out[:, crossed] = _crossed(arrays, crosses, starts, destination, where, numbering)
    return out


def _crossed(
    arrays: Mapping[str, pa.Array],
    crosses: Sequence[CrossColumn],
    starts: Sequence[int],
    destination: np.ndarray,
    where: Where,
    numbering: Numbering | None,
) -> np.ndarray:
    """The positions, or numbers, of the crosses; shape (n, m)."""
    members = {member.name: (member, place) for c in crosses for member, place in zip(c.members, c.places, strict=True)}
    order = {name: i for i, name in enumerate(members)}
    columns, places = zip(*members.values(), strict=True)
    codes = encode_categories([arrays[name] for name in members], columns, places, destination, where)
    which = np.full((len(crosses), max(len(cross.members) for cross in crosses)), -1, np.int32)
    for k, cross in enumerate(crosses):
        which[k, : len(cross.members)] = [order[name] for name in cross.sources]
    masks = np.array([cross.width - 1 for cross in crosses], np.int64)
    out = np.empty((len(codes), len(crosses)), np.int32)
    scratch = np.empty((min(_ROWS, len(codes)), len(members) + len(crosses)), np.int32)
    for start in range(0, len(codes), _ROWS):
        stop = min(start + _ROWS, len(codes))
        expand_codes(codes, start, stop, which, np.array(starts, np.int64), masks, scratch)
        made = scratch[: stop - start, len(members) :].ravel()
        if numbering is not None:
            numbering.apply(made)
        out[start:stop] = made.reshape(stop - start, len(crosses))
    return out
