"""Curves of a classifier of two classes: what happens at every threshold, in at most a thousand points.

Formulas are those of Spark's BinaryClassificationMetrics. Scores are cut into a thousand ranges by their quantiles, so that the
driver gets that many rows whatever the data; up to a thousand rows the curve is exact.
"""
# ruff: noqa: N802

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from pyspark.ml.feature import Bucketizer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from .summary import SGDClassificationSummary, Training

_POINTS = 1000


class Curve(NamedTuple):
    """Points by descending threshold: the weight of positive and of negative rows with a score that is not below it."""

    threshold: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    @property
    def recall(self) -> np.ndarray:
        """Share of the positive rows."""
        return _share(self.positive, self.positive[-1])

    @property
    def false_positive_rate(self) -> np.ndarray:
        """Share of the negative rows."""
        return _share(self.negative, self.negative[-1])

    @property
    def precision(self) -> np.ndarray:
        """Share of positive rows among them."""
        return self.positive / (self.positive + self.negative)


def _share(part: np.ndarray, whole: float) -> np.ndarray:
    return part / whole if whole else np.zeros(len(part))


class BinarySGDClassificationSummary(SGDClassificationSummary):
    """Metrics of a classifier of two classes, of which the second is the positive one."""

    @property
    def scoreCol(self) -> str:
        """Column by whose second element rows are ordered: probabilities, or scores where the loss has none."""
        probable = self._model.core.loss_object.probabilities
        return self._model.column("probabilityCol" if probable else "rawPredictionCol")

    @cached_property
    def _curve(self) -> Curve:
        positive = self._named(self.labelCol) == F.lit(self._model.core.classes[1].item())
        rows = self.predictions.select(
            vector_to_array(self._named(self.scoreCol))[1].alias("score"),
            F.when(positive, self._weight).otherwise(0.0).alias("positive"),
            F.when(positive, 0.0).otherwise(self._weight).alias("negative"),
        )
        cuts = rows.approxQuantile("score", np.linspace(0, 1, _POINTS + 1).tolist(), 0.25 / _POINTS)
        splits = [-np.inf, *sorted(set(cuts)), np.inf]
        binned = Bucketizer(splits=splits, inputCol="score", outputCol="bin").transform(rows)
        sums = binned.groupBy("bin").agg(F.min("score"), F.sum("positive"), F.sum("negative")).collect()
        points = np.array(sorted(((row[1], row[2], row[3]) for row in sums), reverse=True)).reshape(-1, 3)
        points = points[points[:, 1] + points[:, 2] > 0]
        return Curve(points[:, 0], points[:, 1].cumsum(), points[:, 2].cumsum())

    @property
    def roc(self) -> DataFrame:
        """Receiver operating characteristic: columns FPR and TPR, from (0, 0) to (1, 1)."""
        return self._frame("FPR double, TPR double", *self._roc())

    def _roc(self) -> tuple[np.ndarray, np.ndarray]:
        curve = self._curve
        return np.r_[0.0, curve.false_positive_rate, 1.0], np.r_[0.0, curve.recall, 1.0]

    @cached_property
    def areaUnderROC(self) -> float:
        """Area under the receiver operating characteristic."""
        x, y = self._roc()
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))

    @property
    def pr(self) -> DataFrame:
        """Precision by recall: columns recall and precision, the first precision at recall 0 put before."""
        curve = self._curve
        precision = curve.precision
        return self._frame("recall double, precision double", np.r_[0.0, curve.recall], np.r_[precision[0], precision])

    @property
    def fMeasureByThreshold(self) -> DataFrame:
        """Harmonic mean of precision and recall: columns threshold and F-Measure."""
        curve = self._curve
        precision, recall = curve.precision, curve.recall
        both = precision + recall
        values = np.divide(2 * precision * recall, both, out=np.zeros(len(both)), where=both != 0)
        return self._frame("threshold double, `F-Measure` double", curve.threshold, values)

    @property
    def precisionByThreshold(self) -> DataFrame:
        """Precision: columns threshold and precision."""
        return self._frame("threshold double, precision double", self._curve.threshold, self._curve.precision)

    @property
    def recallByThreshold(self) -> DataFrame:
        """Recall: columns threshold and recall."""
        return self._frame("threshold double, recall double", self._curve.threshold, self._curve.recall)

    def _frame(self, schema: str, *columns: np.ndarray) -> DataFrame:
        rows: Any = list(zip(*(column.tolist() for column in columns), strict=True))
        return self.predictions.sparkSession.createDataFrame(rows, schema)


class BinarySGDClassificationTrainingSummary(Training, BinarySGDClassificationSummary):
    """Metrics of a classifier of two classes on its training rows."""
