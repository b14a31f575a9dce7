"""Lock-free threads: one thread is the kernels themselves, several reach the same optimum, and what is exact is exact."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.kernels import registry
from dsgd.kernels.coordinates import clock_table, settle_all
from dsgd.objective.passes import Pass
from dsgd.objective.problem import run_starts
from dsgd.optim.rules import FTRL, SGD, AdaGrad, Adam
from dsgd.optim.schedules import Constant, InverseScaling
from dsgd.train import hogwild as module
from dsgd.train import hogwild_threads
from dsgd.train.batches import bounds
from dsgd.train.hogwild import Hogwild

from ..reference.optimum import Objective, solve
from .hogwild_cases import RUN, make_case, make_threads, train

FEW_SLOTS = 24


@pytest.fixture
def few_slots(monkeypatch):
    """Most weights of the small problems are shared, and some are hot."""
    monkeypatch.setattr(module, "SLOTS", FEW_SLOTS)


def left_behind() -> list[str]:
    """Names of the threads that should have ended."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dsgd-hogwild")]


# One thread ---------------------------------------------------------------------------------------------------------------


def alone(case, rule, schedule, parts, *, online, sparse):
    """The kernels, called one after the other as a single rank calls them."""
    p, work = case.problem, Pass(case.problem, RUN)
    params = np.zeros(p.size, p.dtype)
    first, second = (np.zeros_like(params) if rule.slots > slot else None for slot in (0, 1))
    last = np.zeros(params.size, np.int32) if sparse and rule.lazy and p.l1 + p.l2 > 0 else None
    clock = None if last is None or isinstance(schedule, Constant) else clock_table(schedule, 0, 4096)
    total, step = 0.0, 0
    for starts in parts:
        work.make_room(case.rows)
        about = (p.loss, rule, schedule, p.penalty(), case.rows, p.frame, starts)
        one = p.dtype.type(1)
        if online:
            loss, step = registry.get("online_pass")(
                *about, work.run, params, first, second, last, clock, step, 0, one, work.scratch
            )
        else:
            kernel = registry.get("local_steps" if p.outputs == 1 else "local_steps_multi")
            loss, step, _ = kernel(
                *about, bounds(len(starts), 2), work.run, params, first, second, last, clock, step, 0, sparse, one,
                work.gradient, None, 0, work.scratch,
            )  # fmt: skip
        total += loss
    if last is not None:
        settle_all(rule, schedule, p.penalty(), p.outputs, params, first, second, last, clock, p.layout.dense, step, 0)
    return total, step, params, first


@pytest.mark.parametrize(
    ("layout", "outputs", "rule", "schedule", "online"),
    [
        ("mixed", 1, AdaGrad(), Constant(0.1), True),
        ("mixed", 1, SGD(), InverseScaling(0.1, 0.3), True),
        ("crosses", 1, AdaGrad(), Constant(0.1), False),
        ("mixed", 3, AdaGrad(), Constant(0.1), False),
    ],
)
def test_one_thread_does_what_the_kernels_do(layout, outputs, rule, schedule, online):
    case = make_case(layout, outputs=outputs, l1=1e-3, l2=1e-2)
    parts = np.array_split(run_starts(2000, RUN, np.random.default_rng(3)), 3)
    threads = make_threads(case, 1, rule, schedule, online=online, sparse=True)
    loss, rows = threads.run((case.rows, part) for part in parts)
    threads.settle()
    plain = alone(case, threads.rule, threads.schedule, parts, online=online, sparse=True)
    assert (threads.step, rows) == (plain[1], 2000)
    # A sum in single precision may depend on where its buffers lie; the weights do not.
    assert loss == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_array_equal(threads.params, plain[2])
    if rule.slots:
        np.testing.assert_array_equal(threads.first, plain[3])


# Several ------------------------------------------------------------------------------------------------------------------


def excess(case, threads) -> float:
    """How far the objective is above the minimum, as a part of it."""
    p, loss = case.problem, "log_loss" if case.problem.outputs == 1 else "multinomial"
    alpha, share = p.l1 + p.l2, p.l1 / (p.l1 + p.l2)
    best = solve(loss, case.matrix, case.rows.label, None, alpha, share)
    weights = threads.params.reshape(-1, p.outputs).astype(np.float64)
    objective = Objective(loss, case.matrix, case.rows.label, alpha=alpha, l1_ratio=share)
    return (objective(weights[:-1].T, weights[-1]) - best.objective) / best.objective


RECIPES = {
    "sgd": (SGD(), InverseScaling(0.2, 0.6)),
    "adagrad": (AdaGrad(), Constant(0.1)),
    "ftrl": (FTRL(rate=0.1), Constant(0.1)),
}


@pytest.mark.usefixtures("few_slots")
@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 1e-2), (2e-3, 1e-3)])
@pytest.mark.parametrize(
    ("recipe", "layout"),
    # Compilation is the cost here.
    [
        *(("adagrad", layout) for layout in ("dense", "codes", "crosses", "sparse", "mixed")),
        *((recipe, layout) for recipe in ("sgd", "ftrl") for layout in ("codes", "mixed")),
    ],
)
def test_row_by_row_threads_reach_the_optimum(recipe, layout, l1, l2, threads):
    case = make_case(layout, l1=l1, l2=l2)
    several = make_threads(case, threads, *RECIPES[recipe], online=True, sparse=layout != "dense")
    train(several, case, epochs=20)
    assert several.step == 20 * 2000
    # One thread ends as near: steps of a schedule stop short of the optimum.
    assert excess(case, several) < (0.06 if recipe == "sgd" else 0.01)


@pytest.mark.usefixtures("few_slots")
@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize(
    ("layout", "outputs", "rule", "rate"),
    [
        ("mixed", 1, AdaGrad(), 0.3),
        ("mixed", 3, AdaGrad(), 0.3),
        ("dense", 1, Adam(), 0.01),
    ],
)
def test_threads_of_mini_batches_reach_the_optimum(layout, outputs, rule, rate, threads):
    case = make_case(layout, outputs=outputs, l1=1e-3, l2=1e-3)
    several = make_threads(case, threads, rule, Constant(rate), online=False, sparse=layout != "dense")
    train(several, case, epochs=30)
    assert several.step == 30 * sum(len(bounds(len(part), 2)) - 1 for part in np.array_split(np.arange(125), 3))
    assert excess(case, several) < 0.02


def test_few_weights_are_copied_all():
    case = make_case("mixed", l2=1e-2)
    several = make_threads(case, 3, *RECIPES["adagrad"], online=True, sparse=True)
    train(several, case, epochs=20)
    assert excess(case, several) < 0.02


@pytest.mark.usefixtures("few_slots")
@pytest.mark.parametrize("threads", [2, 3])
def test_no_step_is_lost_of_weights_that_one_thread_uses(threads):
    # Every run has a weight of its own, so that each is stepped by one thread only, in the order of its rows.
    case = make_case("codes", rows=150 * RUN, intercept=False)
    codes = np.repeat(np.random.default_rng(5).permutation(150), RUN).astype(np.int32)[:, None] + 33
    case = case._replace(rows=case.rows._replace(codes=codes, label=case.rows.label))
    several, one = (make_threads(case, count, *RECIPES["adagrad"], online=True, sparse=True) for count in (threads, 1))
    for hogwild in (several, one):
        train(hogwild, case, epochs=4)
    assert np.count_nonzero(one.params) == 150
    np.testing.assert_allclose(several.params, one.params, rtol=1e-5)
    np.testing.assert_allclose(several.first, one.first, rtol=1e-5)


@pytest.mark.usefixtures("few_slots")
@pytest.mark.parametrize("threads", [1, 3])
def test_all_of_the_penalty_is_taken(threads):
    # Without a slope nothing moves the weights but the penalty, of which every step takes its part.
    case = make_case("codes", l2=0.05, intercept=False)
    case = case._replace(problem=replace(case.problem, weight_scale=0.0))
    several = make_threads(case, threads, SGD(), InverseScaling(0.3, 0.5), online=True, sparse=True)
    several.params[:-1] = 1.0
    train(several, case, epochs=3)
    time = clock_table(InverseScaling(0.3, 0.5), 0, 6000)[-1]
    # Changes of copies that agree, as these do, are not added up: what is exact are the weights that threads share.
    shared = np.setdiff1d(np.arange(183), several._hot.weights)
    assert len(shared) == 183 - (FEW_SLOTS if threads > 1 else 0)
    part = several.params[shared] / np.exp(-0.05 * time) - 1
    if threads == 1:
        assert np.abs(part).max() < 1e-3
    else:
        # Of two threads that settle a weight at the same instant one is overwritten: that is rare, and soon made good.
        assert np.abs(np.median(part)) < 0.005
        assert (np.abs(part) > 0.03).mean() < 0.03
        assert np.abs(part).max() < 0.15


# What goes wrong ------------------------------------------------------------------------------------------------------------


def test_an_error_of_the_data_reaches_the_caller():
    case = make_case("mixed")
    several = make_threads(case, 3, *RECIPES["adagrad"], online=True, sparse=True)

    def parts():
        yield case.rows, run_starts(2000, RUN, None)
        raise DataError("row 7 is gone")

    with pytest.raises(DataError, match="row 7"):
        several.run(parts())
    assert not left_behind()


def test_an_error_of_a_thread_stops_the_others(monkeypatch):
    case = make_case("mixed")
    several = make_threads(case, 3, *RECIPES["adagrad"], online=True, sparse=True)
    work = Hogwild._work

    def failing(self, number, chunks):
        if number == 1:
            raise MemoryError("no room")
        return work(self, number, chunks)

    monkeypatch.setattr(Hogwild, "_work", failing)
    with pytest.raises(MemoryError, match="no room"):
        several.run([(case.rows, run_starts(2000, RUN, None))])
    assert not left_behind()


def test_a_thread_that_does_not_end_is_told(monkeypatch):
    monkeypatch.setattr(hogwild_threads, "PATIENCE", 0.05)
    release = threading.Event()
    with pytest.raises(WorkerLost, match="1 of 2 threads"), hogwild_threads.Threads(1) as threads:
        threads.call(lambda number: number == 1 and release.wait(30), lambda: None)
    release.set()


def test_what_threads_cannot_do_is_refused():
    case = make_case("mixed", outputs=3)
    with pytest.raises(ConfigError, match="at least one"):
        Hogwild(SGD(), Constant(0.1), [], np.zeros(3), online=True, sparse=True)
    with pytest.raises(ConfigError, match="use mini-batches"):
        make_threads(case, 2, SGD(), Constant(0.1), online=True, sparse=True)
