"""Fits of arrays on the local engine, and how far from the optimum they end: what the tests of training share."""

from typing import NamedTuple

import numpy as np

from dsgd.data.sources import as_dataset
from dsgd.train.config import FitConfig, TrainedLinear
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from ..reference.optimum import Objective, kkt_violation, solve

CLASSIFICATION = ("log_loss", "hinge", "squared_hinge", "modified_huber")


def train(
    X, y, weight=None, offset=None, *, processes=False, validation=None, initial=None, classes=None, seen=0.0, **config
):
    """Fit in threads (or processes) of this machine; ``config`` are parameters of FitConfig."""
    config.setdefault("task", "classification" if config.get("loss", "log_loss") in CLASSIFICATION else "regression")
    dataset = as_dataset(X, y, weight, offset)
    with LocalEngine(processes=processes) as engine:
        held_out = None if validation is None else as_dataset(*validation)
        going_on = {"initial": initial, "classes": classes, "seen": seen}
        return fit(dataset, FitConfig(**config), engine, validation=held_out, **going_on)


class Outcome(NamedTuple):
    """A fit beside the optimum: relative excess of the objective, and violation of optimality as a part of alpha."""

    model: TrainedLinear
    excess: float
    violation: float


def against_optimum(loss, X, y, weight=None, offset=None, *, alpha, l1_ratio=0.0, **config) -> Outcome:
    """Fit with elastic net (l2 for ``l1_ratio=0``) and measure in float64 what was reached."""
    parameters = {"epsilon": 0.1} if loss == "huber" else {}
    best = solve(loss, X, y, weight, alpha, l1_ratio, offset=offset, **parameters)
    objective = Objective(loss, X, y, weight=weight, offset=offset, alpha=alpha, l1_ratio=l1_ratio, **parameters)
    name = "log_loss" if loss == "multinomial" else loss
    model = train(X, y, weight, offset, loss=name, penalty="elasticnet", alpha=alpha, l1_ratio=l1_ratio, **config)
    excess = (objective(model.coef, model.intercept) - best.objective) / abs(best.objective)
    return Outcome(model, excess, kkt_violation(objective, model.coef, model.intercept) / alpha)


def some(problem, rows: int, seed: int = 0):
    """A random part of a problem's rows."""
    chosen = np.random.default_rng(seed).permutation(len(problem.y))[:rows]
    return problem.X[chosen], problem.y[chosen]
