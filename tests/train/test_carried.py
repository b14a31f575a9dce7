"""What the ranks of a gang leave with their driver: found again by the next gang, or not there."""

import logging

import numpy as np
import pytest

from dsgd.collectives import SingleProcess
from dsgd.train.again import Attempts, Carry
from dsgd.train.checkpoints import keeper
from dsgd.train.checkpoints.beginning import carried_on
from dsgd.train.checkpoints.keeper import Keeper, keeps
from dsgd.train.checkpoints.kept import Kept, Orders
from dsgd.train.checkpoints.settings import Checkpoint
from dsgd.train.config import FitConfig
from dsgd.train.engine import RankContext

NOW = Checkpoint("-", seconds=0.0, keep=1)


class Driver(dict):
    """Files by name, as an engine keeps them."""

    def leave(self, name, data):
        if data is None:
            del self[name]
        else:
            self[name] = data


def keeper_of(driver, rows=10):
    made = Keeper(Orders(NOW, "", dict(driver)), [SingleProcess()], 0, ((0, 3),), True, driver.leave)
    made.check_rows(rows, [[0.0, 1.0]])
    made.hold(None, 1)
    return made


def kept(value):
    return Kept({"params": np.full(4, value), "first": np.arange(4.0)}, meta={"step": 3}, progress={"history": []})


def saved(driver, *values):
    made = keeper_of(driver)
    for step, value in enumerate(values):
        made.save("steps", step + 1, kept(value))
    return made


def test_the_latest_is_found_and_nothing_else_is_left():
    driver = Driver()
    saved(driver, 1.0, 2.0)
    assert len(driver) == 2  # A part, and the header.
    recipe, found = keeper_of(driver).take_up("steps")
    assert recipe == "steps"
    assert found.exact
    np.testing.assert_array_equal(found.vectors["params"], np.full(4, 2.0))
    np.testing.assert_array_equal(found.vectors["first"], np.arange(4.0))
    # The next gang's take the place of those that it was given.
    saved(driver, 3.0)
    assert len(driver) == 2
    assert keeper_of(driver).take_up("steps")[1].vectors["params"][0] == 3.0


@pytest.mark.parametrize("harm", ["altered", "missing"])
def test_what_was_lost_on_its_way_is_not_used(harm):
    driver = Driver()
    saved(driver, 1.0)
    part = next(name for name in driver if name.endswith(".safetensors"))
    if harm == "missing":
        del driver[part]
    else:
        driver[part] = driver[part][:-1] + bytes([driver[part][-1] ^ 1])
    assert keeper_of(driver).take_up("steps") is None


def test_rows_that_are_others_now_are_begun_with_anew():
    driver = Driver()
    saved(driver, 1.0)
    assert keeper_of(driver, rows=11).take_up("steps") is None


def test_a_large_state_is_not_left_and_not_asked_for_again(monkeypatch):
    monkeypatch.setattr(keeper, "MOST_CARRIED", 63)
    driver = Driver()
    made = keeper_of(driver)
    assert made.due(1)
    made.save("steps", 1, kept(1.0))
    assert not driver
    assert not made.due(2)
    monkeypatch.setattr(keeper, "MOST_CARRIED", 64)
    assert len(saved(driver, 1.0)._folder.numbers()) == 1


def test_a_driver_that_cannot_be_reached_costs_nothing_but_a_warning(caplog):
    def leave(name, data):
        raise OSError("no way")

    made = Keeper(Orders(NOW, "", {}), [SingleProcess()], 0, ((0, 3),), True, leave)
    made.check_rows(10, [])
    made.hold(None, 1)
    with caplog.at_level(logging.WARNING):
        made.save("steps", 1, kept(1.0))
    assert "no way" in caplog.text


def test_epochs_are_not_divided_and_it_takes_little_of_the_time():
    made = saved(Driver(), 1.0)
    assert made.parts(10**9, 10**6) == 1
    made._cost = 1e6
    assert not made.due(2)


def test_only_what_an_engine_can_keep_is_left():
    alone = RankContext(0, 1, "127.0.0.1", "here", "", allgather=list)
    assert not keeps(None, alone)
    assert not keeps(Orders(NOW, "", {}), alone)
    assert keeps(Orders(NOW, ""), alone)
    alone.leave = Driver().leave
    assert keeps(Orders(NOW, "", {}), alone)


def test_attempts_of_a_fit_have_one_seed_and_fits_of_a_caller_do_not_mix():
    attempts = Attempts()
    first, second = attempts.next_fit(), attempts.next_fit()
    assert carried_on(FitConfig(seed=5), first)[0].seed == 5
    first.left["a"] = b"b"
    attempts.begin()
    config, orders = carried_on(FitConfig(seed=6), attempts.next_fit())
    assert config.seed == 5
    assert orders.found == {"a": b"b"}
    assert attempts.next_fit() is second
    assert second == Carry()
