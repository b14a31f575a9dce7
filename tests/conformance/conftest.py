"""Small data sets of every layout, as the kernels take them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dsgd.data import make_block
from dsgd.kernels.rows import Frame, Rows, read_only
from dsgd.kernels.scratch import make_scratch
from dsgd.kernels.steps import Penalty

LAYOUTS = {
    "dense": ("dense",),
    "codes": ("codes",),
    "crosses": ("codes", "crosses"),
    "sparse": ("sparse",),
    "mixed": ("dense", "codes", "crosses", "sparse"),
    "nothing": (),
}
_N, _DENSE, _CODES, _CATEGORIES, _CROSS_BITS, _SPARSE = 37, 5, 3, 4, 3, 6


@dataclass
class Case:
    """Rows of one layout and everything else that a kernel wants; arrays are drawn from ``seed``."""

    rows: Rows
    frame: Frame
    weights: int
    outputs: int
    dtype: Any
    random: np.random.Generator = field(repr=False)

    def params(self, scale: float = 0.3) -> np.ndarray:
        """Random parameters of shape ((d + 1) k,)."""
        return (scale * self.random.standard_normal((self.weights + 1) * self.outputs)).astype(self.dtype)

    def starts(self, run: int) -> np.ndarray:
        """First rows of the runs, shuffled."""
        starts = np.arange(0, _N, run)
        self.random.shuffle(starts)
        return starts

    def scratch(self, run: int):
        """Buffers for runs of ``run`` rows."""
        width = self.rows.codes.shape[1] + len(self.frame.cross_start)
        entries = int(np.diff(self.rows.indptr).max(initial=0))
        return make_scratch(self.dtype, run, width, self.rows.dense.shape[1], self.outputs, entries)

    def penalty(self, l1: float = 0.0, l2: float = 0.0, intercept: bool = True) -> Penalty:
        """A penalty in the case's dtype."""
        return Penalty(self.dtype(l1), self.dtype(l2), intercept)

    def with_targets(self, loss) -> "Case":
        """The case with labels of the loss's domain."""
        draw = {
            "sign": lambda: np.where(self.random.random(_N) < 0.5, -1, 1),
            "class": lambda: self.random.integers(0, self.outputs, _N),
            "nonnegative": lambda: self.random.poisson(1.0, _N),
            "positive": lambda: self.random.gamma(2.0, 1.0, _N),
            "real": lambda: self.random.standard_normal(_N),
        }
        self.rows = read_only(self.rows._replace(label=draw[loss.domain]().astype(self.dtype)))
        return self


def _build(layout="mixed", *, outputs=1, dtype=np.float64, standardised=True, weighted=True, shifted=True, seed=0):
    random = np.random.default_rng(seed)
    parts = LAYOUTS[layout]
    p = _DENSE if "dense" in parts else 0
    arrays: dict[str, Any] = {"dense": random.standard_normal((_N, p)) * [1, 2, 0.5, 1, 3][:p] + 1} if p else {}
    d = p
    crosses = [np.zeros((0, 2), np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64)]
    if "codes" in parts:
        first = d + _CATEGORIES * np.arange(_CODES)
        arrays["codes"] = first + random.integers(0, _CATEGORIES, (_N, _CODES))
        d += _CATEGORIES * _CODES
    if "crosses" in parts:
        size = 1 << _CROSS_BITS
        members = np.array([[0, 1, -1], [2, 0, 1]], np.int32)
        crosses = [members, np.array([d, d + size]), np.full(2, size - 1)]
        d += 2 * size
    if "sparse" in parts:
        held = random.random((_N, _SPARSE)) < 0.4
        held[3] = False
        arrays["indptr"] = np.concatenate([[0], held.sum(axis=1).cumsum()])
        arrays["indices"] = d + np.nonzero(held)[1]
        arrays["values"] = random.standard_normal(int(held.sum()))
        d += _SPARSE
    if weighted:
        arrays["weight"] = random.uniform(0, 2, _N)
    if shifted:
        arrays["offset"] = random.standard_normal(_N) / 4
    block = make_block(np.ones(_N), dtype=dtype, **arrays)
    scaling = (block.dense.mean(axis=0), 1 / block.dense.std(axis=0)) if p and standardised else (np.zeros(0),) * 2
    frame = Frame(*(array.astype(dtype) for array in scaling), *crosses)
    return Case(read_only(Rows(**vars(block))), frame, d, outputs, np.dtype(dtype).type, random)


@pytest.fixture(scope="session")
def make_case():
    """Build a :class:`Case`; see ``_build`` for the arguments."""
    return _build
