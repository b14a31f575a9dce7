"""The lots of workers that share a machine: copies of them, and what is found in them."""

import contextlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsgd
from dsgd.train.asynchronous.fit import make_tasks
from dsgd.train.asynchronous.lots import Lots
from dsgd.train.asynchronous.start import agree, merge_prepared
from dsgd.train.config import FitConfig
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.modes import Async

WORKERS = 2


@pytest.fixture
def two(tmp_path):
    """Two workers' lots in one scratch directory."""
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=4000), "c": rng.choice(list("abcdef"), 4000), "y": rng.integers(0, 2, 4000)}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=500)
    dataset = dsgd.read_parquet(str(tmp_path / "rows.parquet"), label="y")
    mode = Async(local_steps=1)
    config = FitConfig(mode=mode, n_workers=WORKERS, optimizer="adagrad", batch_size=50)
    tasks = make_tasks(dataset, config, mode, None, None, None, 0.0)[mode.shards :]
    scratch = str(tmp_path / "scratch")
    with contextlib.ExitStack() as stack:
        yield [
            Lots(RankContext(mode.shards + number, 1 + WORKERS, "127.0.0.1", "m", scratch, no_gang), task, stack)
            for number, task in enumerate(tasks)
        ]


def test_who_has_a_copy_finds_what_the_other_found(two):
    """A lead that died before anybody held a snapshot asks again for what the lots hold, of whomever it likes."""
    first, second = two
    task = first._task
    found = [first.prepare(number) for number in task.lots]
    agreed = agree(task, merge_prepared(task, found))
    for lots in two:
        lots.agree(agreed)
    assert [second.get(number).taken for number in task.lots] == [True] * len(task.lots)
    assert [second.prepare(number) for number in task.lots] == found
    assert [first.prepare(number) for number in task.lots] == found
    for number in task.lots:
        own, other = (list(lots.get(number).share.store.keyed_blocks()) for lots in two)
        for (key, block), (other_key, other_block) in zip(own, other, strict=True):
            assert key == other_key
            np.testing.assert_array_equal(block.codes, other_block.codes)


def test_a_copy_is_as_good_as_the_lot(two):
    first, second = two
    task = first._task
    agreed = agree(task, merge_prepared(task, [first.prepare(number) for number in task.lots]))
    for lots in two:
        lots.agree(agreed)
    assert [second.measure(number) for number in task.lots] == [first.measure(number) for number in task.lots]
