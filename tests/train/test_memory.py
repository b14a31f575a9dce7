"""Whole fits of data many times larger than the worker's memory limit: what the process has resident stays within it."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsgd.data import read_parquet
from dsgd.data.memory import resident
from dsgd.errors import ConfigError
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

ROWS, COLUMNS, LINKS = 50_000, 64, 72
BLOCK = 4 << 20
# Above what the process has once libraries and kernels are loaded; the encoded rows have more than ten times as much.
ROOM = 84 << 20

# Runs in a process of its own, in which a first fit, of one file, loads the libraries and compiles the kernels. The limit
# is that of the process as a whole: what it has by then, and room to work in.
PROGRAM = """
import json, sys, threading, time
import dsgd.data.groups
from dsgd.data import read_parquet
from dsgd.data.memory import resident
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

folder, first, held_out, block, room, options = sys.argv[1:]
dsgd.data.groups.BLOCK_BYTES = int(block)
options = {"task": "classification", "max_iter": 1} | json.loads(options)
validation = read_parquet(held_out, label="y") if options["early_stopping"] else None
peak, done = 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.005):
        peak = max(peak, resident())

with LocalEngine() as engine:
    # With a limit too: kernels know the arrays of a mapped file, which cannot be written, from others.
    limit = resident() + int(room)
    fit(read_parquet(first, label="y"), FitConfig(**options, memory_limit=limit), engine, validation=validation)
    limit = resident() + int(room)
    threading.Thread(target=watch, daemon=True).start()
    model = fit(read_parquet(folder, label="y"), FitConfig(**options, memory_limit=limit), engine, validation=validation)
    done.set()
print(json.dumps({"peak": peak, "limit": limit, "rows": model.history[-1]["rows"]}))
"""


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """922 MB of floats once encoded, from one file that many names point to."""
    folder = tmp_path_factory.mktemp("linked")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((COLUMNS, ROWS), dtype=np.float32)
    columns = {f"x{j}": column for j, column in enumerate(values)} | {"y": (values[0] > 0).astype(np.int32)}
    pq.write_table(pa.table(columns), folder / "0.parquet", use_dictionary=False, compression="none")
    for i in range(1, LINKS):
        os.link(folder / "0.parquet", folder / f"{i}.parquet")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "eta0": 0.1, "early_stopping": True},
        {"optimizer": "sgd", "eta0": 0.1, "early_stopping": False, "cache_bytes": 200_000_000},
    ],
    ids=["files and a validation set", "most at the source"],
)
def test_a_fit_of_more_than_ten_times_the_room_stays_within_the_limit(linked, tmp_path, options):
    first = str(linked / "0.parquet")
    command = [sys.executable, "-c", PROGRAM, str(linked), first, first, str(BLOCK), str(ROOM), json.dumps(options)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=os.environ | {"TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == ROWS * LINKS
    assert ROWS * LINKS * COLUMNS * 4 > 10 * ROOM
    assert found["peak"] <= found["limit"]
    assert os.listdir(tmp_path) == []


def test_a_limit_that_the_process_is_beyond_already_is_refused(linked):
    with LocalEngine() as engine, pytest.raises(ConfigError, match=r"memory_limit=1,000 is less than the [\d,]+ bytes"):
        fit(read_parquet(linked / "0.parquet", label="y"), FitConfig(memory_limit=1000), engine)


def test_resident_memory_counts_what_is_touched():
    before = resident()
    array = np.ones(1 << 24)
    assert resident() - before > 0.9 * array.nbytes
