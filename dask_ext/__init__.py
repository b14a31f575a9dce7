"""Estimators and engine for a Dask cluster: the same names as in ``dsgd``, on the workers of a ``distributed.Client``."""

from dsgd.fitted import LinearModel, load

from .classifier import SGDClassifier
from .engine import DaskEngine
from .regressor import SGDRegressor

__all__ = ["DaskEngine", "LinearModel", "SGDClassifier", "SGDRegressor", "load"]
