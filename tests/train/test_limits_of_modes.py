"""Limits of memory, files and threads hold in every mode, not only where ranks have all columns and step together."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_info

from dsgd import Async, Columns, Hybrid, Sync
from dsgd.data import read_parquet
from dsgd.data.cache import BlockCache
from dsgd.errors import ConfigError
from dsgd.objective.share import Share
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

MODES = {
    "ring": (Sync(), 2),
    "engine": (Sync(topology="engine"), 2),
    "columns": (Columns(), 2),
    "grid": (Hybrid(rows=2, columns=2), 4),
    "async": (Async(shards=1), 2),
}
ROWS = 30_000


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(ROWS, 4)).astype(np.float32)
    table = pa.table({name: x[:, i] for i, name in enumerate("abcd")} | {"y": (x[:, 0] > 0).astype(np.int64)})
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(table, path, row_group_size=ROWS // 6)
    return read_parquet(path, label="y")


def fitted(rows, mode, **options):
    """A fit in threads of this process, where one can look."""
    mode, workers = MODES[mode]
    more = {} if mode == Sync(topology="engine") else {"optimizer": "adagrad", "batch_size": 500}
    config = FitConfig(task="classification", mode=mode, n_workers=workers, max_iter=2, tol=None, **more, **options)
    with LocalEngine(processes=False) as engine:
        return fit(rows, config, engine)


@pytest.mark.parametrize("mode", MODES)
def test_a_memory_limit_that_cannot_be_kept_is_refused(mode, rows):
    with pytest.raises(ConfigError, match="memory_limit=1,000 is less than"):
        fitted(rows, mode, memory_limit=1000)


@pytest.mark.parametrize("mode", MODES)
def test_files_stay_within_their_limit_and_what_has_no_room_is_read_again(mode, rows, monkeypatch):
    kept, unkept = {}, []
    made, put = BlockCache.__init__, BlockCache.put

    def without_memory(self, directory, memory_bytes, cache_bytes, memory_limit=None):
        made(self, directory, 0, cache_bytes, memory_limit)

    def counted(self, name, number, block):
        found = put(self, name, number, block)
        kept[self.directory] = self.disk_bytes
        unkept.extend([block.rows] if found.away else [])
        return found

    monkeypatch.setattr(BlockCache, "__init__", without_memory)
    monkeypatch.setattr(BlockCache, "put", counted)
    limit = 120_000  # a part of what the rows of any rank need
    limited = fitted(rows, mode, cache_bytes=limit)
    assert kept
    assert max(kept.values()) <= limit
    assert unkept
    assert limited.history[-1]["rows"] == ROWS


@pytest.mark.parametrize("mode", MODES)
def test_ranks_that_share_the_machine_use_no_more_threads_than_they_are_given(mode, rows, monkeypatch):
    seen, made = [], Share.__init__

    def looked(self, *arguments, **options):
        seen.extend(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
        made(self, *arguments, **options)

    monkeypatch.setattr(Share, "__init__", looked)
    fitted(rows, mode)
    assert seen
    assert set(seen) == {1}
