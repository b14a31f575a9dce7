"""The driver's side of an asynchronous fit: a dataset, a configuration and an engine in; a trained model out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...data.dataset import Dataset, Split
from ...errors import ConfigError
from ...transport.keys import FitKeys
from ..config import FitConfig, TrainedLinear
from ..engine import Engine
from ..modes import by_shards
from ..task import RankResult
from .task import CrewTask, Lot

_START_DEADLINE = 120.0
# Lots for each worker, where any worker can read any rows: what is left when one worker is done is shared by all.
_LOTS_A_WORKER = 4


def fit_crew(
    dataset: Dataset,
    config: FitConfig,
    engine: Engine,
    validation: Dataset | None,
    initial: TrainedLinear | None,
    classes,
    seen: float,
    on_report: Callable[[dict], None],
) -> RankResult:
    """Train with a crew; the parameters are those of :func:`dsgd.train.fit.fit`."""
    mode = by_shards(config.mode)
    assert mode is not None
    backups, workers = config.mode.backup_workers, config.n_workers
    if backups >= workers:
        raise ConfigError(f"backup_workers={backups} of {workers} workers leave none to wait for; use more n_workers")
    tasks = make_tasks(dataset, config, mode, validation, initial, classes, seen)
    data = engine.crew(
        "dsgd.train.asynchronous.member:run_member",
        tasks,
        servers=mode.shards,
        deadline=_START_DEADLINE,
        on_report=on_report,
        restarts=mode.restarts,
    )
    return RankResult.from_bytes(data)


def make_tasks(dataset, config, mode, validation, initial, classes, seen) -> list[CrewTask]:
    """One task a member: the shards have no rows; workers have all lots, or their own where rows are bound to them."""
    bound = not (dataset.anywhere and (validation is None or validation.anywhere))
    count = config.n_workers * (1 if bound else _LOTS_A_WORKER)
    lots = _lots(dataset, validation, count)
    if not bound:
        lots = [lot for lot in lots if lot.splits or lot.validation_splits]
    workers = config.n_workers
    owners = [number * workers // len(lots) for number in range(len(lots))]
    start = None
    if initial is not None:
        start = {"coef": initial.coef, "intercept": initial.intercept, "state": initial.state}
    names = None if classes is None else np.asarray(classes).tolist()
    shards = mode.shards
    common = CrewTask(
        dataset.only([])[0] if bound else dataset, {}, owners, bound, validation is not None, config, mode, names, start, seen,
        FitKeys.generate(), shards, workers,
    )  # fmt: skip
    tasks = [common] * shards
    for worker in range(workers):
        own = {number: lot for number, lot in enumerate(lots) if not bound or owners[number] == worker}
        tasks.append(replace(common, lots=own))
    return tasks


def _lots(dataset: Dataset, validation: Dataset | None, count: int) -> list[Lot]:
    shares = dataset.shares(count)
    kept: list[list[Split]] = [[] for _ in range(count)]
    if validation is not None:
        validation = validation.with_spec(dataset.spec)
        kept = validation.shares(count)
    lots = []
    for share, held_out in zip(shares, kept, strict=True):
        own, splits = dataset.only(share)
        own_kept, kept_splits = (None, []) if validation is None else validation.only(held_out)
        lots.append(Lot(own, splits, own_kept, kept_splits))
    return lots
