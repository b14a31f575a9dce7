"""One way to build and run an estimator of any engine: what the command line and the demo share.

In: an engine's name, a task and parameters under scikit-learn's names; out: a fitted model that saves itself. The
engines' packages are imported when they are asked for.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from dsgd import ConfigError
from dsgd.estimators.parameters import configuration
from dsgd.train.checkpoints.settings import resolve as resolve_checkpoint
from dsgd.train.modes import Mode, name_of, resolve

from .sessions import dask_client, spark_session

ENGINES = {"local": "dsgd", "dask": "dask_ext", "spark": "spark_ext"}
TASKS = {"classification": "SGDClassifier", "regression": "SGDRegressor"}

# Spark has no name for the kind of penalty: the share of l1 tells it.
L1_SHARE = {"l2": 0.0, "l1": 1.0}


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


def check(task: str, parameters: Mapping[str, Any], mode: Mode | None = None) -> None:
    """Raise ConfigError for parameters that no fit can have, before an engine is started."""
    defaults = getattr(importlib.import_module("dsgd"), TASKS[task])().get_params()
    chosen = defaults | dict(parameters) | ({} if mode is None else {"mode": mode})
    configuration(task, chosen, dtype="float32", n_workers=chosen["n_workers"])


def build(engine: str, task: str, parameters: Mapping[str, Any], mode: Mode | None = None) -> Any:
    """Return the engine's estimator for a task.

    What is not given has the default of the local face, on every engine, so that the same words train the same model.
    """
    defaults = getattr(importlib.import_module("dsgd"), TASKS[task])().get_params()
    face = getattr(importlib.import_module(ENGINES[engine]), TASKS[task])
    chosen = dict(parameters) | ({} if mode is None else {"mode": mode})
    if engine == "spark":
        return face(**spark_parameters(defaults | chosen))
    return face(**chosen)


def spark_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Translate an estimator's parameters to Spark's names.

    Examples
    --------
    >>> from dsgd import Sync
    >>> translated = spark_parameters({"alpha": 0.01, "penalty": "l1", "max_iter": 5, "mode": Sync(topology="tree")})
    >>> translated["regParam"], translated["elasticNetParam"], translated["maxIter"], translated["topology"]
    (0.01, 1.0, 5, 'tree')
    """
    from spark_ext.params.names import CORE_NAMES, MODE_NAMES

    translated = {name: parameters[core] for name, core in CORE_NAMES.items() if parameters.get(core) is not None}
    penalty = parameters.get("penalty", "l2")
    if penalty in (None, "none"):
        translated["regParam"] = 0.0
    elif penalty in L1_SHARE:
        translated["elasticNetParam"] = L1_SHARE[penalty]
    mode = resolve(parameters.get("mode", "sync"))
    translated["mode"] = name_of(mode)
    knobs = {field.name: getattr(mode, field.name) for field in fields(mode)}
    translated |= {name: knobs[core] for name, core in MODE_NAMES.items() if knobs.get(core) is not None}
    checkpoint = resolve_checkpoint(parameters.get("checkpoint"))
    if checkpoint is not None:
        translated |= {"checkpointPath": checkpoint.path, "checkpointInterval": checkpoint.seconds}
    translated["dtype"] = parameters.get("dtype") or "float32"
    return translated | ({"numWorkers": parameters["n_workers"]} if parameters.get("n_workers") else {})


def train(engine: str, estimator: Any, dataset: Any, validation: Any = None, report: Any = None) -> Any:
    """Fit on a dataset; returns what predicts and saves: the estimator itself, or Spark's model.

    ``report`` is called with each epoch's record, except on Spark, whose tasks have no way to send one.
    """
    extra = {} if validation is None else {"validation": validation}
    if engine == "spark":
        return estimator.fitParquet(dataset, **extra)
    if report is not None:
        estimator.verbose = report
    return estimator.fit(dataset, **extra)


def linear_model(model: Any) -> Any:
    """What a fit on any engine has found: the LinearModel inside an estimator or inside Spark's model."""
    return model.core if hasattr(model, "core") else model.model_


@contextlib.contextmanager
def engine_of(name: str, session: Any) -> Iterator[Any]:
    """Open the engine itself, on what :func:`session` has opened, for work that is no estimator's; None for this machine."""
    if name == "local":
        yield None
        return
    kind = getattr(importlib.import_module(ENGINES[name]), {"dask": "DaskEngine", "spark": "SparkEngine"}[name])
    with kind(session) as engine:
        yield engine
