"""The exponential that is vectorised with its loop is the library's, to the last digits of single precision."""

import numpy as np
import pytest
from numba import njit

from dsgd.kernels.compiling import FAST
from dsgd.losses.formulas import exp_of_negative


@njit(fastmath=FAST, error_model="numpy")
def of_all(x, out):
    for i in range(x.size):
        out[i] = exp_of_negative(x[i])


@pytest.mark.parametrize(("lowest", "tolerance"), [(-1, 1e-7), (-10, 2e-7), (-87, 5e-7)])
def test_close_to_the_library(lowest, tolerance):
    x = np.linspace(lowest, 0, 100_001, dtype=np.float32)
    out = np.empty_like(x)
    of_all(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=tolerance)


def test_double_precision_is_the_library_itself():
    x = np.linspace(-700, 0, 1001)
    out = np.empty_like(x)
    of_all(x, out)
    np.testing.assert_allclose(out, np.exp(x), rtol=1e-15)


def test_what_is_not_finite():
    x = np.array([-1e4, -np.inf, np.nan], np.float32)
    out = np.empty_like(x)
    of_all(x, out)
    assert (out[:2] < 1e-37).all()
    assert np.isnan(out[2])
