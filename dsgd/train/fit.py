"""The driver's side of a fit: a dataset, a configuration and an engine in; a trained model out."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from ..data.going_on import with_features_of
from ..errors import ConfigError, DataError
from ..losses import make_loss
from ..transport.keys import FitKeys
from . import again
from .checkpoints.beginning import carried_on, checkpointed
from .checkpoints.kept import Orders
from .columns.keeping import Keep
from .config import FitConfig, TrainedLinear
from .engine import Engine
from .modes import Columns, Hybrid, by_shards, is_gang
from .task import FitTask, RankResult
from .used_weights import widen

_START_DEADLINE = 120.0
_LABEL_TYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "string": np.str_}


def fit(
    dataset: Dataset,
    config: FitConfig,
    engine: Engine,
    *,
    validation: Dataset | None = None,
    initial: TrainedLinear | None = None,
    classes=None,
    seen: float = 0.0,
    on_report: Callable[[dict], None] = lambda record: None,
    keep: Keep | None = None,
) -> TrainedLinear:
    """Train a linear model.

    Parameters
    ----------
    dataset : Dataset
        With its label named; see ``dsgd.data``.
    config : FitConfig
    engine : Engine
    validation : Dataset, optional
        For early stopping, instead of a fraction of ``dataset``.
    initial : TrainedLinear, optional
        Where to start (warm start, ``partial_fit``). Its features and classes are kept, columns being found by their
        names; data that has others is refused.
    classes : array-like, optional
        All classes that there can be, when ``dataset`` need not hold all of them (``partial_fit``).
    seen : float
        Weight of the rows that ``initial`` was trained on (``initial.state["weight"]``), when this data adds to them
        (``partial_fit``): ``alpha="auto"`` is 1 / (weight of all).
    on_report : callable
        Called with a small record for each epoch while the fit runs, as far as the engine can bring them.
    keep : Keep, optional
        With column blocks: who keeps them, so that no process has all weights; ``kept`` of the answer is then the list of what
        the writers have returned, in the order of the blocks.

    Raises
    ------
    CheckpointError, ConfigError, DataError, WorkerLost
    """
    if dataset.roles.label is None:
        raise ConfigError("the dataset has no label; name it: read_parquet(path, label='...')")
    if initial is not None:
        dataset = with_features_of(dataset, initial.spec)
        classes = initial.classes if classes is None else classes
    if config.checkpoint is not None:
        _check(dataset, validation)
    carried = again.carry()
    if carried is not None and config.checkpoint is None and is_gang(config.mode):
        config, going_on = carried_on(config, carried)
        left = {"left": carried.left}
        return _fit(dataset, config, engine, validation, initial, classes, seen, on_report, going_on, keep, left)
    with checkpointed(dataset, config, validation, initial) as orders:
        return _fit(dataset, config, engine, validation, initial, classes, seen, on_report, orders, keep, {})


def _fit(
    dataset, config, engine, validation, initial, classes, seen, on_report, orders, keep, carried: dict[str, Any]
) -> TrainedLinear:
    """As the mode has it."""
    if config.mode.topology == "engine":
        from .driver_rounds import fit_rounds

        return fit_rounds(dataset, config, engine, validation, initial, classes, seen, on_report, orders)
    if by_shards(config.mode) is not None:
        from .asynchronous.fit import fit_crew

        _check(dataset, validation)
        result = fit_crew(dataset, config, engine, validation, initial, classes, seen, on_report, orders)
        return trained(dataset, config, result)
    if isinstance(config.mode, (Columns, Hybrid)):
        from .columns.fit import fit_grid

        _check(dataset, validation)
        result = fit_grid(dataset, config, engine, validation, initial, classes, seen, on_report, orders, keep, carried)
        return trained(dataset, config, result)
    tasks = make_tasks(dataset, config, validation, initial, classes, seen, orders)
    parts = engine.launch("dsgd.train.worker:run_rank", tasks, deadline=_START_DEADLINE, on_report=on_report, **carried)
    return trained(dataset, config, RankResult.from_bytes(parts[0]))


def make_tasks(dataset, config, validation, initial, classes, seen, orders: Orders | None = None) -> list[FitTask]:
    """One task a rank; ranks beyond the rows get none, and join all the same."""
    size = config.n_workers
    _check(dataset, validation)
    shares = dataset.shares(size)
    if validation is not None:
        validation = validation.with_spec(dataset.spec)
        held_out = validation.shares(size)
    start = None
    if initial is not None:
        start = {"coef": initial.coef, "intercept": initial.intercept, "state": initial.state}
    keys = FitKeys.generate() if size > 1 else None
    tasks = []
    for rank in range(size):
        own, own_splits = dataset.only(shares[rank])
        kept, kept_splits = (None, []) if validation is None else validation.only(held_out[rank])
        names = None if classes is None else np.asarray(classes).tolist()
        tasks.append(FitTask(own, own_splits, kept, kept_splits, config, names, start, keys, seen, orders))
    return tasks


def _check(dataset: Dataset, validation: Dataset | None) -> None:
    """Raise DataError or ConfigError for sets that no fit can have."""
    if not any(split.rows for split in dataset.splits()):
        raise DataError(f"{dataset!r} has no rows; a fit needs at least one (check the path and the filters)")
    if validation is not None:
        _check_offsets(dataset, validation)


def _check_offsets(dataset: Dataset, validation: Dataset) -> None:
    """Raise ConfigError unless both sets have an offset, or neither: scores without it are not those of the model."""
    if (dataset.roles.offset is None) != (validation.roles.offset is None):
        rows = ["training rows", "validation rows"]
        lacks, has = rows if dataset.roles.offset is None else rows[::-1]
        raise ConfigError(
            f"the {has} have an offset and the {lacks} have none; give both one, as in "
            "validation=(X, y, sample_weight, offset), or neither"
        )


def trained(dataset: Dataset, config: FitConfig, result: RankResult) -> TrainedLinear:
    """The model from rank 0's answer."""
    meta, arrays = result.meta, widen(result.arrays, dataset.spec.layout)
    spec = dataset.spec if meta["means"] is None else dataset.spec.with_means(meta["means"])
    classes = None
    if meta["classes"] is not None:
        classes = np.array(meta["classes"], _LABEL_TYPES[meta["class_kind"]])
    loss: Any = make_loss(config.loss, epsilon=config.epsilon, quantile=config.quantile, power=config.power)
    state = {name: arrays.get(f"state_{name}") for name in ("first", "second")} | {
        "step": meta["step"],
        "rule": meta["rule"],
        "weight": meta["weight"],
    }
    return TrainedLinear(
        # What came by wire is read-only, and a model's weights are its owner's.
        coef=np.array(arrays["coef"]),
        intercept=np.array(arrays["intercept"]),
        classes=classes,
        spec=spec,
        loss=loss.name,
        loss_parameters={name: float(value) for name, value in loss._asdict().items()},
        outputs=meta["outputs"],
        epochs=len(meta["history"]),
        steps=meta["step"],
        history=tuple(meta["history"]),
        converged=meta["converged"],
        state=state,
        kept=meta.get("kept"),
    )
