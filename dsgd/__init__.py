"""dsgd: parallel stochastic gradient descent inside the Spark or Dask cluster that people already have.

Estimators and readers are imported when they are first asked for: a worker that only needs an error class does not load
scikit-learn.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError, ConfigError, DataError, DSGDError, WorkerLost
from .train.modes import Sync

if TYPE_CHECKING:
    from .data import read_parquet
    from .estimators import SGDClassifier, SGDRegressor
    from .fitted import LinearModel, load

__version__ = "0.1.0"

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DSGDError",
    "DataError",
    "LinearModel",
    "SGDClassifier",
    "SGDRegressor",
    "Sync",
    "WorkerLost",
    "__version__",
    "load",
    "read_parquet",
]

_LATER = {
    "LinearModel": ".fitted",
    "SGDClassifier": ".estimators",
    "SGDRegressor": ".estimators",
    "load": ".fitted",
    "read_parquet": ".data",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LATER[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
