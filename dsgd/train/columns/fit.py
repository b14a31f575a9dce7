"""The driver's side of model-parallel training: columns to blocks, blocks to ranks, and their weights to one model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...data.column_blocks import ColumnBlock, column_blocks
from ...data.dataset import Dataset, Split
from ...data.layout import Layout
from ...errors import ConfigError
from ...transport.keys import FitKeys
from ..checkpoints.kept import Orders
from ..config import FitConfig, TrainedLinear
from ..engine import Engine
from ..modes import Columns, Hybrid
from ..task import FitTask, RankResult
from ..used_weights import narrow, widen
from .grid import Place
from .keeping import Keep
from .rank import GridTask
from .transpose import divided

_START_DEADLINE = 120.0


def fit_grid(
    dataset: Dataset,
    config: FitConfig,
    engine: Engine,
    validation: Dataset | None,
    initial: TrainedLinear | None,
    classes,
    seen: float,
    on_report: Callable[[dict], None],
    orders: Orders | None = None,
    keep: Keep | None = None,
    carried: dict[str, Any] | None = None,
) -> RankResult:
    """Train with a grid of ranks; the parameters are those of :func:`dsgd.train.fit.fit`, and what the engine is told beside."""
    rows, columns = shape_of(config)
    spec = dataset.spec
    if config.mode.save_to is not None and keep is None:  # type: ignore[union-attr]
        raise ConfigError("save_to is for fits of SGDClassifier and SGDRegressor; leave it out")
    blocks = column_blocks(spec, columns, dataset.values_per_row())
    tasks = make_tasks(dataset, config, blocks, rows, validation, initial, classes, seen, orders, keep)
    function = "dsgd.train.columns.rank:run_rank"
    parts = engine.launch(function, tasks, deadline=_START_DEADLINE, on_report=on_report, **(carried or {}))
    return assembled(spec.layout, blocks, [RankResult.from_bytes(part) for part in parts[:columns]])


def shape_of(config: FitConfig) -> tuple[int, int]:
    """Rows and columns of the grid.

    Raises
    ------
    ConfigError
        When that is not the number of workers.
    """
    mode = config.mode
    if isinstance(mode, Columns):
        return 1, config.n_workers
    assert isinstance(mode, Hybrid)
    if mode.ranks != config.n_workers:
        raise ConfigError(
            f"a grid of rows={mode.rows} and columns={mode.columns} takes {mode.ranks} workers, and n_workers is "
            f"{config.n_workers}; make them agree"
        )
    return mode.rows, mode.columns


def make_tasks(
    dataset: Dataset,
    config: FitConfig,
    blocks: Sequence[ColumnBlock],
    rows: int,
    validation: Dataset | None,
    initial: TrainedLinear | None,
    classes,
    seen: float,
    orders: Orders | None = None,
    keep: Keep | None = None,
) -> list[GridTask]:
    """One task a rank, row by row of the grid."""
    spec, names = dataset.spec, None if classes is None else np.asarray(classes).tolist()
    size = rows * len(blocks)
    keys = FitKeys.generate() if size > 1 else None
    nobody: list[tuple[Dataset | None, list[Split]]] = [(None, [])] * size
    given = divided(dataset, rows, blocks)
    kept = nobody if validation is None else divided(validation.with_spec(spec), rows, blocks)
    starts = [_start(initial, spec.layout, block) for block in blocks]
    whole = any(data is not None and not data.divisible for data in (dataset, validation))
    tasks: list[GridTask] = []
    for (own, splits), (held_out, kept_splits) in zip(given, kept, strict=True):
        place = Place(len(tasks), rows, len(blocks))
        start = starts[place.column]
        fit = FitTask(own, splits, held_out, kept_splits, config, names, start, keys, seen, orders)
        to_divide = tuple(blocks) if whole else ()
        kept_by = None if place.row else keep
        tasks.append(GridTask(fit, place, spec.layout, blocks[place.column].ranges, to_divide, kept_by))
    return tasks


def _start(initial: TrainedLinear | None, layout: Layout, block: ColumnBlock) -> dict[str, Any] | None:
    if initial is None:
        return None
    start = {"coef": initial.coef, "intercept": initial.intercept, "state": initial.state}
    return narrow(start, layout, block.positions())


def assembled(layout: Layout, blocks: Sequence[ColumnBlock], parts: Sequence[RankResult]) -> RankResult:
    """The blocks' results as one: of all weights, or of none where the ranks have kept them."""
    own = [widen(part.arrays, block.spec.layout) for part, block in zip(parts, blocks, strict=True)]
    common = np.array(parts[0].arrays["common"])
    outputs, kept = len(own[0]["coef"]), "kept" in parts[0].meta
    arrays: dict[str, np.ndarray] = {"coef": np.zeros((outputs, 0 if kept else layout.size), own[0]["coef"].dtype)}
    # Each has taken from the intercept what its own columns' means take.
    arrays["intercept"] = common + sum(part["intercept"] - common for part in own)
    names = [name for name in ("state_first", "state_second") if name in own[0]]
    for name in names:
        arrays[name] = np.zeros((layout.size + 1) * len(common), own[0][name].dtype)
        arrays[name][-len(common) :] = own[0][name][-len(common) :]
    means = np.zeros(layout.dense)
    for part, block, result in zip(own, blocks, parts, strict=True):
        begin = 0
        for start, stop in block.ranges:
            end = begin + stop - start
            if not kept:
                arrays["coef"][:, start:stop] = part["coef"][:, begin:end]
            for name in names:
                arrays[name].reshape(-1, len(common))[start:stop] = part[name].reshape(-1, len(common))[begin:end]
            if result.meta["means"] is not None and stop <= layout.dense:
                means[start:stop] = result.meta["means"][begin:end]
            begin = end
    meta = dict(parts[0].meta)
    if kept:
        meta["kept"] = [part.meta["kept"] for part in parts]
    if meta["means"] is not None or any(result.meta["means"] is not None for result in parts):
        meta["means"] = means.tolist()
    return RankResult(arrays, meta)
