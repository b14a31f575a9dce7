"""Learning-rate schedules: their formulas, compiled and not, and what composes."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from dsgd.errors import ConfigError
from dsgd.kernels.protocols import schedule_rate
from dsgd.optim.schedules import SCHEDULES, WarmUp, lowered, make_schedule


@njit
def _compiled(schedule, steps):
    rates = np.empty(steps.size)
    for i in range(steps.size):
        rates[i] = schedule_rate(schedule, steps[i])
    return rates


@pytest.mark.parametrize("warmup_steps", [0, 7])
@pytest.mark.parametrize("name", SCHEDULES)
def test_compiled_scalars_and_arrays_agree_and_rates_are_sane(name, warmup_steps):
    schedule = make_schedule(name, eta0=0.3, power_t=0.25, alpha=1e-3, total_steps=100, warmup_steps=warmup_steps)
    steps = np.concatenate([np.arange(120), [10**6, 10**12]])
    rates = _compiled(schedule, steps)
    np.testing.assert_allclose(rates, [float(schedule_rate(schedule, int(step))) for step in steps], rtol=1e-12)
    np.testing.assert_allclose(rates, schedule_rate(schedule, steps) * np.ones(steps.size), rtol=1e-12)
    assert np.all(np.isfinite(rates) & (rates >= 0))
    assert np.all(np.diff(rates[warmup_steps:]) <= 0)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@settings(deadline=None)
@given(eta0=st.floats(1e-6, 10), power_t=st.floats(0, 2), step=st.integers(0, 10**9))
def test_inverse_scaling_is_scikit_learns_with_t_from_one(eta0, power_t, step):
    rate = schedule_rate(make_schedule("invscaling", eta0=eta0, power_t=power_t), step)
    assert rate == pytest.approx(eta0 / math.pow(step + 1, power_t))


@settings(deadline=None)
@given(alpha=st.floats(1e-8, 10), step=st.integers(0, 10**6))
def test_optimal_is_scikit_learns(alpha, step):
    typical_weight = math.sqrt(1.0 / math.sqrt(alpha))
    start = 1.0 / (typical_weight * alpha)
    schedule = make_schedule("optimal", alpha=alpha)
    assert schedule_rate(schedule, 0) == pytest.approx(typical_weight)
    assert schedule_rate(schedule, step) == pytest.approx(1.0 / (alpha * (start + step)))


@settings(deadline=None)
@given(total=st.integers(1, 10**6), fraction=st.floats(0, 1))
def test_cosine_ends_at_zero_and_is_symmetric(total, fraction):
    schedule = make_schedule("cosine", eta0=2.0, total_steps=total)
    step = int(fraction * total)
    assert schedule_rate(schedule, 0) == pytest.approx(2.0)
    assert schedule_rate(schedule, total) == pytest.approx(0.0, abs=1e-15)
    assert schedule_rate(schedule, 2 * total) == pytest.approx(0.0, abs=1e-15)
    assert schedule_rate(schedule, step) + schedule_rate(schedule, total - step) == pytest.approx(2.0)


@settings(deadline=None)
@given(warmup=st.integers(1, 50), step=st.integers(0, 200), name=st.sampled_from(SCHEDULES))
def test_warm_up_rises_linearly_then_hands_over(warmup, step, name):
    schedule = make_schedule(name, eta0=0.5, alpha=1e-2, total_steps=300, warmup_steps=warmup)
    assert isinstance(schedule, WarmUp)
    rate = schedule_rate(schedule, step)
    if step < warmup:
        assert rate == pytest.approx((step + 1) / warmup * schedule_rate(schedule.after, 0))
    else:
        assert rate == pytest.approx(schedule_rate(schedule.after, step - warmup))


def test_only_adaptive_is_lowered_also_behind_a_warm_up():
    assert schedule_rate(lowered(make_schedule("adaptive", eta0=1.0)), 99) == pytest.approx(0.2)
    warm = lowered(lowered(make_schedule("adaptive", eta0=1.0, warmup_steps=4), divisor=2.0), divisor=2.0)
    assert schedule_rate(warm, 0) == pytest.approx(0.25 / 4)
    constant = make_schedule("constant", eta0=1.0)
    assert lowered(constant) is constant


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("invscale", {}, "invscaling.*'invscale'"),
        ("constant", {"eta0": 0}, "eta0 must be > 0"),
        ("constant", {"eta0": float("nan")}, "eta0 must be > 0"),
        ("invscaling", {"power_t": -1}, "power_t must be >= 0"),
        ("optimal", {"alpha": 0}, "needs alpha > 0"),
        ("cosine", {}, "needs total_steps"),
        ("cosine", {"total_steps": 5, "warmup_steps": 5}, "needs total_steps > warmup_steps = 5, not 5"),
        ("constant", {"warmup_steps": -1}, "warmup_steps must be a whole number"),
        ("constant", {"warmup_steps": 1.5}, "warmup_steps must be a whole number"),
    ],
)
def test_mistakes_are_told_before_any_work(name, parameters, words):
    with pytest.raises(ConfigError, match=words):
        make_schedule(name, **parameters)
