"""How well lanes do on rows that they have not seen, by sums that merge: one pass for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...data.block import Block
from ...data.order import take_rows
from ...errors import ConfigError
from ...metrics import Metrics, metrics_for
from ..plan import Plan
from .lane import Lane
from .passes import interleaved, run_length, scores, scratch_of
from .splits import Places, Range

_ROWS = 1 << 15


class Scorer(NamedTuple):
    """Where a score comes from: a metric's part and its result, a power, and a sign that makes more the better."""

    part: str
    result: str
    sign: float = 1.0
    power: float = 1.0


SCORERS = {
    "accuracy": Scorer("accuracy", "accuracy"),
    "balanced_accuracy": Scorer("accuracy", "balanced_accuracy"),
    "roc_auc": Scorer("auc", "auc"),
    "neg_log_loss": Scorer("log_loss", "log_loss", -1.0),
    "r2": Scorer("errors", "r2"),
    "neg_mean_squared_error": Scorer("errors", "rmse", -1.0, 2.0),
    "neg_root_mean_squared_error": Scorer("errors", "rmse", -1.0),
    "neg_mean_absolute_error": Scorer("errors", "mae", -1.0),
    "neg_mean_poisson_deviance": Scorer("deviance", "poisson_deviance", -1.0),
    "neg_mean_gamma_deviance": Scorer("deviance", "gamma_deviance", -1.0),
    "neg_loss": Scorer("loss", "loss", -1.0),
}


def metrics_of(plan: Plan, names: Sequence[str]) -> Metrics:
    """The metrics behind some scores, empty.

    Raises
    ------
    ConfigError
        For a score that the task, or the loss, does not have.
    """
    loss, classes = plan.problem.loss, plan.classes
    kind = "regression" if classes is None else "binary" if plan.outputs == "single" else "multiclass"
    every = metrics_for(kind, classes=None if classes is None else len(classes), loss=loss)
    for name in names:
        scorer = SCORERS[name]
        if scorer.part not in every.parts or scorer.result not in every.parts[scorer.part].results():
            has = [n for n, s in SCORERS.items() if s.part in every.parts and s.result in every.parts[s.part].results()]
            raise ConfigError(f"scoring={name!r} is not there for {kind} with loss {loss.name!r}; use one of {has}")
    wanted = {SCORERS[name].part for name in names}
    return Metrics({part: metric for part, metric in every.parts.items() if part in wanted})


def score_of(results: dict[str, float], name: str) -> float:
    """The score of a name, from a metric's results.

    Examples
    --------
    >>> score_of({"rmse": 3.0}, "neg_mean_squared_error")
    -9.0
    """
    scorer = SCORERS[name]
    return scorer.sign * results[scorer.result] ** scorer.power


@dataclass(frozen=True)
class _Group:
    """Lanes that are measured by the same rows and have as many outputs."""

    lanes: list[Lane]
    metrics: list[Metrics]
    params: np.ndarray
    scratch: Any

    @classmethod
    def of(cls, lanes: list[Lane], names: Sequence[str]) -> "_Group":
        problem = lanes[0].problem
        params = interleaved([lane.params for lane in lanes], problem.outputs)
        scratch = scratch_of(problem, run_length(problem), len(lanes) * problem.outputs)
        return cls(lanes, [metrics_of(lane.plan, names) for lane in lanes], params, scratch)

    def add(self, block: Block) -> None:
        """Measure a block's rows."""
        problem = self.lanes[0].problem
        k = problem.outputs
        for start in range(0, block.rows, _ROWS):
            stop = min(start + _ROWS, block.rows)
            found = scores(block, start, stop, problem, self.params, self.scratch)
            weight = block.weight[start:stop] if block.weight.size else None
            for number, metrics in enumerate(self.metrics):
                own = found[:, number] if k == 1 else found[:, number * k : number * k + k]
                metrics.update(own, block.label[start:stop], weight)


def measure(lanes: Sequence[Lane], store: Any, places: Places, collective: Any, names: Sequence[str]) -> np.ndarray:
    """Return the scores of all lanes; shape (names, lanes).

    ``store`` holds the rows: those that a lane left out count, or all of them for lanes that left out none.
    """
    groups: dict[tuple, list[Lane]] = {}
    for lane in lanes:
        groups.setdefault((lane.left_out, lane.problem.outputs), []).append(lane)
    made = {key: _Group.of(members, names) for key, members in groups.items()}
    for left_out, block in _parts(store, places, {lane.left_out for lane in lanes}):
        for key, group in made.items():
            if key[0] == left_out:
                group.add(block)
    ordered = {id(lane): m for group in made.values() for lane, m in zip(group.lanes, group.metrics, strict=True)}
    metrics = [ordered[id(lane)] for lane in lanes]
    sums = np.concatenate([metric.to_vector() for metric in metrics])
    collective.allreduce(sums)
    found = []
    for metric, own in zip(metrics, np.split(sums, len(metrics)), strict=True):
        results = metric.from_vector(own).results()
        found.append([score_of(results, name) for name in names])
    return np.array(found).T


def _parts(store: Any, places: Places, wanted: set[Range]) -> Iterator[tuple[Range, Block]]:
    """Blocks of the rows that belong to a range; a copy of some rows of each block."""
    ranges = sorted(wanted, key=lambda left_out: left_out.low)
    for key, block in store.keyed_blocks():
        if ranges[0].is_empty:
            yield ranges[0], block
            continue
        numbers = places.numbers(key, block.rows)
        for left_out in ranges:
            chosen = np.flatnonzero((numbers >= left_out.low) & (numbers < left_out.high))
            for start in range(0, len(chosen), _ROWS):
                yield left_out, take_rows(block, chosen[start : start + _ROWS])
