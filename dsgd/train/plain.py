"""Plain stochastic gradient descent, row by row on one rank: the steps of scikit-learn's SGD estimators.

It is what ``optimizer="auto"`` takes when the user gives the rates that those take: ``eta0`` as a number, or
``learning_rate="optimal"``. Rows in the same order give the same weights as there, up to rounding: weights of rows are not scaled
to a mean of 1, several classes are one line each against all others, and every line stops by itself, by the mean objective of its
steps or by its score on the validation rows. The last iterate is the model, or the average of the iterates.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..errors import CheckpointError, DataError
from ..kernels.plain import PlainStep
from ..kernels.rows import Rows
from ..losses import OneVersusRest
from ..objective.share import Share
from .checkpoints.kept import Kept
from .config import FitConfig
from .plain_lines import SPARSE_DECAY, Line, rates
from .plan import Plan
from .progress import Progress

RULE = "PlainSGD"


class PlainSGD:
    """The recipe.

    Parameters
    ----------
    config : FitConfig
    plan : Plan
    share : Share
        Runs of one row.
    progress : Progress
    """

    def __init__(self, config: FitConfig, plan: Plan, share: Share, progress: Progress):
        self._config, self._plan, self._share, self._progress = config, plan, share, progress
        self._rows = max(1, share.training_rows())
        self._lines: list[Line] = []

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` takes and brings the iterates, their average and the count of steps."""
        self._start(params, state)
        kept = self._progress.take_up(RULE, params)
        if kept is not None:
            self._go_on(kept)
        with ThreadPoolExecutor(self._config.threads_per_worker) as threads:
            while not self._epoch(threads):
                pass
        self._progress.converged = all(line.done for line in self._lines)
        state.clear()
        state.update(rule=RULE, step=max(line.step for line in self._lines))
        if self._config.average:
            state.update(
                first=self._flat([line.params for line in self._lines]),
                second=self._flat([line.mean for line in self._lines]),
            )
        return self._flat([line.answer for line in self._lines])

    def _start(self, params: np.ndarray, state: dict[str, Any]) -> None:
        problem, config = self._plan.problem, self._config
        loss = problem.loss.loss if isinstance(problem.loss, OneVersusRest) else problem.loss
        columns = _lines_of(params, problem.outputs)
        for number in range(problem.outputs):
            plan = self._step(number if problem.outputs > 1 else -1)
            adaptive = config.learning_rate == "adaptive"
            self._lines.append(Line(loss, plan, problem.frame, columns[number].copy(), adaptive=adaptive))
        if state.get("rule") != RULE:
            return
        iterates, means = (
            None if state.get(name) is None else _lines_of(state[name], problem.outputs) for name in ("first", "second")
        )
        for number, line in enumerate(self._lines):
            last = columns[number] if iterates is None else iterates[number]
            line.go_on_from(last, None if means is None else means[number], int(state["step"]))

    def _step(self, positive: int) -> PlainStep:
        config, problem = self._config, self._plan.problem
        alpha = 1.0 / self._plan.seen if config.alpha == "auto" else float(config.alpha)
        eta0 = 1.0 if config.eta0 == "auto" else float(config.eta0)
        sparse = problem.layout.size > problem.layout.dense and not problem.layout.codes
        return PlainStep(
            *rates(config.learning_rate, eta0, float(config.power_t), alpha),
            float(problem.l1),
            float(problem.l2),
            int(config.average),
            problem.intercept,
            SPARSE_DECAY if sparse else 1.0,
            0.0,
            positive,
        )

    def _epoch(self, threads: Executor) -> bool:
        """Go over the rows once with the lines that have not stopped; return whether to stop."""
        config, going = self._config, [line for line in self._lines if not line.done]
        totals = dict.fromkeys(range(len(going)), 0.0)
        for rows, order in self._share.training(self._progress.epochs if config.shuffle else None):
            found = threads.map(lambda line, rows=rows, order=order: line.take(rows, order), going)
            for number, total in enumerate(found):
                totals[number] += total
        for number, line in enumerate(going):
            self._refuse_overflow(line)
            objective = totals[number] / self._rows
            line.judge(-self._score(line) if config.early_stopping else objective, config.tol, config.n_iter_no_change)
            line.objective = objective
        answer = self._flat([line.answer for line in self._lines])
        self._progress.note(sum(line.objective for line in self._lines), answer)
        stop = self._progress.full or all(line.done for line in self._lines)
        if not stop:
            self._progress.keep(RULE, max(line.step for line in self._lines), self._kept)
        return stop

    def _kept(self) -> Kept:
        states = [line.state() for line in self._lines]
        arrays = {name: np.stack([state[name] for state, _ in states]) for name in states[0][0]}
        return Kept(
            {"params": self._flat([line.answer for line in self._lines])}, arrays, {"lines": [s for _, s in states]}
        )

    def _go_on(self, kept: Kept) -> None:
        if not kept.exact:
            raise CheckpointError("the checkpoint is of a fit whose rows used other weights: the data has changed")
        for number, line in enumerate(self._lines):
            line.restore({name: array[number] for name, array in kept.arrays.items()}, kept.meta["lines"][number])

    def _refuse_overflow(self, line: Line) -> None:
        if not line.finite():
            raise DataError(
                f"Floating-point under-/overflow occurred at epoch #{self._progress.epochs + 1}. Scaling input data with "
                "StandardScaler or MinMaxScaler might help; so does a lower eta0, or standardize=True."
            )

    def _score(self, line: Line) -> float:
        """Accuracy, or R2, of the line's last iterate on the validation rows."""
        parts = [(line.scores(rows, order), *_truth(rows, order, line)) for rows, order in self._share.validation()]
        if not parts:
            raise DataError(
                "early_stopping has no validation rows: the validation set is empty, or validation_fraction="
                f"{self._config.validation_fraction} leaves none; give more rows, or another validation set"
            )
        scores, target, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not weight.sum() > 0:
            raise DataError("early_stopping has validation rows of weight zero only; use another random_state")
        if self._plan.classes is not None:
            return float(np.average((scores > 0) == (target > 0), weights=weight))
        error = np.average((self._plan.problem.loss.inverse_link(scores) - target) ** 2, weights=weight)
        variance = np.average((target - np.average(target, weights=weight)) ** 2, weights=weight)
        return float(1.0 - error / variance) if variance > 0 else float(error == 0)

    def _flat(self, lines: list[np.ndarray]) -> np.ndarray:
        return np.column_stack(lines).ravel()


def _lines_of(params: np.ndarray, outputs: int) -> np.ndarray:
    """The parameters by line, of shape (k, d + 1)."""
    return np.asarray(params).reshape(-1, outputs).T


def _truth(rows: Rows, order: np.ndarray, line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Targets of some rows as a line sees them, and the rows' weights."""
    target = rows.label[order]
    if line.plan.positive >= 0:
        target = np.where(target == line.plan.positive, 1.0, -1.0)
    return target, rows.weight[order] if rows.weight.size else np.ones(len(order))
