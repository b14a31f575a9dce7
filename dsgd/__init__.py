"""dsgd: parallel stochastic gradient descent inside the Spark or Dask cluster that people already have.

Estimators and readers are imported when they are first asked for: a worker that only needs an error class does not load
scikit-learn.
"""

from typing import TYPE_CHECKING

from .errors import CheckpointError, ConfigError, DataError, DSGDError, WorkerLost
from .importing import importing_later
from .train.checkpoints.settings import Checkpoint
from .train.modes import Async, Columns, Hybrid, Sync

if TYPE_CHECKING:
    from .data import read_parquet
    from .estimators import SGDClassifier, SGDOneClassSVM, SGDRegressor, SweepCV
    from .fitted import LinearModel, load
    from .fitted.blocks.predicting import predict_in_blocks

__version__ = "0.1.0"

__all__ = [
    "Async",
    "Checkpoint",
    "CheckpointError",
    "Columns",
    "ConfigError",
    "DSGDError",
    "DataError",
    "Hybrid",
    "LinearModel",
    "SGDClassifier",
    "SGDOneClassSVM",
    "SGDRegressor",
    "SweepCV",
    "Sync",
    "WorkerLost",
    "__version__",
    "load",
    "predict_in_blocks",
    "read_parquet",
]

__getattr__, __dir__ = importing_later(
    __name__,
    {
        "LinearModel": ".fitted",
        "SGDClassifier": ".estimators",
        "SGDOneClassSVM": ".estimators",
        "SGDRegressor": ".estimators",
        "SweepCV": ".estimators",
        "load": ".fitted",
        "predict_in_blocks": ".fitted.blocks.predicting",
        "read_parquet": ".data",
    },
)
