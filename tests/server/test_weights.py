"""A range of weights: whatever is pushed, listed or not, what is pulled is what steps taken one by one in plain numpy come to."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsgd.errors import ConfigError
from dsgd.kernels.protocols import penalty_flow, schedule_rate
from dsgd.kernels.steps import Penalty
from dsgd.optim.rules import RULES, make_rule
from dsgd.optim.schedules import lowered, make_schedule
from dsgd.server import weights as module
from dsgd.server.delay import KEPT, TINY
from dsgd.server.pushed import Pushed, combined, misfit
from dsgd.server.weights import ADDITIVE, RangeWeights

FEATURES = 5
LAZY = sorted(name for name, rule in RULES.items() if rule.lazy)
ELASTIC = (0.02, 0.3)


@dataclass
class Plain:
    """The same range, stepped weight by weight and step by step."""

    rule: Any
    schedule: Any
    penalty: Penalty
    outputs: int
    params: np.ndarray
    touched_only: bool = False
    step: int = 0
    state: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self):
        self.params = self.params.astype(np.float64)
        self.state = [np.zeros_like(self.params) for _ in range(2)]
        # The last outputs are intercepts: they have no penalty.
        self.l1, self.l2 = (np.full(len(self.params), float(strength)) for strength in self.penalty[:2])
        self.l1[-self.outputs :] = self.l2[-self.outputs :] = 0

    def push(self, pushed: Pushed, scale: float = 1.0):
        rate = scale * schedule_rate(self.schedule, self.step)
        self.step += 1
        gradient = spread(pushed.indices, pushed.values, self.outputs, len(self.params)) / max(pushed.rows, 1)
        after = self.rule.update(self.params, *self.state, gradient, rate, self.step, self.l1, self.l2)
        chosen = places(pushed.indices, self.outputs, len(self.params)) if self.touched_only else slice(None)
        for now, then in zip((self.params, *self.state), after, strict=True):
            now[chosen] = then[chosen]

    def add(self, pushed: Pushed, scale: float = 1.0):
        """Changes of the weights that are pushed; steps without a gradient for all others."""
        before, chosen = self.params.copy(), places(pushed.indices, self.outputs, len(self.params))
        for _ in range(pushed.steps):
            self.push(Pushed(None, np.zeros_like(self.params), rows=1))
        self.params[chosen] = before[chosen]
        parts = (scale * pushed.values, pushed.first, pushed.second)
        for now, change in zip((self.params, *self.state), parts, strict=True):
            if change is not None:
                now += spread(pushed.indices, change, self.outputs, len(now))
        if type(self.rule).__name__ == "FTRL":
            self.params[:] = self.rule.settle(self.params, *self.state, 0.0, self.step, self.l1, self.l2)


def places(indices, outputs: int, size: int) -> np.ndarray:
    every = np.arange(size).reshape(-1, outputs)
    return every.ravel() if indices is None else every[indices].ravel()


def spread(indices, values, outputs: int, size: int) -> np.ndarray:
    """Listed values as a vector with zeros elsewhere."""
    whole = np.zeros(size)
    whole[places(indices, outputs, size)] = values
    return whole


def pair(name="sgd", schedule="invscaling", outputs=1, dtype=np.float64, penalty=ELASTIC, sparse=True, **more):
    """A range, and the plain one beside it."""
    rule, kind = make_rule(name, rate=0.2), np.dtype(dtype).type
    start = np.zeros((FEATURES + 1) * outputs, dtype)
    if name != "ftrl":
        start[:] = np.linspace(-0.5, 0.5, len(start))
    states = [np.zeros_like(start) if slot < rule.slots else None for slot in (0, 1)]
    rates = make_schedule(schedule, eta0=0.2, power_t=0.3)
    strengths = Penalty(kind(penalty[0]), kind(penalty[1]), True)
    made = RangeWeights(rule, rates, strengths, outputs, start.copy(), *states, sparse=sparse, **more)
    return made, Plain(rule, rates, strengths, outputs, start, touched_only=sparse and not rule.lazy)


def gradient(random, outputs: int, listed: bool, dtype=np.float64, rows: int = 3) -> Pushed:
    indices = None
    if listed:
        chosen = random.choice(FEATURES, random.integers(0, FEATURES), replace=False)
        indices = np.append(np.sort(chosen), FEATURES).astype(np.int32)
    count = (FEATURES + 1 if indices is None else len(indices)) * outputs
    return Pushed(indices, random.normal(size=count).astype(dtype), rows)


@pytest.fixture
def short_clock(monkeypatch):
    """Penalties are brought up to date for all, and counted anew, every few steps."""
    monkeypatch.setattr(module, "_CLOCK_STEPS", 4)


@pytest.mark.parametrize("sparse", [True, False], ids=["listed", "all"])
@pytest.mark.parametrize("name", [*LAZY, "adam"])
@pytest.mark.usefixtures("short_clock")
def test_gradients_are_steps_taken_one_by_one(name, sparse):
    random = np.random.default_rng(1)
    for outputs in (1, 2):
        made, plain = pair(name, outputs=outputs, sparse=sparse)
        for _ in range(15):
            pushed = gradient(random, outputs, sparse)
            made.apply(pushed)
            plain.push(pushed)
            some = np.flatnonzero(random.random(FEATURES + 1) < 0.3).astype(np.int32)
            expected = plain.params[places(some, outputs, len(plain.params))]
            np.testing.assert_allclose(made.values(some), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-9, atol=1e-12)
        assert made.step == plain.step == 15
        if name != "adam":
            assert (made.values(None) == 0).tolist() == (plain.params == 0).tolist()


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(LAZY),
    outputs=st.integers(1, 3),
    table=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    deeds=st.lists(
        st.sampled_from(["list", "list", "all", "rest", "pull", "lower", "restore"]), min_size=1, max_size=25
    ),
)
def test_lazy_penalties_are_those_of_every_step(name, outputs, table, seed, deeds):
    """Whatever is pushed, pulled, lowered and restored in between, and however often the table of rates is made anew."""
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CLOCK_STEPS", table)
        made, plain = pair(name, "adaptive", outputs)
        times = 0
        for deed in deeds:
            if deed == "lower":
                times += 1
                made.lower(times)
                plain.schedule = lowered(plain.schedule)
            elif deed == "restore":
                other, _ = pair(name, "adaptive", outputs)
                other.restore(*made.snapshot())
                made = other
            elif deed == "pull":
                made.values(np.flatnonzero(random.random(FEATURES + 1) < 0.5).astype(np.int32))
            else:
                # A push of no features is a step in which all weights rest.
                pushed = gradient(random, outputs, deed == "list")
                if deed == "rest":
                    pushed = Pushed(np.zeros(0, np.int32), np.zeros(0), rows=1)
                made.apply(pushed)
                plain.push(pushed)
        np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-8, atol=1e-11)
        assert made.penalty_value() == pytest.approx(penalty_of(plain), rel=1e-8, abs=1e-12)


def penalty_of(plain: Plain) -> float:
    return float(np.sum(plain.l1 * np.abs(plain.params) + plain.l2 / 2 * plain.params**2))


@pytest.mark.usefixtures("short_clock")
def test_single_precision():
    random = np.random.default_rng(2)
    made, plain = pair("adagrad", dtype=np.float32)
    for _ in range(20):
        pushed = gradient(random, 1, True, np.float32)
        made.apply(pushed)
        plain.push(pushed)
    assert made.values(None).dtype == np.float32
    np.testing.assert_allclose(made.values(None), plain.params, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_a_scale_is_one_on_the_rate(name):
    random = np.random.default_rng(3)
    made, plain = pair(name, sparse=False, scaled=True)
    for scale in (1.0, 0.5, 0.25, 1.0):
        pushed = gradient(random, 1, False)
        made.apply(pushed, scale)
        plain.push(pushed, scale)
    np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-9)


@pytest.mark.parametrize("sparse", [True, False], ids=["listed", "all"])
@pytest.mark.parametrize("name", LAZY)
@pytest.mark.usefixtures("short_clock")
def test_changes_of_workers_that_stepped_by_themselves_add_up(name, sparse):
    """The penalty of their steps is in what they changed, and is applied here to what they did not touch."""
    random = np.random.default_rng(4)
    for outputs in (1, 2):
        made, plain = pair(name, outputs=outputs, sparse=sparse)
        for steps in (3, 1, 6):
            pushed = changes(random, made, outputs, sparse, steps)
            made.apply(pushed)
            plain.add(pushed)
            between = gradient(random, outputs, sparse)
            made.apply(between)
            plain.push(between)
        np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-9, atol=1e-12)
        for state, expected in zip((made.first, made.second), plain.state, strict=True):
            if state is not None:
                np.testing.assert_allclose(state, expected, rtol=1e-9)
        assert made.step == plain.step == 13


def changes(random, made: RangeWeights, outputs: int, listed: bool, steps: int) -> Pushed:
    pushed = gradient(random, outputs, listed)
    states = [None if state is None else random.random(len(pushed.values)) for state in (made.first, made.second)]
    return Pushed(pushed.indices, 0.1 * pushed.values, 3, steps, *states)


def test_a_scale_is_one_on_the_changes():
    made, plain = pair("sgd")
    pushed = changes(np.random.default_rng(5), made, 1, True, 2)
    made.apply(pushed, scale=0.25)
    plain.add(pushed, scale=0.25)
    np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-9)


@pytest.mark.parametrize("sparse", [True, False], ids=["listed", "all"])
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_changes_in_which_workers_agree_count_once(name, sparse):
    """Both begin with the same weights; the second's push is told apart from what the first has done meanwhile."""
    random = np.random.default_rng(8)
    made, _ = pair(name, sparse=sparse)
    made.penalty = made.penalty._replace(l1=0.0, l2=0.0)
    pulled = made.values(None)
    pushed = changes(random, made, 1, sparse, 4)
    made.apply(pushed, pulled=pulled)
    once = made.values(None)
    made.apply(pushed, pulled=pulled)
    np.testing.assert_allclose(made.values(None), once, rtol=1e-12)
    opposite = Pushed(pushed.indices, -pushed.values, 3, 4, pushed.first)
    made.apply(opposite, pulled=pulled)
    np.testing.assert_allclose(made.values(None), pulled, rtol=1e-9, atol=1e-12)


def test_what_two_workers_have_both_made_zero_is_zero():
    """Also where their changes of its neighbours differ, with which its own is merged."""
    made, _ = pair("sgd", sparse=False, penalty=(0.0, 0.0))
    pulled = made.values(None)
    for change in ([0.3, 0.1, 0.2, -0.1, 0.4, 0.2], [0.1, 0.5, 0.2, -0.1, -0.2, 0.3]):
        change = np.array(change)
        change[2] = -pulled[2]
        made.apply(Pushed(None, change, 3, 4), pulled=pulled)
    assert np.flatnonzero(made.values(None) == 0).tolist() == [2]


def test_the_state_that_a_push_of_steps_brings_is_that_of_the_rule():
    made, _ = pair("adagrad")
    pushed = changes(np.random.default_rng(9), made, 1, True, 2)
    assert made.misfit_of_steps(pushed) is None
    assert made.misfit_of_steps(Pushed(None, pushed.values, 3, 0)) is None, "of a gradient"
    without = Pushed(pushed.indices, pushed.values, 3, 2)
    assert made.misfit_of_steps(without) == "it brings 0 arrays of the state of AdaGrad, not 1"


@pytest.mark.parametrize("name", sorted(set(RULES)))
def test_what_does_not_add_up_is_refused(name):
    made, _ = pair(name)
    pushed = changes(np.random.default_rng(6), made, 1, True, 2)
    if type(made.rule).__name__ in ADDITIVE:
        made.apply(pushed)
    else:
        with pytest.raises(
            ConfigError, match=r"whose state is no sum over steps; use local_steps=1, or one of SGD, AdaGrad"
        ):
            made.apply(pushed)
    with pytest.raises(ConfigError, match=r"cannot be made one step; use local_steps=1"):
        combined([pushed, pushed], 1)


@pytest.mark.parametrize("sparse", [True, False], ids=["listed", "all"])
@pytest.mark.usefixtures("short_clock")
def test_delay_compensation_is_the_formula(sparse):
    """With a penalty, which weights that nobody has touched have had, too, when they are compared with what was pulled."""
    random = np.random.default_rng(7)
    made, plain = pair("sgd", sparse=sparse, compensation=0.7)
    mean = np.zeros_like(plain.params)
    pulled = made.values(None)
    for number in range(12):
        if number % 4 == 0:
            pulled = made.values(None)
        pushed = gradient(random, 1, sparse)
        chosen = places(pushed.indices, 1, len(mean))
        g = pushed.values / pushed.rows
        mean[chosen] = KEPT * mean[chosen] + (1 - KEPT) * g * g
        g = g + 0.7 / np.sqrt(mean[chosen] + TINY) * g * g * (plain.params[chosen] - pulled[chosen])
        made.apply(pushed, 1.0, pulled)
        plain.push(Pushed(pushed.indices, g, rows=1))
    np.testing.assert_allclose(made.values(None), plain.params, rtol=1e-9, atol=1e-12)
    without, _ = pair("sgd", sparse=sparse, compensation=0.7)
    without.restore(*made.snapshot())
    np.testing.assert_allclose(without.snapshot()[0]["squares"], mean, rtol=1e-12)


def test_a_rate_that_is_lowered_is_lowered_from_then_on():
    made, plain = pair("sgd", "adaptive")
    rest = Pushed(np.zeros(0, np.int32), np.zeros(0), rows=1)
    for _ in range(3):
        made.apply(rest)
    made.lower(2)
    made.lower(1)  # as an earlier message that comes late
    for _ in range(2):
        made.apply(rest)
    time = 0.2 * 3 + 0.2 / 25 * 2
    np.testing.assert_allclose(made.values(None)[:-1], penalty_flow(plain.params[:-1], time, *ELASTIC), rtol=1e-9)
    assert made.values(None)[-1] == plain.params[-1]


def test_a_range_that_has_been_used_becomes_what_the_snapshot_says():
    made, _ = pair("adagrad", "adaptive")
    random = np.random.default_rng(8)
    made.apply(gradient(random, 1, True))
    made.lower(1)
    snapshot = made.snapshot()
    twin, _ = pair("adagrad", "adaptive")
    twin.restore(*snapshot)
    made.lower(3)
    made.apply(gradient(random, 1, True))
    made.restore(*snapshot)
    more = gradient(random, 1, True)
    made.apply(more)
    twin.apply(more)
    np.testing.assert_array_equal(made.values(None), twin.values(None))
    assert made.snapshot()[1] == twin.snapshot()[1] == {"step": 2, "lowered": 1}


@pytest.mark.parametrize("listed", [True, False])
def test_gradients_are_combined_in_the_order_given(listed):
    random = np.random.default_rng(9)
    pushes = [gradient(random, 2, listed, rows=n) for n in (1, 2, 4)]
    total = combined(pushes, 2)
    assert total.rows == 7
    expected = sum(spread(pushed.indices, pushed.values, 2, 2 * FEATURES + 2) for pushed in pushes)
    np.testing.assert_array_equal(spread(total.indices, total.values, 2, 2 * FEATURES + 2), expected)
    assert listed == (total.indices is not None)


@pytest.mark.parametrize(
    ("pushed", "why"),
    [
        (Pushed(np.array([0, 2], np.int32), np.zeros(4), 1), None),
        (Pushed(None, np.zeros(6), 1, 1, np.zeros(6)), None),
        (Pushed(np.zeros(0, np.int32), np.zeros(0), 1), None),
        (Pushed(np.array([2, 1], np.int32), np.zeros(4), 1), "not ascending from 0 to 2"),
        (Pushed(np.array([1, 1], np.int32), np.zeros(4), 1), "not ascending from 0 to 2"),
        (Pushed(np.array([-1, 1], np.int32), np.zeros(4), 1), "not ascending from 0 to 2"),
        (Pushed(np.array([1, 3], np.int32), np.zeros(4), 1), "not ascending from 0 to 2"),
        (Pushed(np.array([1, 2], np.int64), np.zeros(4), 1), "not ascending from 0 to 2"),
        (Pushed(np.array([1, 2], np.int32), np.zeros(3), 1), "3 numbers of float64, and 4 of float64 were expected"),
        (Pushed(None, np.zeros(5), 1), "5 numbers of float64, and 6 of float64"),
        (Pushed(None, np.zeros(6, np.float32), 1), "6 numbers of float32, and 6 of float64"),
        (Pushed(None, np.zeros(6), 1, 1, np.zeros(6), np.zeros(2)), "2 numbers of float64, and 6 of float64"),
    ],
)
def test_what_does_not_fit_is_told(pushed, why):
    found = misfit(pushed, outputs=2, size=6, dtype=np.dtype(np.float64))
    assert found is None if why is None else why in found
