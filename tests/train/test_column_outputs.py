"""Several outputs in column blocks take their steps in one compiled loop, and these are the steps of one rank."""

import numpy as np
import pytest

from dsgd.train.columns import descent
from dsgd.train.modes import Columns, Hybrid, Sync

from ..conformance.test_modes import data
from .fits import train
from .test_columns import distance

CONFIG = {"max_iter": 3, "tol": None, "batch_size": 60, "dtype": "float64", "penalty": "elasticnet", "alpha": 1e-3}


def three_classes():
    """Six of 3,000 sparse columns a row, beside two that every row has, and offsets."""
    X, y = data("sparse")
    rng = np.random.default_rng(0)
    return X, np.where(rng.random(len(y)) < 0.3, 2, y > 0).astype(int)


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
@pytest.mark.parametrize(("rule", "rate"), [("adagrad", 0.3), ("adam", 0.01), ("momentum", 0.02)])
def test_the_steps_of_one_rank(rule, rate, loss, alpha):
    X, y = three_classes()
    config = CONFIG | {"optimizer": rule, "eta0": rate, "loss": loss, "alpha": alpha}
    one, blocks = (train(X, y, n_workers=n, mode=mode, **config) for n, mode in ((1, Sync()), (3, Columns())))
    assert blocks.coef.shape == (3, X.shape[1])
    assert distance(blocks, one) < 1e-10
    assert blocks.steps == one.steps


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
def test_ranks_that_meet_in_memory_and_over_sockets(learning_rate):
    """Threads meet in compiled code or not, processes always; a penalty catches up by the clock of the rates."""
    X, y = three_classes()
    config = CONFIG | {"optimizer": "adagrad", "eta0": 0.3, "learning_rate": learning_rate}
    one = train(X, y, n_workers=1, mode=Sync(), **config)
    for processes in (False, True):
        assert distance(train(X, y, n_workers=2, mode=Columns(), processes=processes, **config), one) < 1e-10


@pytest.mark.parametrize("mode", [Columns(), Hybrid(2, 1)])
def test_only_grids_of_several_rows_step_outside_of_the_loop(mode, monkeypatch):
    taken = []
    steps = descent.column_steps_multi
    monkeypatch.setattr(descent, "column_steps_multi", lambda *given: taken.append(1) or steps(*given))
    X, y = three_classes()
    train(X, y, n_workers=2, mode=mode, **CONFIG | {"optimizer": "adagrad", "eta0": 0.3})
    assert bool(taken) is (mode == Columns())
