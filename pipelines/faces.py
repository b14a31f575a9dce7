"""One way to build and run an estimator of any engine: what the command line and the demo share.

In: an engine's name, a task and parameters under scikit-learn's names; out: a fitted model that saves itself. The
engines' packages are imported when they are asked for.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsgd import ConfigError, Sync

from .sessions import dask_client, spark_session

ENGINES = {"local": "dsgd", "dask": "dask_ext", "spark": "spark_ext"}
TASKS = {"classification": "SGDClassifier", "regression": "SGDRegressor"}

# What the other faces call by scikit-learn's name, and Spark's by its own.
SPARK_NAMES = {
    "loss": "loss",
    "optimizer": "optimizer",
    "alpha": "regParam",
    "l1_ratio": "elasticNetParam",
    "max_iter": "maxIter",
    "batch_size": "batchSize",
    "learning_rate": "learningRate",
    "eta0": "stepSize",
    "tol": "tol",
    "random_state": "seed",
    "standardize": "standardization",
    "n_workers": "numWorkers",
    "verbose": "verbose",
}
# Spark has no name for the penalty: it is told by the two strengths.
SPARK_PENALTIES: dict[str | None, dict[str, float]] = {
    None: {"regParam": 0.0},
    "none": {"regParam": 0.0},
    "l2": {"elasticNetParam": 0.0},
    "l1": {"elasticNetParam": 1.0},
    "elasticnet": {},
}


@contextlib.contextmanager
def session(
    engine: str, *, workers: int | None = None, address: str | None = None, log: Path | None = None
) -> Iterator[Any]:
    """Open what the engine needs: nothing, a Dask client or a Spark session.

    Parameters
    ----------
    engine : {"local", "dask", "spark"}
    workers : int, optional
        Workers to start when there is no ``address``.
    address : str, optional
        Dask's scheduler, or Spark's master.
    log : Path, optional
        Takes what Spark prints.
    """
    if engine == "local":
        yield None
    elif engine == "dask":
        with dask_client(address, workers) as client:
            yield client
    elif engine == "spark":
        with spark_session(address, workers, log) as spark:
            yield spark
    else:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")


def build(engine: str, task: str, parameters: Mapping[str, Any], mode: Sync | None = None) -> Any:
    """Return the engine's estimator for a task; parameters that are not given keep the estimator's defaults."""
    face = getattr(importlib.import_module(ENGINES[engine]), TASKS[task])
    if engine != "spark":
        return face(**parameters, **({} if mode is None else {"mode": mode}))
    return face(**spark_parameters(parameters, mode))


def spark_parameters(parameters: Mapping[str, Any], mode: Sync | None = None) -> dict[str, Any]:
    """Translate to Spark's names.

    Raises
    ------
    ConfigError
        For a parameter that Spark's face does not have.

    Examples
    --------
    >>> spark_parameters({"alpha": 0.01, "penalty": "l1", "max_iter": 5}, Sync(topology="tree"))
    {'elasticNetParam': 1.0, 'regParam': 0.01, 'maxIter': 5, 'mode': 'sync', 'topology': 'tree', 'localSteps': '1', ...}
    """
    left = dict(parameters)
    translated: dict[str, Any] = {}
    if "penalty" in left:
        translated |= SPARK_PENALTIES[left.pop("penalty")]
    for name, value in left.items():
        if name not in SPARK_NAMES:
            raise ConfigError(f"{name} is not a parameter of Spark's estimators")
        translated.setdefault(SPARK_NAMES[name], value)
    if mode is not None:
        translated |= {
            "mode": "sync",
            "topology": mode.topology,
            "localSteps": str(mode.local_steps),
            "compression": mode.compression,
        }
    return translated


def train(engine: str, estimator: Any, dataset: Any, validation: Any = None, report: Any = None) -> Any:
    """Fit on a dataset; returns what predicts and saves: the estimator itself, or Spark's model.

    ``report`` is called with each epoch's record.
    """
    extra = {} if validation is None else {"validation": validation}
    if report is not None:
        estimator.verbose = report
    if engine == "spark":
        return estimator.fitParquet(dataset, **extra)
    return estimator.fit(dataset, **extra)
