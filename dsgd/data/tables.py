"""Tables in memory as a Dataset: Arrow tables, pandas and polars frames, with labels inside them or beside them."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import ConfigError, DataError
from .dataset import Dataset, Split
from .resolve import Options, Roles, resolve_spec
from .spec import FeatureSpec
from .vectors import vector_shape
from .where import Where


def as_table(X: Any) -> pa.Table | None:
    """Return a frame or a table as an Arrow table, or None when it is neither."""
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if type(X).__module__.partition(".")[0] == "pandas" and hasattr(X, "columns"):
        return _from_pandas(X)
    return pa.table(X) if hasattr(X, "__arrow_c_stream__") else None


def _from_pandas(frame) -> pa.Table:
    names = list(frame.columns)
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"the frame's column names must be strings, not {names[:5]}; rename them with df.columns = [...]"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"there are {names.count(twice)} columns named {twice!r}; rename all but one of them")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"the frame has a column of mixed types: {error}; convert it to numbers or to strings"
        ) from error


class TableDataset(Dataset):
    """An Arrow table with its roles; made by :func:`dsgd.data.sources.as_dataset`."""

    def __init__(self, table: pa.Table, roles: Roles, options: Options, spec: FeatureSpec | None = None):
        self.table = table
        self.roles = roles
        self._places: dict[int, int] | None = None
        self._spec = spec or resolve_spec(table.schema, roles, options, self._vector_shape)

    def __repr__(self):
        return f"TableDataset({self.table.num_rows} rows, {self.roles})"

    def __copy__(self):
        """The same table: copies are not to go through ``__getstate__``, which writes all rows out."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self):
        """The rows in Arrow's stream format: pickle would take along all rows of which the table is a slice."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_table(self.table)
        return self.__dict__ | {"table": sink.getvalue()}

    def __setstate__(self, state):
        self.__dict__.update(state, table=pa.ipc.open_stream(state["table"]).read_all())

    @property
    def spec(self) -> FeatureSpec:
        """The features."""
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "TableDataset":
        """Return the same rows with the features of a fitted model."""
        other = copy(self)
        other._spec = spec
        return other

    def _vector_shape(self, name: str) -> tuple[int, bool]:
        return vector_shape(self.table.column(name).slice(0, 1024).combine_chunks(), name)

    def splits(self) -> list[Split]:
        """All rows; ``assign`` cuts them into one range a rank."""
        return [Split("", 0, 0, self.table.num_rows)] if self.table.num_rows else []

    def only(self, splits: Sequence[Split]) -> tuple["TableDataset", list[Split]]:
        """Return a table of the splits' rows alone; the splits keep the numbers that their rows had."""
        other = copy(self)
        parts = [self.table.slice(self._place(split), split.rows) for split in splits]
        other.table = pa.concat_tables(parts) if parts else self.table.slice(0, 0)
        places = np.cumsum([0, *(split.rows for split in splits)]).tolist()
        other._places = {split.start: place for split, place in zip(splits, places, strict=False)}
        return other, list(splits)

    def _place(self, split: Split) -> int:
        """Where a split begins in this table."""
        return split.start if self._places is None else self._places[split.start]

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield a split's rows, rows being named by their place in the user's table."""
        done, rows = split.start, self.table.slice(self._place(split), split.rows)
        for batch in _gathered(rows.to_batches(max_chunksize=batch_rows), batch_rows):
            yield batch, Where("", done)
            done += batch.num_rows


def _gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Copy small batches together, up to ``rows`` rows; large ones stay where they are."""
    kept: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if count + batch.num_rows > rows:
            yield from _joined(kept)
            kept, count = [], 0
        kept.append(batch)
        count += batch.num_rows
    yield from _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if len(batches) < 2:
        return batches
    try:
        return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()
    except pa.ArrowInvalid:  # All their values are too many for the indices of one dictionary, pandas' int8, say.
        return batches
