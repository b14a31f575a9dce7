"""What a worker keeps between an engine's rounds: made once, used by one at a time, and never closed under its user."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from dsgd.train import rounds
from dsgd.train.holding import Holding
from dsgd.train.modes import Sync

from .fits import train


class Share:
    """Counts how often it is closed."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


@pytest.fixture
def made():
    """The shares that were made, in order; ``made.make`` makes one."""

    class Made(list):
        def make(self):
            self.append(Share())
            return self[-1]

    return Made()


def test_a_share_is_made_once_for_all_who_come_at_the_same_time(made):
    holding, together = Holding(2), threading.Barrier(4)

    def use(_):
        together.wait(30)
        with holding.use("fit", 0, made.make) as share:
            return share

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(use, range(4)))
    assert len(made) == 1
    assert shares == [made[0]] * 4


def test_the_fit_that_was_used_least_recently_is_closed_once(made):
    holding = Holding(2)
    for fit in ("a", "b", "a", "c"):
        with holding.use(fit, 0, made.make) as share:
            assert share.closed == 0
    assert [share.closed for share in made] == [0, 1, 0]
    holding.forget("a")
    holding.forget("a")
    assert [share.closed for share in made] == [1, 1, 0]


@pytest.mark.parametrize("how", ["pushed out", "forgotten"])
def test_what_is_let_go_while_it_is_in_use_is_closed_by_its_last_user(made, how):
    holding, entered = Holding(1), threading.Event()

    def wait_and_use():
        entered.set()
        with holding.use("fit", 0, made.make) as share:
            return share, share.closed

    with ThreadPoolExecutor(1) as pool:
        with holding.use("fit", 0, made.make) as share:
            waiting = pool.submit(wait_and_use)
            assert entered.wait(30)
            if how == "forgotten":
                holding.forget("fit")
            else:
                with holding.use("another", 0, made.make):
                    pass
            assert share.closed == 0
        other, closed = waiting.result(30)
    assert closed == 0, "whoever waited for its turn found an open one"
    assert share.closed == other.closed == 1
    with holding.use("fit", 0, made.make) as share:
        assert share.closed == 0


def test_a_share_that_could_not_be_made_is_made_by_the_next(made):
    holding = Holding(1)
    with pytest.raises(ZeroDivisionError), holding.use("fit", 0, lambda: 1 / 0):
        pass
    with holding.use("fit", 0, made.make) as share:
        assert share is made[0]


def test_a_fit_whose_shares_are_pushed_out_in_the_middle_of_a_round_loses_no_rows(monkeypatch):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, 3)).astype(np.float32)
    y = (values @ [1.0, -2.0, 0.5] + generator.logistic(size=400) > 0).astype(int)
    X = pa.table(dict(zip("abc", values.T, strict=True)))  # encoded into blocks
    options = {"mode": Sync(topology="engine"), "n_workers": 2, "optimizer": "adagrad", "max_iter": 4, "tol": None}
    expected = train(X, y, **options)

    gradient, calls = rounds.ShareOnWorker.gradient, []

    def disturbed(self, **arguments):
        calls.append(self)
        if len(calls) % 3 == 0:
            for other in ("another fit", "one more"):  # as their first rounds do
                with rounds._HELD.use(other, 0, Share):
                    pass
        return gradient(self, **arguments)

    monkeypatch.setattr(rounds.ShareOnWorker, "gradient", disturbed)
    try:
        found = train(X, y, **options)
    finally:
        rounds.forget("another fit"), rounds.forget("one more")
    assert len(set(calls)) > 2, "no share was made again: the test did not push any out"
    np.testing.assert_array_equal(found.coef, expected.coef)
    assert found.history[-1]["objective"] == expected.history[-1]["objective"]
