"""Estimators, models and engine for Spark: the stages of ``pyspark.ml`` under Spark's own names."""

from dsgd.errors import require_packages

require_packages("spark_ext", "spark", "pyspark", "pandas")

from .engine import SparkEngine  # noqa: E402
from .estimator import SGDClassifier, SGDRegressor  # noqa: E402
from .model import SGDClassificationModel, SGDRegressionModel  # noqa: E402

__all__ = ["SGDClassificationModel", "SGDClassifier", "SGDRegressionModel", "SGDRegressor", "SparkEngine"]
