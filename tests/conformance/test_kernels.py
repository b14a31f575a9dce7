"""Every registered kernel, compiled, against its reference in plain numpy, over layouts, losses and dtypes."""

import numpy as np
import pytest

from dsgd.errors import ConfigError
from dsgd.kernels import registry
from dsgd.kernels.coordinates import clock_table
from dsgd.losses import LOSSES, OneVersusRest, Softmax, make_loss
from dsgd.optim.rules import FTRL, SGD, AdaGrad, Adam, Momentum
from dsgd.optim.schedules import Constant, InverseScaling

LAYOUTS = ("dense", "codes", "crosses", "sparse", "mixed", "nothing")
TOLERANCE = {np.float32: {"rtol": 2e-4, "atol": 2e-5}, np.float64: {"rtol": 1e-10, "atol": 1e-12}}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
one_or_three = pytest.mark.parametrize("outputs", [1, 3])


def _loss(outputs):
    return make_loss("log_loss") if outputs == 1 else Softmax(outputs)


def _name(operation, outputs):
    return operation if outputs == 1 else f"{operation}_multi"


def _both(operation, outputs, call):
    """What ``call`` makes of the compiled kernel and of the reference."""
    return [call(registry.get(_name(operation, outputs), device)) for device in ("cpu", "reference")]


def _assert_same(compiled, plain, dtype):
    assert len(compiled) == len(plain)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, **TOLERANCE[dtype])


def test_every_operation_has_a_reference_and_a_test():
    assert set(registry.operations("cpu")) == set(registry.operations("reference"))
    tested = {"batch_gradient", "anchored_gradient", "local_steps", "online_pass"}
    tested |= {f"{name}_multi" for name in ("batch_gradient", "anchored_gradient", "local_steps")}
    tested |= {"update_dense", "update_listed", "settle_all", "score_rows"}
    assert set(registry.operations()) == tested


@pytest.mark.parametrize(("operation", "device"), [("batch_gradient", "tpu"), ("bach_gradient", "cpu")])
def test_unknown_kernels_are_told(operation, device):
    with pytest.raises(ConfigError, match=r"use one of cpu, reference|it has batch_gradient, anchored_gradient"):
        registry.get(operation, device)


@one_or_three
@every_dtype
@every_layout
@pytest.mark.parametrize("operation", ["batch_gradient", "anchored_gradient"])
def test_gradients(make_case, operation, layout, dtype, outputs):
    for seed, (run, plain) in enumerate([(1, False), (4, True), (7, False), (64, True)]):
        case = make_case(
            layout,
            outputs=outputs,
            dtype=dtype,
            standardised=not plain,
            weighted=not plain,
            shifted=not plain,
            seed=seed,
        ).with_targets(_loss(outputs))
        params, starts, before = case.params(), case.starts(run), case.params()
        points = (params,) if operation == "batch_gradient" else (params, case.params())
        for begin, end in ((0, len(starts)), (1, max(1, len(starts) - 2)), (1, 1)):

            def call(kernel, begin=begin, end=end, run=run, starts=starts, points=points, before=before, case=case):
                grad = before.copy()
                loss_sum, count = kernel(
                    _loss(outputs),
                    case.rows,
                    case.frame,
                    starts,
                    begin,
                    end,
                    run,
                    *points,
                    dtype(0.7),
                    grad,
                    case.scratch(run),
                )
                return loss_sum, count, grad

            _assert_same(*_both(operation, outputs, call), dtype)


@pytest.mark.parametrize(
    "loss",
    [*(make_loss(name) for name in sorted(LOSSES)), OneVersusRest(make_loss("modified_huber"), 3)],
    ids=str,
)
def test_gradient_of_every_loss(make_case, loss):
    outputs = getattr(loss, "outputs", 1)
    case = make_case("mixed", outputs=outputs, seed=5).with_targets(loss)
    params, starts = case.params(), case.starts(4)

    def call(kernel):
        grad = np.zeros_like(params)
        answer = kernel(loss, case.rows, case.frame, starts, 0, len(starts), 4, params, 1.0, grad, case.scratch(4))
        return *answer, grad

    _assert_same(*_both("batch_gradient", outputs, call), np.float64)


RECIPES = {
    "sgd, lazy, clock": (SGD(), InverseScaling(0.5, 0.3), True),
    "adagrad, lazy": (AdaGrad(), Constant(0.5), True),
    "ftrl, lazy": (FTRL(rate=0.5), Constant(0.5), True),
    "momentum, dense": (Momentum(), Constant(0.05), False),
    "adam, touched only": (Adam(), Constant(0.1), True),
}


def _state(case, rule, params):
    """State arrays as training makes them: those that a rule lacks are None; of FTRL it must tell the weights."""
    if isinstance(rule, FTRL):
        params[:] = 0
    return tuple(np.zeros_like(params) if slot < rule.slots else None for slot in (0, 1))


def _steps(case, kernel, settle, rule, schedule, sparse, penalty, bounds, run, average=None, step=3):
    params = case.params()
    first, second = _state(case, rule, params)
    starts = case.starts(run)
    lazy = sparse and rule.lazy and (penalty.l1 > 0 or penalty.l2 > 0)
    last = np.zeros(params.size, np.int32) if lazy else None
    clock = clock_table(schedule, step, len(bounds)) if lazy and not isinstance(schedule, Constant) else None
    loss = _loss(case.outputs)
    common = (case.frame, starts, bounds, run, params, first, second, last, clock, step, step, sparse, case.dtype(1.0))
    loss_sum, after, averaged = kernel(
        loss, rule, schedule, penalty, case.rows, *common, np.zeros_like(params), average, 0, case.scratch(run)
    )
    if last is not None:
        dense = case.rows.dense.shape[1]
        settle(rule, schedule, penalty, case.outputs, params, first, second, last, clock, dense, after, step)
        assert not last[dense * case.outputs : -case.outputs].any()
    return loss_sum, after, averaged, params, first, second, average


@pytest.mark.parametrize(
    ("recipe", "outputs"),
    # Compilation is the cost here: with several outputs, one rule of each kind.
    [
        *((name, 1) for name in RECIPES),
        *((name, 3) for name in ("sgd, lazy, clock", "adagrad, lazy", "adam, touched only")),
    ],
)
def test_local_steps(make_case, recipe, outputs):
    rule, schedule, sparse = RECIPES[recipe]
    for seed, (layout, l1, l2) in enumerate(
        [("mixed", 0.0, 0.0), ("mixed", 0.02, 0.1), ("codes", 0.05, 0.0), ("sparse", 0.0, 0.3), ("dense", 0.01, 0.01)]
    ):
        run, bounds = ((4, np.array([0, 2, 2, 5, 6, 10])), (1, np.arange(38)))[seed % 2]

        def call(kernel, device, layout=layout, l1=l1, l2=l2, run=run, bounds=bounds, seed=seed):
            case = make_case(layout, outputs=outputs, seed=seed, standardised=seed != 4).with_targets(_loss(outputs))
            settle = registry.get("settle_all", device)
            penalty = case.penalty(l1, l2, intercept=seed != 3)
            return _steps(case, kernel, settle, rule, schedule, sparse, penalty, bounds, run)

        name = _name("local_steps", outputs)
        _assert_same(*(call(registry.get(name, device), device) for device in ("cpu", "reference")), np.float64)


@one_or_three
def test_local_steps_average_the_iterates_in_float32(make_case, outputs):
    def call(kernel):
        case = make_case("mixed", outputs=outputs, dtype=np.float32).with_targets(_loss(outputs))
        average = np.zeros((case.weights + 1) * outputs, np.float32)
        bounds = np.array([0, 3, 6, 10])
        return _steps(
            case, kernel, None, SGD(), Constant(0.1), False, case.penalty(0.01, 0.1), bounds, 4, average=average
        )

    _assert_same(*_both("local_steps", outputs, call), np.float32)


@every_layout
@pytest.mark.parametrize("recipe", ["adagrad, lazy", "sgd, lazy, clock"])
def test_online_pass_is_local_steps_with_batches_of_one_row(make_case, recipe, layout):
    rule, schedule, _ = RECIPES[recipe]
    loss = make_loss("log_loss")

    def online(kernel, settle):
        case = make_case(layout, seed=7).with_targets(loss)
        params, starts = case.params(), case.starts(7)
        first, second = _state(case, rule, params)
        last = np.zeros(params.size, np.int32)
        clock = None if isinstance(schedule, Constant) else clock_table(schedule, 2, 40)
        penalty = case.penalty(0.02, 0.1)
        loss_sum, step = kernel(
            loss, rule, schedule, penalty, case.rows, case.frame, starts, 7, params, first, second, last, clock, 2, 2, 1.0,
            case.scratch(7),
        )  # fmt: skip
        dense = case.rows.dense.shape[1]
        settle(rule, schedule, penalty, 1, params, first, second, last, clock, dense, step, 2)
        return loss_sum, step, params, first

    compiled, plain = (
        online(registry.get("online_pass", device), registry.get("settle_all", device))
        for device in ("cpu", "reference")
    )
    _assert_same(compiled, plain, np.float64)


@pytest.mark.parametrize("intercept", [True, False])
@one_or_three
def test_update_dense_and_listed(make_case, outputs, intercept):
    case = make_case("mixed", outputs=outputs)
    gradient, params = case.params(), case.params()
    penalty, schedule, rule = case.penalty(0.05, 0.1, intercept), InverseScaling(0.5, 0.3), AdaGrad()
    d = case.weights
    listed = np.array([0, 2, 9, d], np.int32)

    def dense(kernel):
        grad, moved, first = gradient.copy(), params.copy(), np.ones_like(params)
        kernel(rule, schedule, penalty, outputs, moved, first, None, grad, 0.5, 4)
        assert not grad.any()
        return moved, first

    def sparse(kernel, settle):
        moved, first, last = params.copy(), np.ones_like(params), np.zeros(params.size, np.int32)
        clock = clock_table(schedule, 4, 3)
        for step in (4, 5):
            values = gradient.reshape(-1, outputs)[listed]
            kernel(rule, schedule, penalty, outputs, moved, first, None, last, clock, listed, values, 0.5, step, 4)
        settle(rule, schedule, penalty, outputs, moved, first, None, last, clock, 0, 6, 4)
        return moved, first

    _assert_same(*(dense(registry.get("update_dense", device)) for device in ("cpu", "reference")), np.float64)
    pairs = (
        (registry.get("update_listed", device), registry.get("settle_all", device)) for device in ("cpu", "reference")
    )
    _assert_same(*(sparse(*pair) for pair in pairs), np.float64)


@every_layout
@every_dtype
@one_or_three
def test_scores(make_case, layout, dtype, outputs):
    case = make_case(layout, outputs=outputs, dtype=dtype, standardised=False)
    params = case.params()
    scores = [
        registry.get("score_rows", device)(case.rows, case.frame, params, outputs) for device in ("cpu", "reference")
    ]
    assert scores[0].shape == ((37,) if outputs == 1 else (37, outputs))
    _assert_same(scores[:1], scores[1:], dtype)
