"""Estimators, models and engine for Spark: the stages of ``pyspark.ml`` under Spark's own names.

Each is imported when it is first asked for: Spark's Python workers need none of them, and would wait for scikit-learn.
"""

from typing import TYPE_CHECKING

from dsgd.importing import importing_later, require_packages

require_packages("spark_ext", "spark", "pyspark", "pandas")

if TYPE_CHECKING:
    from .classifier import SGDClassifier
    from .cluster.engine import SparkEngine
    from .models.model import SGDClassificationModel, SGDRegressionModel
    from .regressor import SGDRegressor

__all__ = ["SGDClassificationModel", "SGDClassifier", "SGDRegressionModel", "SGDRegressor", "SparkEngine"]

__getattr__, __dir__ = importing_later(
    __name__,
    {
        "SGDClassificationModel": ".models.model",
        "SGDClassifier": ".classifier",
        "SGDRegressionModel": ".models.model",
        "SGDRegressor": ".regressor",
        "SparkEngine": ".cluster.engine",
    },
)
