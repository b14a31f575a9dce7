"""Every update rule: compiled and plain alike, lazy steps exact, at rest where the penalised objective is least."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from dsgd.errors import ConfigError
from dsgd.kernels import reference
from dsgd.kernels.coordinates import clock_table, settle_all
from dsgd.kernels.online import online_pass
from dsgd.kernels.protocols import penalty_flow, rule_settle, rule_update
from dsgd.losses import make_loss
from dsgd.optim.rules import RULES, make_rule
from dsgd.optim.schedules import Constant, make_schedule

every_rule = pytest.mark.parametrize("name", RULES)
PENALTIES = {"none": (0.0, 0.0), "l1": (0.05, 0.0), "l2": (0.0, 0.5), "elastic net": (0.03, 0.4)}
LAZY = [name for name, rule in RULES.items() if rule.lazy]


@njit
def _run(rule, weight, gradients, rates, l1, l2):
    """Weight and state after every gradient; row t of shape (3,)."""
    path = np.zeros((gradients.size, 3))
    first = second = 0.0
    for t in range(gradients.size):
        weight, first, second = rule_update(rule, weight, first, second, gradients[t], rates[t], t + 1, l1, l2)
        path[t] = weight, first, second
    return path


@every_rule
def test_compiled_plain_and_array_updates_agree(name):
    rule = make_rule(name, rate=0.3)
    random = np.random.default_rng(1)
    gradients, rates = random.standard_normal(50), random.uniform(0.01, 0.3, 50)
    gradients[10:20] = 0
    for l1, l2 in PENALTIES.values():
        start = 0.0 if name == "ftrl" else 0.7
        weight, first, second = start, 0.0, 0.0
        arrays = np.full(3, start), np.zeros(3), np.zeros(3)
        for t, state in enumerate(_run(rule, start, gradients, rates, l1, l2)):
            weight, first, second = rule.update(weight, first, second, gradients[t], rates[t], t + 1, l1, l2)
            arrays = rule.update(*arrays, np.full(3, gradients[t]), rates[t], t + 1, l1, l2)
            np.testing.assert_allclose(state, [weight, first, second], rtol=1e-10, atol=1e-14)
            np.testing.assert_allclose([array[1] for array in arrays], state, rtol=1e-10, atol=1e-14)


@every_rule
def test_state_that_a_rule_does_not_claim_is_left_alone(name):
    rule = make_rule(name)
    assert rule.slots in (0, 1, 2)
    _, *state = rule.update(1.0, 0.25, 0.5, 2.0, 0.1, 1, 0.01, 0.01)
    changed = [value != before for value, before in zip(state, (0.25, 0.5), strict=True)]
    assert changed == [slot < rule.slots for slot in (0, 1)]


@every_rule
def test_pickles_and_remembers_its_parameters(name):
    rule = make_rule(name, rate=0.25)
    copy = pickle.loads(pickle.dumps(rule))
    assert type(copy) is RULES[name]
    assert copy == rule
    assert name != "ftrl" or rule.rate == 0.25


def test_an_unknown_rule_is_told():
    with pytest.raises(ConfigError, match=r"one of .*'adagrad'.*not 'adagard'"):
        make_rule("adagard")


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_lazy_sparse_steps_are_the_eager_dense_ones(make_case, name, schedule):
    rule, schedule = make_rule(name, rate=0.4), make_schedule(schedule, eta0=0.4, power_t=0.4)
    loss, base = make_loss("log_loss"), 5
    for seed, (l1, l2) in enumerate(PENALTIES.values()):
        case = make_case("mixed", seed=seed).with_targets(loss)
        start = np.zeros(case.weights + 1) if name == "ftrl" else case.params()
        starts, penalty = case.starts(4), case.penalty(l1, l2)

        def train(kernel, last, clock, case=case, start=start, starts=starts, penalty=penalty):
            params = start.copy()
            first, second = (np.zeros_like(params) if slot < rule.slots else None for slot in (0, 1))
            loss_sum, step = kernel(
                loss, rule, schedule, penalty, case.rows, case.frame, starts, 4, params, first, second, last, clock, base,
                base, 1.0, case.scratch(4),
            )  # fmt: skip
            return loss_sum, step, params, first, second

        last = np.zeros(len(start), np.int32)
        clock = None if isinstance(schedule, Constant) else clock_table(schedule, base, 40)
        loss_sum, step, params, first, second = train(online_pass, last, clock)
        settle_all(rule, schedule, penalty, 1, params, first, second, last, clock, case.rows.dense.shape[1], step, base)
        eager = train(reference.online_pass, None, None)
        np.testing.assert_allclose(loss_sum, eager[0], rtol=1e-11)
        assert step == eager[1] == base + 37
        np.testing.assert_allclose(params, eager[2], rtol=1e-9, atol=1e-13)
        assert np.array_equal(params == 0, eager[2] == 0)
        if name != "ftrl" and l1:
            assert (params == 0).any(), "the penalty is strong enough to be seen"


@pytest.mark.parametrize("name", LAZY)
def test_settling_is_a_run_of_updates_with_gradient_zero(name):
    rule = make_rule(name, rate=0.3)
    rates = np.random.default_rng(2).uniform(0.01, 0.2, 30)
    for l1, l2 in PENALTIES.values():
        weight, first, second = rule.update(0.0, 0.0, 0.0, -3.0, 0.3, 1, l1, l2)
        settled = rule_settle(rule, weight, first, second, rates.sum(), 31, l1, l2)
        for t, rate in enumerate(rates):
            weight, first, second = rule.update(weight, first, second, 0.0, rate, t + 2, l1, l2)
        assert settled == pytest.approx(weight, rel=1e-10, abs=1e-14)


# AdamW's decay is decoupled from its step sizes: it rests elsewhere, and says so.
@pytest.mark.parametrize("name", [name for name in RULES if name != "adamw"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_comes_to_rest_at_the_least_of_a_penalised_quadratic(name, penalty):
    l1, l2 = PENALTIES[penalty]
    curvature, centre = np.array([0.3, 1.0, 2.0, 1.0, 0.5]), np.array([1.0, -2.0, 0.5, 0.02, 0.0])
    slope = curvature * centre
    least = np.sign(slope) * np.maximum(np.abs(slope) - l1, 0) / (curvature + l2)
    rule = make_rule(name, rate=1.0)
    rate = {"sgd": 0.2, "momentum": 0.05, "nesterov": 0.05, "adagrad": 0.5, "ftrl": 1.0}.get(name, 0.1)
    weight, first, second = np.zeros(5), np.zeros(5), np.zeros(5)
    for t in range(8000):
        gradient = curvature * (weight - centre)
        falling = rate / (1 + t / 100) if name not in ("adagrad", "ftrl") else rate
        weight, first, second = rule.update(weight, first, second, gradient, falling, t + 1, l1, l2)
    np.testing.assert_allclose(weight, least, atol=5e-3)
    if l1:
        assert weight[4] == 0


_strength = st.floats(0, 3)


@settings(deadline=None)
@given(weight=st.floats(-5, 5), s=_strength, t=_strength, l1=_strength, l2=_strength)
def test_penalty_flow_composes(weight, s, t, l1, l2):
    once = penalty_flow(weight, s + t, l1, l2)
    twice = penalty_flow(penalty_flow(weight, s, l1, l2), t, l1, l2)
    # Below x = 1e-3 the flow is a series cut after its quadratic term.
    assert twice == pytest.approx(once, rel=1e-8, abs=1e-8)


@settings(deadline=None)
@given(weight=st.floats(-5, 5), time=_strength, l1=_strength)
def test_penalty_flow_without_l2_is_soft_thresholding(weight, time, l1):
    expected = np.sign(weight) * max(abs(weight) - l1 * time, 0.0)
    assert penalty_flow(weight, time, l1, 0.0) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(weight=st.floats(-5, 5), l1=_strength, l2=st.floats(1e-3, 3), time=st.floats(1e-6, 1e-3))
def test_penalty_flow_is_near_the_proximal_step(weight, l1, l2, time):
    proximal = np.sign(weight) * max(abs(weight) - time * l1, 0.0) / (1 + time * l2)
    assert penalty_flow(weight, time, l1, l2) == pytest.approx(proximal, rel=time * l2, abs=1e-6 * (1 + l1))


@njit
def _flow(weight, time, l1, l2):
    return penalty_flow(weight, time, l1, l2)


@settings(deadline=None)
@given(weight=st.floats(-5, 5), time=_strength, l1=_strength, l2=_strength)
def test_compiled_penalty_flow_is_the_plain_one(weight, time, l1, l2):
    assert _flow(weight, time, l1, l2) == pytest.approx(float(penalty_flow(weight, time, l1, l2)), rel=1e-12, abs=1e-15)
