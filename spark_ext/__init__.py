"""Estimators, models and engine for Spark: the stages of ``pyspark.ml`` under Spark's own names."""

from .engine import SparkEngine
from .estimator import SGDClassifier, SGDRegressor
from .model import SGDClassificationModel, SGDRegressionModel

__all__ = ["SGDClassificationModel", "SGDClassifier", "SGDRegressionModel", "SGDRegressor", "SparkEngine"]
