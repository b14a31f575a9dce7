"""Rows that one worker leaves for another: the same blocks, in the same order, whatever becomes of the first."""

import os

import numpy as np
import pytest

from dsgd.data.left_store import LeftStore, leave
from dsgd.data.order import epoch_order
from dsgd.data.sources import as_dataset, open_store


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    import pandas as pd

    frame = pd.DataFrame(
        {"x": rng.normal(size=5000), "c": rng.choice(list("abc"), 5000), "y": rng.integers(0, 2, 5000)}
    )
    dataset = as_dataset(frame, "y")
    with open_store(dataset, dataset.shares(1)[0], str(tmp_path / "own"), seed=0) as opened:
        opened.relabel({label: 2.0 * number - 1 for number, label in enumerate(opened.statistics.label.classes)})
        yield opened


def test_the_same_rows_in_the_same_order(store, tmp_path):
    path = str(tmp_path / "left")
    leave(store, path)
    left = LeftStore(path)
    assert (left.rows, len(left), left.disk_bytes) == (store.rows, len(store), 0)
    for order in (None, epoch_order(3, 0), epoch_order(3, 1)):
        for (key, own), (other_key, other) in zip(store.keyed_blocks(order), left.keyed_blocks(order), strict=True):
            assert key == other_key
            for name, array in vars(own).items():
                found = getattr(other, name)
                assert found.dtype == array.dtype
                np.testing.assert_array_equal(found, array)


def test_what_has_been_opened_stays_when_its_files_go(store, tmp_path):
    path = str(tmp_path / "left")
    leave(store, path)
    left = LeftStore(path)
    for name in os.listdir(path):
        os.unlink(os.path.join(path, name))
    store.close()
    assert sum(float(np.abs(block.label).sum()) for _, block in left.keyed_blocks()) == 5000


def test_nothing_is_left_where_it_could_not_be_written_whole(store, tmp_path, monkeypatch):
    from dsgd.data import left_store

    written = []

    def full(path, arrays, meta):
        if written:
            raise OSError("no space left on device")
        written.append(path)

    monkeypatch.setattr(left_store, "write_file", full)
    monkeypatch.setattr(store, "keyed_blocks", lambda: [((0,), block) for block in (store,) * 2])
    with pytest.raises(OSError, match="no space"):
        leave(store, str(tmp_path / "left"))
    assert os.listdir(tmp_path) == ["own"]
