"""Small problems for lock-free threads: rows of every layout with labels from a linear model, and threads to train them."""

from typing import Any, NamedTuple

import numpy as np

from dsgd.data import make_block
from dsgd.data.layout import Crosses, Layout, no_crosses
from dsgd.kernels.reference import features
from dsgd.kernels.rows import Rows
from dsgd.losses import Softmax, make_loss
from dsgd.objective.passes import Pass
from dsgd.objective.problem import Problem, run_starts
from dsgd.objective.scaling import no_scaling
from dsgd.train.hogwild import Hogwild
from dsgd.train.recipe import in_dtype

SINGLE = np.dtype(np.float32)
SIZES = (3, 30, 150)
RUN = 16


class Case(NamedTuple):
    """Rows, the problem that they pose, and the same as a matrix (n, d)."""

    problem: Problem
    rows: Rows
    matrix: np.ndarray


def make_case(layout: str, *, rows=2000, outputs=1, l1=0.0, l2=0.0, intercept=True, dtype=SINGLE, seed=0) -> Case:
    """Rows of "dense", "codes", "crosses", "sparse" or "mixed" parts, with targets of a model drawn from ``seed``."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    d, codes, crosses = 0, 0, no_crosses()
    if layout in ("dense", "mixed"):
        arrays["dense"] = random.standard_normal((rows, 4))
        d = 4
    dense = d
    if layout in ("codes", "crosses", "mixed"):
        drawn = [np.minimum(random.zipf(1.5, rows) - 1, size - 1) for size in SIZES]
        arrays["codes"] = np.stack(drawn, axis=1) + d + np.concatenate([[0], np.cumsum(SIZES[:-1])])
        d, codes = d + sum(SIZES), len(SIZES)
    if layout == "crosses":
        crosses = Crosses(np.array([[0, 1]], np.int32), np.array([d]), np.array([63]))
        d += 64
    if layout in ("sparse", "mixed"):
        held = random.random((rows, 40)) < 0.5 / np.arange(1, 41)
        arrays["indptr"] = np.concatenate([[0], held.sum(axis=1).cumsum()])
        arrays["indices"] = d + np.nonzero(held)[1]
        arrays["values"] = random.standard_normal(int(held.sum()))
        d += 40
    scaling = no_scaling(np.dtype(dtype))
    loss = make_loss("log_loss") if outputs == 1 else Softmax(outputs)
    problem = Problem(
        loss, outputs, Layout((), dense, codes, crosses, d), scaling.frame(crosses), scaling, np.dtype(dtype), l1, l2, intercept,
        1.0, rows, np.zeros(0),
    )  # fmt: skip
    block = make_block(np.ones(rows), dtype=dtype, **arrays)
    matrix = features(problem.rows_of(block), problem.frame, d)[:, :d]
    scores = matrix @ random.standard_normal((d, outputs))
    noisy = scores + random.gumbel(size=scores.shape) - (random.gumbel(size=scores.shape) if outputs == 1 else 0)
    block.label[:] = np.sign(noisy[:, 0]) if outputs == 1 else noisy.argmax(axis=1)
    return Case(problem, problem.rows_of(block), matrix)


def make_threads(case: Case, threads: int, rule, schedule, *, online: bool, sparse: bool, batch_runs=2) -> Hogwild:
    """Threads that begin at zero."""
    problem, zero = case.problem, np.zeros(case.problem.size, case.problem.dtype)
    first, second = (zero if rule.slots > slot else None for slot in (0, 1))
    passes = [Pass(problem, RUN) for _ in range(threads)]
    return Hogwild(
        in_dtype(rule, problem.dtype), in_dtype(schedule, problem.dtype), passes, zero, first, second, online=online,
        sparse=sparse, batch_runs=batch_runs, constant_rate=type(schedule).__name__ == "Constant",
    )  # fmt: skip


def train(hogwild: Hogwild, case: Case, epochs: int, pieces: int = 3, seed: int = 1) -> float:
    """Run some epochs, settle, and return the last one's loss sum; each epoch comes in ``pieces`` of shuffled runs."""
    random, loss = np.random.default_rng(seed), 0.0
    for _ in range(epochs):
        starts = run_starts(len(case.rows.label), RUN, random)
        loss, rows = hogwild.run((case.rows, part) for part in np.array_split(starts, pieces))
        assert rows == len(case.rows.label)
        hogwild.settle()
    return loss
