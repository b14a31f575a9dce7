"""Lazy penalties of all weights, settled at an epoch's end."""

import numpy as np
import pytest

from dsgd.kernels.coordinates import PIECE, settle_all, settle_and_sum
from dsgd.kernels.steps import Penalty
from dsgd.kernels.touched import interleaved
from dsgd.optim.rules import FTRL, SGD, AdaGrad
from dsgd.optim.schedules import Constant


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("rule", [SGD(), AdaGrad(), FTRL()], ids=lambda rule: type(rule).__name__)
def test_settling_all_weights_sums_them_in_the_same_look(rule, start):
    """The same bits as settling alone, and the sums of what it leaves; more weights than are summed at once."""
    rng = np.random.default_rng(0)
    size = PIECE + 500
    values = np.where(rng.random(size) < 0.3, rng.normal(size=size), 0).astype(np.float32)
    found = []
    for settle in (settle_all, settle_and_sum):
        params, state, last = interleaved(values, rule.slots, True)
        for array in state:
            array[:] = np.random.default_rng(1).random(size)
        last[:] = np.where(np.random.default_rng(2).random(size) < 0.5, 7, 0)
        last[:start] = 0
        penalty = Penalty(np.float32(1e-2), np.float32(1e-1), True)
        outputs = (1,) if settle is settle_all else ()
        sums = settle(
            rule, Constant(0.1), penalty, *outputs, params, *(*state, None, None)[:2], last, None, start, 30, 10
        )  # fmt: skip
        found.append((params.copy(), last.copy()))
    np.testing.assert_array_equal(found[1][0], found[0][0])
    np.testing.assert_array_equal(found[1][1][:-1], found[0][1][:-1])
    settled = found[0][0][:-1].astype(np.float64)
    assert (settled != values[:-1]).any()
    np.testing.assert_allclose(sums, (np.abs(settled).sum(), np.square(settled).sum()), rtol=1e-12)
