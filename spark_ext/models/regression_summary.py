"""Summaries of regressions: the metrics of Spark ML's LinearRegressionSummary, over predictions of any loss."""
# ruff: noqa: N802

from functools import cached_property
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

from dsgd.errors import DataError

from .summary import Summary, Training


class SGDRegressionSummary(Summary):
    """Metrics of a regression.

    As in Spark ML, ``r2`` of a model without an intercept compares with zero instead of with the mean. There are no standard
    errors of coefficients, which Spark ML has of its solver ``"normal"`` alone.
    """

    @property
    def _label(self) -> Column:
        return self._named(self.labelCol).cast("double")

    @property
    def _residual(self) -> Column:
        return self._label - self._named(self.predictionCol)

    @cached_property
    def _means(self) -> Any:
        """Weight, weighted means of label and prediction, weighted sums of errors."""
        weight, residual = self._weight, self._residual
        row = self.predictions.agg(
            F.count(F.lit(1)).alias("rows"),
            F.sum(F.when(residual.isNull() | weight.isNull(), 1).otherwise(0)).alias("missing"),
            F.sum(weight).alias("weight"),
            (F.sum(weight * self._label) / F.sum(weight)).alias("label"),
            F.sum(weight * residual * residual).alias("squares"),
            F.sum(weight * F.abs(residual)).alias("absolute"),
            F.min(residual * F.sqrt(weight)).alias("least"),
            F.max(residual * F.sqrt(weight)).alias("greatest"),
        ).first()
        if row is None or not row["rows"] or row["missing"]:
            raise DataError("the rows to evaluate are none, or some have no label or no weight; leave such rows out")
        return row

    @cached_property
    def _spread(self) -> Any:
        """Sums of squares around the labels' mean, which is known by then: no digits are lost to it."""
        weight, mean = self._weight, F.lit(self._means["label"])
        prediction = self._named(self.predictionCol)
        return self.predictions.agg(
            F.sum(weight * (self._label - mean) * (self._label - mean)).alias("label"),
            F.sum(weight * (prediction - mean) * (prediction - mean)).alias("prediction"),
            F.sum(weight * self._label * self._label).alias("origin"),
        ).first()

    @property
    def explainedVariance(self) -> float:
        """Mean squared distance of the predictions from the labels' mean."""
        return self._spread["prediction"] / self._means["weight"]

    @property
    def meanAbsoluteError(self) -> float:
        """Mean of \\|label - prediction\\|."""
        return self._means["absolute"] / self._means["weight"]

    @property
    def meanSquaredError(self) -> float:
        """Mean of (label - prediction)^2."""
        return self._means["squares"] / self._means["weight"]

    @property
    def rootMeanSquaredError(self) -> float:
        """Square root of ``meanSquaredError``."""
        return self.meanSquaredError**0.5

    @property
    def r2(self) -> float:
        """Coefficient of determination."""
        total = self._spread["label" if self._model.getOrDefault("fitIntercept") else "origin"]
        return 1 - self._means["squares"] / total if total else float("nan")

    @property
    def r2adj(self) -> float:
        """``r2``, adjusted for the number of coefficients."""
        n, intercept = self.numInstances, int(self._model.getOrDefault("fitIntercept"))
        left = n - self._model.numFeatures - intercept
        return 1 - (1 - self.r2) * (n - intercept) / left if left else float("nan")

    @property
    def residuals(self) -> DataFrame:
        """A column of label - prediction."""
        return self.predictions.select(self._residual.alias("residuals"))

    @property
    def devianceResiduals(self) -> list[float]:
        """The least and the greatest residual, times the square root of the row's weight."""
        return [self._means["least"], self._means["greatest"]]

    @property
    def numInstances(self) -> int:
        """Number of rows."""
        return self._means["rows"]

    @property
    def degreesOfFreedom(self) -> int:
        """Rows less coefficients and intercept."""
        return self.numInstances - self._model.numFeatures - int(self._model.getOrDefault("fitIntercept"))


class SGDRegressionTrainingSummary(Training, SGDRegressionSummary):
    """Metrics of a regression on its training rows."""
