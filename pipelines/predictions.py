"""Predictions as one Parquet file, in the order of the rows, beside columns of the data that the user wants to keep.

In: a fitted model, a dataset of Parquet files, names of columns; out: the file. Besides a batch of rows, memory holds the
scores.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from dsgd import DataError
from dsgd.data.files import list_files
from dsgd.fitted import LinearModel
from dsgd.fitted.predicted import prediction_columns

BATCH_ROWS = 1 << 17


def write_predictions(path: Path, model: LinearModel, dataset: Any, keep: Sequence[str] = ()) -> int:
    """Write the predictions of a dataset's rows, and return their number.

    The column ``prediction`` holds the class or the mean; a classifier with probabilities adds ``probability_<class>``.

    Raises
    ------
    DataError
        For a column to keep that the files do not have.
    """
    scores = model.decision_function(dataset)
    done = 0
    with contextlib.ExitStack() as stack:
        writer = None
        for rows, columns in _kept(dataset, keep, len(scores)):
            columns |= prediction_columns(model, scores[done : done + rows])
            done += rows
            table = pa.table(columns)
            writer = writer or stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd"))
            writer.write_table(table)
    if done != len(scores):
        raise DataError(f"{len(scores)} rows were scored and {done} were kept: the files changed meanwhile; try again")
    return done


def _kept(dataset: Any, keep: Sequence[str], rows: int) -> Iterator[tuple[int, dict[str, pa.Array]]]:
    """Yield (number of rows, columns to keep) in the order of the dataset's rows, at least once."""
    if not keep:
        for start in range(0, max(rows, 1), BATCH_ROWS):
            yield min(BATCH_ROWS, rows - start), {}
        return
    filesystem, files, base = list_files(dataset.path)
    source = pads.dataset(
        sorted(files), filesystem=filesystem, format="parquet", partitioning="hive", partition_base_dir=base
    )
    missing = [name for name in keep if name not in source.schema.names]
    if missing:
        raise DataError(f"there is no column {missing[0]!r} to keep; the files have {source.schema.names}")
    scanner = source.scanner(columns=list(keep), filter=dataset.filter, batch_size=BATCH_ROWS)
    yield 0, {name: pa.array([], source.schema.field(name).type) for name in keep}
    for batch in scanner.to_batches():
        if batch.num_rows:
            yield batch.num_rows, dict(zip(keep, batch.columns, strict=True))
