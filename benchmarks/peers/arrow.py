"""pyarrow alone: read the click set's training files with dictionaries, and do nothing with them."""

from pathlib import Path

import pyarrow.parquet as pq

from ..click import STRING_NAMES
from ..measure import Sample, timed


def read(directory: Path) -> Sample:
    """Read every Parquet file of ``directory`` on one thread, string columns as dictionaries, file after file."""

    def work() -> None:
        for path in sorted(directory.glob("*.parquet")):
            with pq.ParquetFile(path, read_dictionary=STRING_NAMES) as file:
                file.read(use_threads=False)

    return timed(work)
