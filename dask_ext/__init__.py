"""Estimators and engine for a Dask cluster: the same names as in ``dsgd``, on the workers of a ``distributed.Client``."""

from dsgd.importing import require_packages

require_packages("dask_ext", "dask", "dask", "distributed", "pandas")

from dsgd.fitted import LinearModel, load  # noqa: E402

from .classifier import SGDClassifier  # noqa: E402
from .engine import DaskEngine  # noqa: E402
from .regressor import SGDRegressor  # noqa: E402
from .sweep import SweepCV  # noqa: E402

__all__ = ["DaskEngine", "LinearModel", "SGDClassifier", "SGDRegressor", "SweepCV", "load"]
