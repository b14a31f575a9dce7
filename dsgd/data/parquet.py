"""Parquet files as a Dataset: row groups as splits, only the columns in use, strings as dictionaries, filters pushed down.

Comes in: a path and the user's options. Goes out: splits (from the files' footers) on the driver, and Arrow batches on the
workers, each of which opens the files itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from ..errors import DataError
from .dataset import Dataset, Split
from .files import list_files
from .filters import RowFilter, as_expression
from .parquet_files import family, open_parquet, unreadable
from .resolve import Options, Roles, check_columns, is_text, resolve_spec
from .spec import FeatureSpec
from .vectors import vector_shape
from .where import Where

# Rows that are looked at for the length of a vector column.
_PEEK = 1024
_FOOTER_THREADS = 8


def read_parquet(
    path: Any,
    *,
    label: str | None = None,
    weight: str | None = None,
    offset: str | None = None,
    numeric: Sequence[str] | None = None,
    categorical: Sequence[str] | None = None,
    vectors: Sequence[str] | None = None,
    interactions: Sequence[Sequence[str]] = (),
    hash_bits: int | Mapping[Any, int] = 18,
    vocabulary: Mapping[str, Sequence[Any]] | None = None,
    filters: Any = None,
    filesystem: Any = None,
    missing: str = "raise",
) -> "ParquetDataset":
    """Describe a dataset of Parquet files; nothing is read until it is fitted, and then by the workers.

    Parameters
    ----------
    path : str, path or list of them
        Files, directories (Hive partitions become columns), globs, or URIs that pyarrow can open.
    label, weight, offset : str, optional
        The target, the rows' weights, and a known addend of the score (the logarithm of an exposure, say).
    numeric, categorical, vectors : list of str, optional
        Columns by their use. A group that is None takes all columns of its types that are named nowhere else: numbers are
        numeric; strings, dictionaries and booleans are categorical; lists of numbers and Spark's vectors are vectors. Any
        integer, date or whole-numbered column may be named categorical.
    interactions : list of tuple of str
        Crosses of categorical columns, ``("carrier", "dest")``, made on the fly.
    hash_bits : int or dict
        A categorical column or a cross has ``2**hash_bits`` weights; a dict gives the bits by column and by tuple, and
        those it leaves out have 18.
    vocabulary : dict, optional
        ``{column: values}``: one weight for each value and one for all others, instead of hashing. Values are strings, whole
        numbers, booleans or None, and known by their text: 7, 7.0 and "7" are one.
    filters : pyarrow.compute.Expression, or lists of tuples as in ``pyarrow.parquet.read_table``
        Rows to use; row groups whose statistics exclude a match are not read.
    filesystem : pyarrow or fsspec filesystem, optional
    missing : {"raise", "mean"}
        What to do with nulls and NaN in numeric and vector columns.

    Returns
    -------
    ParquetDataset
        Errors in names, types and files are raised when its ``spec`` or ``splits()`` is first asked for.

    Examples
    --------
    >>> import pyarrow as pa, pyarrow.parquet as pq, tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = pa.table({"x": [0.5, 2.0], "city": ["Ulm", "Bonn"], "y": [0, 1]})
    ...     pq.write_table(table, os.path.join(folder, "part.parquet"))
    ...     dataset = read_parquet(folder, label="y", hash_bits=4)
    ...     [column.name for column in dataset.spec.layout.columns], dataset.spec.layout.size, dataset.splits()[0].rows
    (['x', 'city'], 17, 2)
    """
    options = Options(numeric, categorical, vectors, interactions, hash_bits, vocabulary, missing)
    return ParquetDataset(path, Roles(label, weight, offset), options, as_expression(filters), filesystem)


class ParquetDataset(Dataset):
    """Made by :func:`read_parquet`."""

    def __init__(self, path, roles: Roles, options: Options, filter: pc.Expression | None = None, filesystem=None):
        self.path = path
        self.roles = roles
        self.options = options
        self.filter = filter
        self._given_filesystem = filesystem
        self._spec: FeatureSpec | None = None

    def __repr__(self):
        named = {"label": self.roles.label, "weight": self.roles.weight, "offset": self.roles.offset}
        said = [repr(self.path), *(f"{role}={name!r}" for role, name in named.items() if name is not None)]
        return f"read_parquet({', '.join(said)}{'' if self.filter is None else f', filters={self.filter}'})"

    @property
    def spec(self) -> FeatureSpec:
        """The features, from the first file's schema."""
        if self._spec is None:
            self._spec = resolve_spec(self.schema, self.roles, self.options, self._vector_shape)
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "ParquetDataset":
        """Return the same files with the features of a fitted model."""
        other = copy(self)
        other._spec = spec
        return other

    def __copy__(self):
        """As it is: not as it travels, for which the features are looked up in the files."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self):
        """What a worker needs: names, the resolved spec, and the partition columns' types; no open handles."""
        state = self.__dict__ | {"_spec": self.spec, "row_filter": self.row_filter}
        state.pop("_arrow", None)
        return state | {"schema": self.schema, "_files": self._files}

    @cached_property
    def _files(self):
        return list_files(self.path, self._given_filesystem)

    @cached_property
    def _arrow(self) -> pads.FileSystemDataset:
        filesystem, files, base = self._files
        open_parquet(filesystem, files[0]).close()
        return pads.dataset(
            files, filesystem=filesystem, format="parquet", partitioning="hive", partition_base_dir=base
        )

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of the first file, and those of the Hive partitions."""
        return self._arrow.schema

    @cached_property
    def row_filter(self) -> RowFilter | None:
        """The filter with the columns it needs."""
        return None if self.filter is None else RowFilter.bind(self.filter, self.schema)

    def _fragments(self) -> Iterator[pads.ParquetFileFragment]:
        """The files that the filter on partition columns leaves."""
        return self._arrow.get_fragments(self.row_filter and self.row_filter.expression)

    @property
    def _columns(self) -> list[str]:
        """Columns to read for features and roles."""
        return [*self.spec.columns, *self.roles.names]

    @property
    def anywhere(self) -> bool:
        """True: workers read the files by themselves."""
        return True

    def splits(self) -> list[Split]:
        """One split for each row group that the filters leave, in the order of file names and row groups.

        Raises
        ------
        DataError
            For a file that is not Parquet or is cut short, or whose columns differ from the first file's.
        """
        check_columns(self.schema, self._columns)
        fragments = sorted(self._fragments(), key=lambda fragment: fragment.path)
        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            found = list(pool.map(self._fragment_splits, fragments))
        return [replace(split, index=i) for i, split in enumerate(split for splits in found for split in splits)]

    def _fragment_splits(self, fragment: pads.ParquetFileFragment) -> list[Split]:
        try:
            metadata = fragment.metadata
            self._check_schema(fragment)
            kept = fragment if self.filter is None else fragment.subset(self.filter, schema=self.schema)
            groups = {group.id for group in kept.row_groups}
        except (pa.ArrowException, OSError) as error:
            raise unreadable(fragment.path, error) from error
        partition = tuple(sorted(pads.get_partition_keys(fragment.partition_expression).items()))
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        firsts = np.cumsum([0, *sizes])
        return [
            Split(fragment.path, i, 0, rows, int(firsts[i]), partition=partition)
            for i, rows in enumerate(sizes)
            if rows and i in groups
        ]

    def _check_schema(self, fragment: pads.ParquetFileFragment) -> None:
        physical = fragment.physical_schema
        inside = {name for name, _ in pads.get_partition_keys(fragment.partition_expression).items()}
        extra = self.row_filter.columns if self.row_filter else ()
        for name in {*self._columns, *extra}:
            if name in inside:
                continue
            first = self._arrow.files[0]
            if name not in physical.names:
                raise DataError(f"the files differ: column {name!r} is in {first} and not in {fragment.path}")
            wanted = self.schema.field(name).type if name in self.schema.names else None
            if wanted is not None and family(wanted) != family(physical.field(name).type) != "null":
                raise DataError(
                    f"the files differ: column {name!r} is of type {wanted} in {first} and of type "
                    f"{physical.field(name).type} in {fragment.path}"
                )

    def _vector_shape(self, name: str) -> tuple[int, bool]:
        for fragment in self._fragments():
            rows = fragment.head(_PEEK, columns=[name], filter=pc.field(name).is_valid())
            if rows.num_rows:
                return vector_shape(rows.column(name).combine_chunks(), name)
        raise DataError(f"vector column {name!r} is empty in all files, so that its length cannot be told")

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield the split's rows; strings arrive as dictionaries, partition values as constant columns."""
        partition = dict(split.partition)
        extra = self.row_filter.columns if self.row_filter else ()
        names = list(dict.fromkeys(name for name in (*self._columns, *extra) if name not in partition))
        row = split.first_row
        begin = split.first_row + split.start
        end = begin + split.rows
        for batch in self._row_group(split, names, batch_rows, threads):
            low, high = max(row, begin), min(row + batch.num_rows, end)
            first, row = row, row + batch.num_rows
            if low < high:
                held = [self._with_partition(batch.slice(low - first, high - low), partition)]
                del batch  # no generator on the way keeps a batch in memory while the next one is decoded
                yield self._filtered(held.pop(), Where(split.path, low))
            if row >= end:
                break

    def _filtered(self, batch, where):
        return (batch, where) if self.row_filter is None else self.row_filter.apply(batch, where)

    def _row_group(self, split: Split, names: list[str], batch_rows: int, threads: int) -> Iterator[pa.RecordBatch]:
        text = [name for name in names if is_text(self.schema.field(name).type)]
        try:
            with open_parquet(self._files[0], split.path, text, split.row_group) as file:
                yield from file.iter_batches(batch_rows, [split.row_group], columns=names, use_threads=threads > 1)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(split.path, error, split.row_group) from error

    def _with_partition(self, batch: pa.RecordBatch, partition: Mapping[str, Any]) -> pa.RecordBatch:
        wanted = {*self._columns, *(self.row_filter.columns if self.row_filter else ())}
        for name, value in partition.items():
            if name in wanted:
                constant = pa.repeat(pa.scalar(value, self.schema.field(name).type), batch.num_rows)
                batch = batch.append_column(name, constant)
        return batch
