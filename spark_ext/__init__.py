"""Estimators, models and engine for Spark: the stages of ``pyspark.ml`` under Spark's own names.

Each is imported when it is first asked for: Spark's Python workers need none of them, and would wait for scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsgd.errors import require_packages

require_packages("spark_ext", "spark", "pyspark", "pandas")

if TYPE_CHECKING:
    from .engine import SparkEngine
    from .estimator import SGDClassifier, SGDRegressor
    from .model import SGDClassificationModel, SGDRegressionModel

__all__ = ["SGDClassificationModel", "SGDClassifier", "SGDRegressionModel", "SGDRegressor", "SparkEngine"]

_MODULES = {
    "SGDClassificationModel": "model",
    "SGDClassifier": "estimator",
    "SGDRegressionModel": "model",
    "SGDRegressor": "estimator",
    "SparkEngine": "engine",
}


def __getattr__(name: str) -> Any:
    """Import what the name stands for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(f".{_MODULES[name]}", __name__), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
