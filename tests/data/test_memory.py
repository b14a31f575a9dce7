"""Data larger than its budget: resident memory, mapped pages included, stays bounded while epochs run over it."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS, COLUMNS, FILES = 60_000, 100, 6
BLOCK = 4 << 20

# Runs in a process of its own, so that nothing else counts. The statistics of one file warm the process up: what it
# needs besides data (compiled kernels, Arrow's pools) is then resident already.
PROGRAM = """
import json, sys, psutil
import numpy as np
import dsgd.data.groups
from dsgd.data import BlockStore, epoch_order, read_parquet

dsgd.data.groups.BLOCK_BYTES = int(sys.argv[4])
folder, scratch, cache = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
dataset = read_parquet(folder, label="y")
process = psutil.Process()
resident = lambda: process.memory_info().rss

with BlockStore(dataset, dataset.splits()[:1], scratch, memory_bytes=0, cache_bytes=cache) as store:
    sum(float(block.dense[::50].sum()) for _, block in store.keyed_blocks(epoch_order(0, 0)))
before, peak, rows = resident(), 0, 0
with BlockStore(dataset, dataset.splits(), scratch, memory_bytes=0, cache_bytes=cache) as store:
    disk = [store.disk_bytes]
    peak = max(peak, resident())
    for epoch in range(3):
        for _, block in store.keyed_blocks(epoch_order(0, epoch)):
            assert np.isfinite(block.dense.sum()) and np.isfinite(block.label.sum())  # touches every page
            rows += block.rows
            peak = max(peak, resident())
    disk.append(store.disk_bytes)
    data = store.rows * (store.layout.dense + 1) * 4
print(json.dumps({"before": before, "peak": peak, "rows": rows, "data": data, "disk": disk}))
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """144 MB of floats in six files, three row groups each."""
    folder = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(0)
    for i in range(FILES):
        values = rng.standard_normal((COLUMNS + 1, ROWS), dtype=np.float32)
        names = [*(f"x{j}" for j in range(COLUMNS)), "y"]
        pq.write_table(
            pa.table(dict(zip(names, values, strict=True))),
            folder / f"{i}.parquet",
            row_group_size=20_000,
            use_dictionary=False,
            compression="none",
        )
    return folder


@pytest.mark.parametrize("cache", [None, 40_000_000], ids=["all in files", "most at the source"])
def test_resident_memory_is_bounded(wide, tmp_path, cache):
    command = [sys.executable, "-c", PROGRAM, str(wide), str(tmp_path), json.dumps(cache), str(BLOCK)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # What is in memory: the block in use, the one that is made, the batch it is made from, and what the allocators keep.
    budget = 9 * BLOCK
    assert found["rows"] == 3 * ROWS * FILES
    assert found["data"] > 3.5 * budget
    assert found["peak"] - found["before"] < budget
    assert found["disk"][0] == found["disk"][1] <= (cache or 1.01 * found["data"])
    assert os.listdir(tmp_path) == []
