"""The estimators of one machine, with scikit-learn's interface."""

from .classifier import SGDClassifier
from .history import History
from .one_class import SGDOneClassSVM
from .regressor import SGDRegressor
from .sweep import SweepCV

__all__ = ["History", "SGDClassifier", "SGDOneClassSVM", "SGDRegressor", "SweepCV"]
