"""The fitted models on Spark, under the names that Spark ML would give them."""
# ruff: noqa: N802

from typing import Any

import numpy as np
from pyspark.ml.linalg import DenseVector, Vectors

from dsgd.fitted import LinearModel

from ..params.record_params import ClassifierRecord
from ..params.shared import ProbabilityParams
from .base_model import SGDModel
from .curves import BinarySGDClassificationSummary, BinarySGDClassificationTrainingSummary
from .regression_summary import SGDRegressionSummary, SGDRegressionTrainingSummary
from .summary import SGDClassificationSummary, SGDClassificationTrainingSummary, Summary
from .thresholds import Decision, decision_for


class SGDClassificationModel(SGDModel, ClassifierRecord, ProbabilityParams):
    """A fitted classifier: adds ``rawPrediction``, ``probability`` (for losses that have one) and ``prediction``.

    A prediction is the label as it was trained on: a double, a boolean or a string.

    Parameters
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task = "classification"
    _outputs = ("rawPredictionCol", "probabilityCol", "predictionCol")

    def __init__(self, core: LinearModel):
        super().__init__(core)
        self._setDefault(loss=core.loss, threshold=0.5 if self._probable else 0.0)

    @property
    def _probable(self) -> bool:
        return self.core.loss_object.probabilities

    def check_thresholds(self) -> None:
        """Raise ConfigError for thresholds that contradict each other; without probabilities, any score may be one."""
        if self._probable:
            super().check_thresholds()

    def decision(self) -> Decision:
        """Return how a class is chosen.

        Raises
        ------
        ConfigError
            When ``threshold`` or ``thresholds`` do not suit the classes or the loss.
        """
        self.check_thresholds()
        threshold, thresholds = (
            self.getOrDefault(name) if self.isSet(name) else None for name in ("threshold", "thresholds")
        )
        return decision_for(self.core, threshold, thresholds)

    @property
    def numClasses(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def classes(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        return np.asarray(self.core.classes)

    def predict(self, value: Any) -> Any:
        """Return the class of one vector, by the thresholds; as in :meth:`SGDRegressionModel.predict`.

        Parameters
        ----------
        value : DenseVector or SparseVector
        """
        scores = self._score(value)
        probabilities = self.core.probabilities(scores) if self._probable else None
        found = self.classes[self.decision().positions(scores, probabilities)][0].item()
        return float(found) if isinstance(found, int) and not isinstance(found, bool) else found

    def predictRaw(self, value: Any) -> DenseVector:
        """Return the scores of the classes for one vector.

        Parameters
        ----------
        value : DenseVector or SparseVector
        """
        scores = self._score(value).astype(np.float64)
        return Vectors.dense([-scores[0], scores[0]] if scores.ndim == 1 else scores[0])

    def predictProbability(self, value: Any) -> DenseVector:
        """Return the probabilities of the classes for one vector.

        Parameters
        ----------
        value : DenseVector or SparseVector

        Raises
        ------
        ConfigError
            For a loss that has none.
        """
        self.core.check_probabilities()
        return Vectors.dense(self.core.probabilities(self._score(value).astype(np.float64))[0])

    def _summary_type(self, training: bool) -> type[Summary]:
        if len(self.classes) == 2:
            return BinarySGDClassificationTrainingSummary if training else BinarySGDClassificationSummary
        return SGDClassificationTrainingSummary if training else SGDClassificationSummary


class SGDRegressionModel(SGDModel):
    """A fitted regression: adds ``prediction``, the mean of the target.

    Parameters
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task = "regression"

    def __init__(self, core: LinearModel):
        super().__init__(core)
        self._setDefault(loss=core.loss)

    def _summary_type(self, training: bool) -> type[Summary]:
        return SGDRegressionTrainingSummary if training else SGDRegressionSummary
