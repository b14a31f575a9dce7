"""Steps that ranks of one machine take without coming back to Python, against the same steps taken one by one."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsgd import read_parquet
from dsgd.data import groups
from dsgd.train import global_steps, shared_steps
from dsgd.train.batches import batches, cuts
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from ..conformance.test_modes import data

BLOCK = 41


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Fits rows that lie in many small blocks, whose ends are not those of mini-batches."""
    monkeypatch.setattr(groups, "BLOCK_ROWS", BLOCK)

    def run(kind: str, n_workers: int, **config):
        X, y = data(kind)
        path = tmp_path / f"{kind}.parquet"
        columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
        pq.write_table(pa.table({**columns, "y": y.astype(np.int64)}), path, row_group_size=BLOCK)
        defaults = {"optimizer": "adam", "eta0": 0.05, "batch_size": 32, "max_iter": 3, "tol": None}
        with LocalEngine(processes=False) as engine:
            return fit(read_parquet(str(path), label="y"), FitConfig(n_workers=n_workers, **defaults | config), engine)

    return run


@pytest.fixture
def one_by_one(monkeypatch):
    """Makes fits take the steps in Python."""
    return lambda: monkeypatch.setattr(global_steps, "SharedMemory", type("Another", (), {}))


@pytest.mark.parametrize("config", [{}, {"average": True}, {"standardize": True, "eta0": 0.1}, {"shuffle": False}])
@pytest.mark.parametrize("n_workers", [2, 3])
@pytest.mark.parametrize("kind", ["dense", "multi"])
def test_as_steps_one_by_one(kind, n_workers, config, train, one_by_one):
    together = train(kind, n_workers, **config)
    one_by_one()
    apart = train(kind, n_workers, **config)
    np.testing.assert_allclose(together.coef, apart.coef, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(together.intercept, apart.intercept, rtol=2e-4, atol=1e-6)
    objectives = [[record["objective"] for record in model.history] for model in (together, apart)]
    np.testing.assert_allclose(*objectives, rtol=1e-5)


@pytest.mark.parametrize("late", [0, 1])
def test_a_late_rank_changes_nothing(late, train, monkeypatch):
    in_time = train("dense", 2)
    resumed = []
    block, resume = shared_steps.SharedSteps._block, shared_steps.SharedMemory.resume

    def slow(self, *part):
        if self._collective.rank == late:
            time.sleep(0.1)
        return block(self, *part)

    def counted(self, buffer, missing):
        resumed.append((self.rank, missing))
        resume(self, buffer, missing)

    monkeypatch.setattr(shared_steps.SharedSteps, "_block", slow)
    monkeypatch.setattr(shared_steps.SharedMemory, "resume", counted)
    waited = train("dense", 2)
    assert (1 - late, late) in resumed
    np.testing.assert_array_equal(waited.coef, in_time.coef)


class Labels:
    """As much of Rows as the division into steps looks at."""

    def __init__(self, rows: int):
        self.label = np.zeros(rows)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), max_size=5),
    run=st.integers(1, 20),
    steps=st.integers(1, 40),
)
def test_every_run_belongs_to_one_step(sizes, run, steps):
    parts = [(Labels(size), np.arange(0, size, run)) for size in sizes]
    rows = sum(sizes)
    whole = list(batches(parts, run, rows, steps))
    assert len(whole) == steps
    seen = [(id(arrays), int(s)) for pieces in whole for arrays, starts, a, z in pieces for s in starts[a:z]]
    assert seen == [(id(arrays), int(s)) for arrays, starts in parts for s in starts]
    taken = [
        sum(min(run, len(arrays.label) - s) for arrays, starts, a, z in pieces for s in starts[a:z]) for pieces in whole
    ]
    assert np.abs(np.cumsum(taken) - np.arange(1, steps + 1) * rows / steps).max() <= run
    # The blocks' edges tell of the same steps.
    edges = [(arrays, edges) for arrays, _, edges in cuts(parts, run, rows, steps)]
    assert all(e[0] == 0 and e[-1] == len(range(0, len(arrays.label), run)) for arrays, e in edges)
    assert sum(len(e) - 2 for _, e in edges) < steps
