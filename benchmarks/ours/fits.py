"""Whole fits: the estimators with their defaults, and the core's ``fit`` where an epoch's own time is wanted.

Timed is what a user waits for: everything inside ``fit``. Evaluation on the held-out rows is not.
"""

from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from ..measure import Sample, Stopwatch, log_loss

# What the engines' fits are given, besides the path: nothing for dense data; for the click set the penalty that serves the peers
# best (see peers/spark.py), and three epochs of averaged AdaGrad, after which nothing more is learnt.
CLICK_PENALTY = 1e-5
SPARK = {
    "dense": {},
    "click": {
        "regParam": CLICK_PENALTY, "optimizer": "adagrad", "stepSize": 0.3, "averaging": True, "maxIter": 3, "tol": 0.0,
        "localSteps": "epoch",
    },
}  # fmt: skip


def dask_parameters(which: str) -> dict:
    """The same for ``dask_ext``."""
    from dsgd import Sync

    if which == "dense":
        return {}
    return {
        "alpha": CLICK_PENALTY, "optimizer": "adagrad", "eta0": 0.3, "average": True, "max_iter": 3, "tol": None,
        "mode": Sync(local_steps="epoch"),
    }  # fmt: skip


def in_memory(X, y, X_test, y_test, **parameters) -> Sample:
    """``dsgd.SGDClassifier(**parameters).fit(X, y)``."""
    from dsgd import SGDClassifier

    model = SGDClassifier(**parameters)
    clock = Stopwatch()
    with clock.running():
        model.fit(X, y)
    return Sample(clock.seconds, log_loss(model.decision_function(X_test), y_test), {"epochs": int(model.n_iter_)})


def in_memory_table(directory: Path, table, **parameters) -> Sample:
    """``dsgd.SGDClassifier(**parameters)`` on an Arrow table of the click set's training rows, strings as dictionaries."""
    from dsgd import SGDClassifier

    model = SGDClassifier(**parameters)
    clock = Stopwatch()
    with clock.running():
        model.fit(table, "label")
    return Sample(clock.seconds, held_out_loss(model, directory), {"epochs": int(model.n_iter_)})


def with_spark(spark, directory: Path, **parameters) -> Sample:
    """``spark_ext.SGDClassifier`` on the executors of ``spark``, from the Parquet path."""
    from dsgd import read_parquet
    from spark_ext import SGDClassifier

    estimator = SGDClassifier(**parameters)
    clock = Stopwatch()
    with clock.running():
        model = estimator.fitParquet(read_parquet(str(directory / "train"), label="label"))
    rows = model.transform(spark.read.parquet(str(directory / "test"))).select("rawPrediction", "label").toPandas()
    score = np.array([vector[1] for vector in rows["rawPrediction"]])
    return Sample(clock.seconds, log_loss(score, rows["label"].to_numpy()))


def with_dask(directory: Path, **parameters) -> Sample:
    """``dask_ext.SGDClassifier`` on the workers of the current client, from the Parquet path."""
    from dask_ext import SGDClassifier
    from dsgd import read_parquet

    model = SGDClassifier(**parameters)  # finds the current client
    clock = Stopwatch()
    with clock.running():
        model.fit(read_parquet(str(directory / "train"), label="label"))
    return Sample(clock.seconds, held_out_loss(model, directory), {"epochs": int(model.n_iter_)})


def held_out_loss(model, directory: Path) -> float:
    """Log-loss of a fitted estimator on the Parquet files of ``directory/test``."""
    import pyarrow.parquet as pq

    from dsgd import read_parquet

    labels = pq.read_table(directory / "test", columns=["label"])["label"].to_numpy()
    return log_loss(model.decision_function(read_parquet(str(directory / "test"))), labels)


def epochs(dataset, ranks: int, **parameters) -> Sample:
    """Median seconds of an epoch after the first, from the history of the core's ``fit`` on ``ranks`` local ranks."""
    from dsgd.train.config import FitConfig
    from dsgd.train.fit import fit
    from dsgd.train.local import LocalEngine

    config = FitConfig(n_workers=ranks, tol=None, **parameters)
    engine = LocalEngine()
    try:
        trained = fit(dataset, config, engine)
    finally:
        engine.close()
    marks = [record["seconds"] for record in trained.history]  # since the start of training
    epochs = [after - before for before, after in pairwise(marks)]
    return Sample(median(epochs), detail={"epochs": len(epochs), "rows": trained.history[-1]["rows"]})
