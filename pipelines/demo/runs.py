"""The demo's fits: the same data, label and seed on every engine, each model measured on the months it has not seen.

In: an engine, a mode and where the data is; out: a :class:`~pipelines.demo.result.Result`. Every model is saved by the
engine's face and loaded by the local one before it is measured, as a user would who trains on a cluster and predicts
elsewhere.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from dsgd import Async, Columns, Sync, read_parquet
from dsgd.fitted import load
from dsgd.train.modes import Mode

from ..faces import build, train
from .flights import CATEGORICAL, FIRST_HELD_OUT_MONTH, INTERACTIONS, LABEL, NUMERIC
from .result import Result

RANKS = 2
SEED = 0


@dataclass(frozen=True)
class Run:
    """One line of the table."""

    engine: str
    name: str
    mode: Mode
    ranks: int = RANKS


RUNS = (
    Run("local", "one rank", Sync(), ranks=1),
    Run("local", "ring", Sync()),
    Run("local", "model averaging", Sync(local_steps="epoch")),
    Run("local", "asynchronous", Async()),
    Run("local", "column blocks", Columns()),
    Run("dask", "ring", Sync()),
    Run("dask", "tree-aggregate", Sync(topology="engine")),
    Run("dask", "asynchronous", Async()),
    Run("dask", "column blocks", Columns()),
    Run("spark", "ring", Sync()),
    Run("spark", "tree-aggregate", Sync(topology="engine")),
    # A shard takes one of the session's two slots.
    Run("spark", "asynchronous", Async(), ranks=1),
    Run("spark", "column blocks", Columns()),
)


def runs_by_engine(runs: tuple[Run, ...]) -> Iterator[tuple[str, list[Run]]]:
    """Group the runs so that each engine's session is opened once."""
    for engine in dict.fromkeys(run.engine for run in runs):
        yield engine, [run for run in runs if run.engine == engine]


def dataset(path: Path, *, held_out: bool):
    """The flights that arrived, of the months for training or of those held out."""
    month = pc.field("month")
    months = month >= FIRST_HELD_OUT_MONTH if held_out else month < FIRST_HELD_OUT_MONTH
    return read_parquet(
        str(path),
        label=LABEL,
        numeric=list(NUMERIC),
        categorical=list(CATEGORICAL),
        interactions=list(INTERACTIONS),
        missing="mean",
        filters=months & pc.field(LABEL).is_valid(),
    )


def agreement(models: Path, name: str = "ring") -> str:
    """Say whether the engines' models of one mode have the same weights, bit for bit.

    Returns
    -------
    str
        Empty when fewer than two engines ran.
    """
    engines = [run.engine for run in RUNS if run.name == name and (models / folder(run)).is_dir()]
    coefs = [load(models / f"{engine}-{name}").coef for engine in engines]
    if len(coefs) < 2:
        return ""
    same = all(coef.tobytes() == coefs[0].tobytes() for coef in coefs[1:])
    return f"The {name} on {', '.join(engines)}: {'the same' if same else 'NOT the same'} weights, bit for bit."


def folder(run: Run) -> str:
    """Name of the model's directory."""
    return f"{run.engine}-{run.name.replace(' ', '-')}"


def fit_once(run: Run, data: Path, models: Path) -> Result:
    """Fit, save, load, measure; the engine's session is open already."""
    parameters = {"standardize": True, "n_workers": run.ranks, "random_state": SEED}
    estimator = build(run.engine, "classification", parameters, run.mode)
    start = time.perf_counter()
    model = train(run.engine, estimator, dataset(data, held_out=False))
    seconds = time.perf_counter() - start
    place = models / folder(run)
    model.save(str(place))
    loaded = load(place)
    metrics = loaded.evaluate(dataset(data, held_out=True))
    return Result(
        engine=run.engine,
        mode=f"{run.name}, {run.ranks} rank{'s' if run.ranks > 1 else ''}" if run.name != "one rank" else run.name,
        seconds=seconds,
        rows=sum(row["rows"] for row in loaded.history),
        log_loss=metrics["log_loss"],
        auc=metrics["auc"],
        passes=len(loaded.history),
        training=loaded.history[-1]["seconds"],
    )
