"""The errors that a user of dsgd can meet.

Every message says what was expected, what was found and what to do next. All of them derive from
:class:`DSGDError`, and each also from the built-in exception that callers of scikit-learn, Spark and Dask
already catch.
"""


class DSGDError(Exception):
    """Base of every error that dsgd raises on purpose."""


class ConfigError(DSGDError, ValueError):
    """The parameters, or the cluster, cannot do what was asked; raised before any work starts."""


class DataError(DSGDError, ValueError):
    """The data cannot be used; the message names the column, the file and the row where it can."""


class WorkerLost(DSGDError, RuntimeError):
    """A peer died, or was silent past the deadline."""


class CheckpointError(DSGDError, RuntimeError):
    """A checkpoint or a saved model is damaged, foreign, or of a format this version cannot read."""
