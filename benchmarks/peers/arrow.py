"""pyarrow alone: read the click set's training files with dictionaries, and do nothing with them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..click import STRING_NAMES
from ..measure import Sample, timed


def read(directory: Path) -> Sample:
    """Read every Parquet file of ``directory`` on one thread, string columns as dictionaries, file after file."""

    def work() -> None:
        for path in sorted(directory.glob("*.parquet")):
            _read_file(path)

    return timed(work)


def load(directory: Path) -> pa.Table:
    """The Parquet files of ``directory`` as one table in memory."""
    return pa.concat_tables([_read_file(path) for path in sorted(directory.glob("*.parquet"))])


def _read_file(path: Path) -> pa.Table:
    with pq.ParquetFile(path, read_dictionary=STRING_NAMES) as file:
        return file.read(use_threads=False)
