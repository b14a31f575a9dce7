"""Summaries, as Spark ML's models have them: metrics of predictions, computed when they are asked for.

In comes a model and a DataFrame with labels. A metric that is read runs a job, one for all metrics of its kind, and its result
is kept. Row weights (``weightCol``) count everywhere. A summary is also a mapping from the names of dsgd's own metrics to
their values. Formulas are those of Spark's MulticlassMetrics and RegressionMetrics.
"""
# ruff: noqa: N802

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from dsgd.errors import ConfigError, DataError


class NoSummaryError(ConfigError, RuntimeError):
    """The model was not trained here and now, or not on a DataFrame; RuntimeError is what Spark ML raises."""


class Summary(Mapping):
    """What all summaries have in common.

    Parameters
    ----------
    model : SGDClassificationModel or SGDRegressionModel
    rows : DataFrame, optional
        None for files that the executors read by themselves, whose predictions are no DataFrame.
    measure : callable
        Returns dsgd's own metrics.
    """

    def __init__(self, model: Any, rows: DataFrame | None, measure: Callable[[], dict[str, float]]):
        self._model = model.writing_all()
        self._rows = rows
        self._measure = measure

    @cached_property
    def _own(self) -> dict[str, float]:
        return self._measure()

    def __getitem__(self, name: str) -> float:
        return self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def __repr__(self):
        return f"{type(self).__name__}({self._model.uid})"

    @cached_property
    def predictions(self) -> DataFrame:
        """The DataFrame with the model's columns."""
        if self._rows is None:
            raise NoSummaryError(
                "the rows are files that the executors read by themselves, and these metrics need a DataFrame: use"
                " model.evaluate(spark.read.parquet(path))"
            )
        return self._model.transform(self._rows)

    @property
    def featuresCol(self) -> Any:
        """Column of the features, or the list of columns."""
        return self._model.getOrDefault("featuresCol")

    @property
    def labelCol(self) -> str:
        """Column of the labels."""
        return self._model.column("labelCol")

    @property
    def predictionCol(self) -> str:
        """Column of the predictions."""
        return self._model.column("predictionCol")

    @property
    def weightCol(self) -> str | None:
        """Column of the weights, if there is one."""
        return self._model.column("weightCol")

    def _named(self, name: str) -> Column:
        return F.col(f"`{name}`")

    @property
    def _weight(self) -> Column:
        return F.lit(1.0) if self.weightCol is None else self._named(self.weightCol).cast("double")


class Training:
    """What only the summary of a training has."""

    _model: Any

    @property
    def objectiveHistory(self) -> list[float]:
        """The objective, penalty included, after each epoch."""
        return [record["objective"] for record in self._model.core.history]

    @property
    def totalIterations(self) -> int:
        """Epochs of the training."""
        return self._model.core.epochs


class SGDClassificationSummary(Summary):
    """Metrics of a classifier, over all rows and for each label; arrays are in the order of ``labels``."""

    @cached_property
    def _confusion(self) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """Labels, ascending; the weight of each label; and of each (label, prediction) with both among them."""
        label, prediction = self._named(self.labelCol), self._named(self.predictionCol)
        grouped = self.predictions.groupBy(label.alias("label"), prediction.alias("prediction"))
        cells = [(row[0], row[1], row[2]) for row in grouped.agg(F.sum(self._weight)).collect()]
        if any(found is None for found, _, _ in cells):
            raise DataError(f"column {self.labelCol!r} has rows without a label; leave them out of the evaluation")
        labels = sorted({found for found, _, _ in cells})
        place = {found: i for i, found in enumerate(labels)}
        weights, confusion = np.zeros(len(labels)), np.zeros((len(labels), len(labels)))
        predicted = np.zeros(len(labels))
        for found, guess, weight in cells:
            weights[place[found]] += weight
            if guess in place:
                confusion[place[found], place[guess]] += weight
                predicted[place[guess]] += weight
        return labels, weights, np.vstack([confusion, predicted])

    @property
    def labels(self) -> list[Any]:
        """The labels that occur, ascending."""
        return [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in self._confusion[0]]

    @property
    def _right(self) -> np.ndarray:
        return np.diag(self._confusion[2])

    @property
    def truePositiveRateByLabel(self) -> list[float]:
        """Share of a label's rows that are predicted to be of it."""
        return _ratio(self._right, self._confusion[1]).tolist()

    @property
    def recallByLabel(self) -> list[float]:
        """The same as ``truePositiveRateByLabel``."""
        return self.truePositiveRateByLabel

    @property
    def falsePositiveRateByLabel(self) -> list[float]:
        """Share of the other labels' rows that are predicted to be of a label."""
        _, weights, table = self._confusion
        return _ratio(table[-1] - self._right, weights.sum() - weights).tolist()

    @property
    def precisionByLabel(self) -> list[float]:
        """Share of the rows predicted to be of a label that are."""
        return _ratio(self._right, self._confusion[2][-1]).tolist()

    def fMeasureByLabel(self, beta: float = 1.0) -> list[float]:
        """Return the weighted harmonic mean of precision and recall for each label.

        Parameters
        ----------
        beta : float
            How many times recall counts as much as precision.
        """
        return _f_measure(np.array(self.precisionByLabel), np.array(self.recallByLabel), beta).tolist()

    @property
    def accuracy(self) -> float:
        """Share of rows that are predicted right."""
        return float(self._right.sum() / self._confusion[1].sum())

    @property
    def weightedTruePositiveRate(self) -> float:
        """Mean of ``truePositiveRateByLabel``, labels weighted by their rows."""
        return self._mean(self.truePositiveRateByLabel)

    @property
    def weightedFalsePositiveRate(self) -> float:
        """Mean of ``falsePositiveRateByLabel``, labels weighted by their rows."""
        return self._mean(self.falsePositiveRateByLabel)

    @property
    def weightedRecall(self) -> float:
        """Mean of ``recallByLabel``, labels weighted by their rows."""
        return self._mean(self.recallByLabel)

    @property
    def weightedPrecision(self) -> float:
        """Mean of ``precisionByLabel``, labels weighted by their rows."""
        return self._mean(self.precisionByLabel)

    def weightedFMeasure(self, beta: float = 1.0) -> float:
        """Return the mean of :meth:`fMeasureByLabel`, labels weighted by their rows.

        Parameters
        ----------
        beta : float
        """
        return self._mean(self.fMeasureByLabel(beta))

    def _mean(self, by_label: list[float]) -> float:
        weights = self._confusion[1]
        return float(np.array(by_label) @ weights / weights.sum())


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Quotients; 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def _f_measure(precision: np.ndarray, recall: np.ndarray, beta: float) -> np.ndarray:
    square = beta * beta
    return _ratio((1 + square) * precision * recall, square * precision + recall)


class SGDClassificationTrainingSummary(Training, SGDClassificationSummary):
    """Metrics of a classifier on its training rows."""
