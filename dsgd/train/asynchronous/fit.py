"""The driver's side of an asynchronous fit: a dataset, a configuration and an engine in; a trained model out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...data.dataset import Dataset, Split, assign
from ...errors import ConfigError
from ...transport.keys import FitKeys
from ..checkpoints.kept import Orders
from ..config import FitConfig, TrainedLinear
from ..engine import Engine
from ..modes import Async, by_shards
from ..task import RankResult
from .start import rule_of
from .task import CrewTask, Lot

_START_DEADLINE = 120.0
# Optimisers whose steps workers may take apart from each other.
ADDITIVE_RULES = ("sgd", "adagrad", "ftrl")
# Lots for each worker: what is left when one is done is for all to take, and epochs end soon after each other's.
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
    orders: Orders | None = None,
) -> RankResult:
    """Train with a crew; the parameters are those of :func:`dsgd.train.fit.fit`."""
    mode = by_shards(config.mode)
    assert mode is not None
    backups, workers = config.mode.backup_workers, config.n_workers
    mode = with_steps(mode, rule_of(config))
    config = replace(config, mode=mode if isinstance(config.mode, Async) else config.mode)
    if backups >= workers:
        raise ConfigError(f"backup_workers={backups} of {workers} workers leave none to wait for; use more n_workers")
    tasks = make_tasks(dataset, config, mode, validation, initial, classes, seen, orders)
    data = engine.crew(
        "dsgd.train.asynchronous.member:run_member",
        tasks,
        servers=mode.shards,
        deadline=_START_DEADLINE,
        on_report=on_report,
        restarts=mode.restarts,
    )
    return RankResult.from_bytes(data)


def with_steps(mode: Async, rule: str) -> Async:
    """The mode, ``local_steps="auto"`` only where workers can take steps of their own.

    Raises
    ------
    ConfigError
        Where they cannot, and are to take several.

    Examples
    --------
    >>> with_steps(Async(), "adagrad").local_steps, with_steps(Async(), "adam").local_steps
    ('auto', 1)
    """
    apart = rule in ADDITIVE_RULES
    if not apart and mode.local_steps not in ("auto", 1):
        raise ConfigError(
            f"workers cannot take steps of their own with optimizer={rule!r}, whose state does not add up: local_steps must be 1 "
            f"or 'auto', not {mode.local_steps}; or use one of {', '.join(map(repr, ADDITIVE_RULES))}"
        )
    if mode.local_steps == "auto" and not (apart and mode.staleness != 0 and mode.correction == "none"):
        return replace(mode, local_steps=1)
    return mode


def make_tasks(
    dataset, config, mode, validation, initial, classes, seen, orders: Orders | None = None
) -> list[CrewTask]:
    """One task a member: the shards have no rows; workers have all lots, or their own where rows are bound to them."""
    bound = not (dataset.anywhere and (validation is None or validation.anywhere))
    lots, owners = _lots(dataset, validation, config.n_workers, bound)
    start = None
    if initial is not None:
        start = {"coef": initial.coef, "intercept": initial.intercept, "state": initial.state}
    names = None if classes is None else np.asarray(classes).tolist()
    common = CrewTask(
        dataset.only([])[0] if bound else dataset, {}, owners, bound, validation is not None, config, mode, names, start, seen,
        FitKeys.generate(), mode.shards, config.n_workers, orders,
    )  # fmt: skip
    tasks = [common] * mode.shards
    for worker in range(config.n_workers):
        own = {number: lot for number, lot in enumerate(lots) if not bound or owners[number] == worker}
        tasks.append(replace(common, lots=own))
    return tasks


def _lots(dataset: Dataset, validation: Dataset | None, workers: int, bound: bool) -> tuple[list[Lot], list[int]]:
    """The lots, and the worker that each is given to first."""
    rows = _pieces(dataset, workers, bound)
    kept: list[list[Split]] = [[] for _ in rows]
    if validation is not None:
        validation = validation.with_spec(dataset.spec)
        kept = _pieces(validation, workers, bound)
    lots, owners = [], []
    for number, (splits, held_out) in enumerate(zip(rows, kept, strict=True)):
        if splits or held_out:
            own, own_kept = dataset.only(splits), (None, []) if validation is None else validation.only(held_out)
            lots.append(Lot(*own, *own_kept))
            owners.append(number // _LOTS_A_WORKER)
    return lots, owners


def _pieces(dataset: Dataset, workers: int, bound: bool) -> list[list[Split]]:
    """The splits of each lot, worker by worker."""
    if not bound:
        return dataset.shares(workers * _LOTS_A_WORKER)
    return [piece for share in dataset.shares(workers) for piece in assign(share, _LOTS_A_WORKER)]
