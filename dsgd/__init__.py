"""dsgd: parallel stochastic gradient descent inside the Spark or Dask cluster that people already have."""

from .errors import CheckpointError, ConfigError, DataError, DSGDError, WorkerLost

__version__ = "0.1.0"

__all__ = ["CheckpointError", "ConfigError", "DSGDError", "DataError", "WorkerLost", "__version__"]
