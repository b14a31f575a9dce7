"""Ranks that come late because they work: they are waited for, however short the deadline."""

import importlib
import textwrap

import numpy as np
import pyarrow as pa
import pytest

from dsgd.data import as_dataset
from dsgd.data.tables import TableDataset
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

LATE_ROWS = """
import time

from dsgd.data.tables import TableDataset


class LateRows(TableDataset):
    '''The rank that has the later half of the rows takes its time to read them.'''

    def only(self, splits):
        own, splits_of_own = super().only(splits)
        own.seconds = 4.0 if splits[0].start else 0.0
        return own, splits_of_own

    def blocks(self, *arguments):
        time.sleep(self.seconds)
        yield from super().blocks(*arguments)
"""


@pytest.fixture
def late_rows(tmp_path, monkeypatch):
    """A dataset class that the processes of the ranks can import as well."""
    (tmp_path / "late_rows.py").write_text(textwrap.dedent(LATE_ROWS))
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("late_rows").LateRows


def test_a_rank_that_encodes_longer_than_the_deadline_is_waited_for(late_rows):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(400, 2))
    y = (X @ [1.0, -2.0] + generator.logistic(size=400) > 0).astype(int)
    rows = as_dataset(pa.table({"a": X[:, 0], "b": X[:, 1], "y": y}), "y")
    assert type(rows) is TableDataset
    late = rows.__copy__()
    late.__class__ = late_rows
    config = FitConfig(task="classification", n_workers=2, deadline=1.5)
    with LocalEngine(processes=True) as engine:
        found, expected = fit(late, config, engine), fit(rows, config, engine)
    np.testing.assert_array_equal(found.coef, expected.coef)
    assert found.converged
