"""The driver's side of a sweep: a dataset, configurations and an engine in; scores, and the best model, out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ...data.arrays import unpack
from ...data.dataset import Dataset
from ...errors import ConfigError
from ..config import FitConfig, TrainedLinear
from ..engine import Engine
from ..fit import make_tasks, trained
from ..modes import Async, Columns, Hybrid, Mode, by_shards, name_of
from ..task import RankResult
from .splits import ranges
from .task import SweepTask

_START_DEADLINE = 120.0
# Fields of a configuration in which those of one sweep may differ: the others say how rows are read, encoded, and shared out.
VARYING = (
    "alpha",
    "average",
    "class_weight",
    "epsilon",
    "eta0",
    "l1_ratio",
    "learning_rate",
    "loss",
    "max_iter",
    "n_iter_no_change",
    "optimizer",
    "penalty",
    "power",
    "power_t",
    "quantile",
    "tol",
    "warmup_steps",
)


@dataclass(frozen=True)
class Swept:
    """What a sweep brings back.

    Attributes
    ----------
    scores : ndarray of shape (metrics, splits, configurations), float64
        More is better.
    epochs : ndarray of shape (splits, configurations), int64
    converged : ndarray of shape (splits, configurations), bool
    best : int or None
        Number of the best configuration, the first of equals.
    model : TrainedLinear or None
        That configuration trained on all rows.
    seconds : tuple of three float
        That training all configurations, measuring them, and training the best again took.
    """

    scores: np.ndarray
    epochs: np.ndarray
    converged: np.ndarray
    best: int | None
    model: TrainedLinear | None
    seconds: tuple[float, float, float]


def sweep(
    dataset: Dataset,
    configs: Sequence[FitConfig],
    engine: Engine,
    *,
    cv: int | float | None = 5,
    validation: Dataset | None = None,
    metrics: Sequence[str],
    refit: str | None,
    on_report: Callable[[dict], None] = lambda record: None,
) -> Swept:
    """Train and compare configurations over one reading of the data.

    Parameters
    ----------
    dataset : Dataset
        With its label named.
    configs : sequence of FitConfig
        That differ in fields of ``VARYING`` alone.
    engine : Engine
    cv : int, float or None
        Number of folds, or the share of the rows to measure by; None with ``validation``.
    validation : Dataset, optional
        Rows to measure by.
    metrics : sequence of str
        Keys of :data:`dsgd.train.sweep.scores.SCORERS`.
    refit : str or None
        The one of them by which the best configuration is chosen, to be trained on all rows.
    on_report : callable
        Called with a record for each epoch of that last training.

    Raises
    ------
    ConfigError, DataError, WorkerLost
    """
    first = check_configs(configs)
    names, splits = tuple(metrics), ranges(cv)
    fits = make_tasks(dataset, first, validation, None, None, 0.0)
    tasks = [SweepTask(fit, tuple(configs), splits, cv, names, refit) for fit in fits]
    parts = engine.launch("dsgd.train.sweep.worker:run_sweep", tasks, deadline=_START_DEADLINE, on_report=on_report)
    end = 8 + int.from_bytes(parts[0][:8], "little")
    arrays, meta = unpack(parts[0][8:end], "rank 0's result")
    best, model = meta["best"], None
    if best is not None:
        model = trained(dataset, configs[best], RankResult.from_bytes(parts[0][end:]))
    return Swept(arrays["scores"], arrays["epochs"], arrays["converged"] > 0, best, model, tuple(meta["seconds"]))


def check_configs(configs: Sequence[FitConfig]) -> FitConfig:
    """Return the first configuration.

    Raises
    ------
    ConfigError
        When others differ from it in what one reading of the data cannot serve.
    """
    first = configs[0]
    for parameter in fields(FitConfig):
        name = parameter.name
        if name not in VARYING and any(getattr(config, name) != getattr(first, name) for config in configs):
            raise ConfigError(
                f"{name} decides how the data is read or shared out, so it cannot vary within one sweep; what can is "
                f"{', '.join(VARYING)}"
            )
    refuse_mode(first.mode)
    return first


def refuse_mode(mode: Mode) -> None:
    """Raise ConfigError for a mode by which a sweep does not train.

    Examples
    --------
    >>> from dsgd.train.modes import Sync
    >>> refuse_mode(Sync(local_steps=4))
    """
    if isinstance(mode, Columns | Hybrid):
        raise ConfigError(
            f"a search divides rows among its workers, not columns: it needs mode='sync', not {name_of(mode)!r}. Search by that "
            "and fit the best again, or use scikit-learn's GridSearchCV, which makes a fit of each"
        )
    if isinstance(mode, Async):
        raise ConfigError(
            "a search trains all configurations in step: it needs mode='sync', not 'async'. Search by that and fit the best "
            "again, or use scikit-learn's GridSearchCV, which makes a fit of each"
        )
    if mode.topology == "engine" or by_shards(mode) is not None:
        asked = "topology='engine'" if mode.topology == "engine" else f"backup_workers={mode.backup_workers}"
        raise ConfigError(
            f"a search needs workers that sum among themselves, not {asked}: use topology='ring' or 'tree', without "
            "backup_workers"
        )
