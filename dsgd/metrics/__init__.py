"""Metrics: sums over rows that add up over blocks and ranks, and the numbers that they give."""

from .auc import AUC
from .base import Metric, Metrics
from .binary import Accuracy, BinaryLogLoss, Calibration
from .choice import MeanLoss, metrics_for
from .multiclass import ClassAccuracy, ClassLogLoss
from .regression import Deviance, Errors

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryLogLoss",
    "Calibration",
    "ClassAccuracy",
    "ClassLogLoss",
    "Deviance",
    "Errors",
    "MeanLoss",
    "Metric",
    "Metrics",
    "metrics_for",
]
