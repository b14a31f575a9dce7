"""The Params that estimators and models share: the columns that they read and write, and the thresholds of a decision.

Names, meanings and defaults are those of Spark ML where Spark ML has the Param, and the classes derive from Spark ML's own
mixins, by which OneVsRest and others tell what a stage can do. The Params of fitting are in ``fit_params``.
"""
# ruff: noqa: N802, N815

from typing import Any

from pyspark.ml.base import _PredictorParams
from pyspark.ml.classification import _ProbabilisticClassifierParams
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasThreshold, HasWeightCol

from dsgd.errors import ConfigError

from .accessors import Accessors
from .converters import name_or_names, positive_but_one, text

# How far a threshold and thresholds may be apart, as in Spark ML.
_SAME_THRESHOLD = 1e-5


def make_param(name: str, doc: str, convert: Any) -> Any:
    """Return a Param for a class, with its explanation and the converter of its values."""
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class ColumnParams(Accessors, _PredictorParams, HasWeightCol):
    """The columns that a model reads and writes."""

    featuresCol = make_param(
        "featuresCol",
        "The features: a column of vectors or of arrays of numbers, or a list of plain columns (numbers, booleans and strings).",
        name_or_names,
    )
    labelCol = make_param(
        "labelCol",
        "The column of labels: numbers, and booleans or strings as well for a classifier.",
        text,
    )
    weightCol = make_param(
        "weightCol",
        "The column of row weights, numbers >= 0. All rows weigh 1 if it is not set.",
        text,
    )
    offsetCol = make_param(
        "offsetCol",
        "A column of numbers that are added to the score, such as the logarithm of an exposure. Nothing is added if it is"
        " not set.",
        text,
    )
    predictionCol = make_param(
        "predictionCol",
        "The column of predictions that a model adds. An empty name adds none.",
        text,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(featuresCol="features", labelCol="label", predictionCol="prediction")

    def column(self, name: str) -> Any:
        """Return the value of a column parameter, or None when it is not set; as in Spark ML, no column has an empty name.

        Parameters
        ----------
        name : str
            Of the parameter, such as ``"weightCol"``.
        """
        param = self.getParam(name)
        value = self.getOrDefault(param) if self.isDefined(param) else None
        return None if value == "" else value

    def _set(self, **params: Any) -> Any:
        """Set parameters, as Spark does; a value that cannot be converted is our own error, and None unsets a parameter."""
        for name, value in params.items():
            if value is None:
                self._unset(name)
                continue
            try:
                super()._set(**{name: value})
            except (TypeError, ValueError) as error:
                raise ConfigError(str(error)) from error
        return self

    def _unset(self, name: str) -> None:
        param = self.getParam(name)
        if self.hasDefault(param):
            default = self._defaultParamMap[param]
            raise ConfigError(f"{name} must be given a value, not None; its default is {default!r}: leave it out")
        self.clear(param)


class ProbabilityParams(Accessors, _ProbabilisticClassifierParams, HasThreshold):
    """The columns that only a classifier writes, and where it draws the line between classes."""

    probabilityCol = make_param(
        "probabilityCol",
        "The column of the classes' probabilities that a model adds, a vector; losses without probabilities have none. An"
        " empty name adds none.",
        text,
    )
    rawPredictionCol = make_param(
        "rawPredictionCol",
        "The column of the classes' scores that a model adds, a vector. An empty name adds none.",
        text,
    )
    threshold = make_param(
        "threshold",
        "With two classes, the probability of the second one above which it is predicted, between 0 and 1. If thresholds are"
        " set as well, they must say the same: [1 - p, p].",
        TypeConverters.toFloat,
    )
    thresholds = make_param(
        "thresholds",
        "One number for each class, in the order of the probabilities, all > 0 except that one may be 0: the class with the"
        " largest probability / threshold is predicted. Not set, the most probable class is.",
        positive_but_one,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(probabilityCol="probability", rawPredictionCol="rawPrediction", threshold=0.5)

    def setThreshold(self, value: float) -> Any:
        """Set ``threshold``, and clear ``thresholds``.

        Parameters
        ----------
        value : float
            Between 0 and 1.

        Returns
        -------
        self
        """
        self._set(threshold=value)
        self.clear(self.thresholds)
        return self

    def getThreshold(self) -> float:
        """Return the threshold of two classes, which ``thresholds`` may have been given as.

        Raises
        ------
        ConfigError
            For thresholds of more classes, or that say something else than the threshold.
        """
        self.check_thresholds()
        if not self.isSet(self.thresholds):
            return self.getOrDefault(self.threshold)
        return _one_of_two(self.getOrDefault(self.thresholds))

    def setThresholds(self, value: list[float]) -> Any:
        """Set ``thresholds``, and clear ``threshold``.

        Parameters
        ----------
        value : list of float
            One for each class.

        Returns
        -------
        self
        """
        self._set(thresholds=value)
        self.clear(self.threshold)
        return self

    def getThresholds(self) -> list[float]:
        """Return the thresholds, which the threshold of two classes may have been given as.

        Raises
        ------
        ConfigError
            When neither is set.
        """
        self.check_thresholds()
        if self.isSet(self.thresholds):
            return self.getOrDefault(self.thresholds)
        if not self.isSet(self.threshold):
            raise ConfigError("thresholds are not set, nor is a threshold; the most probable class is predicted")
        second = self.getOrDefault(self.threshold)
        return [1.0 - second, second]

    def check_thresholds(self) -> None:
        """Raise ConfigError for a threshold outside of 0 to 1, and for one that contradicts the thresholds."""
        second = self.getOrDefault(self.threshold)
        if not 0 <= second <= 1:
            raise ConfigError(f"threshold must be between 0 and 1, not {second:g}")
        if not (self.isSet(self.threshold) and self.isSet(self.thresholds)):
            return
        thresholds = self.getOrDefault(self.thresholds)
        if abs(_one_of_two(thresholds) - second) >= _SAME_THRESHOLD:
            raise ConfigError(
                f"threshold={second:g} and thresholds={thresholds} say different things; set one of them, or thresholds="
                f"{[1 - second, second]}"
            )


def _one_of_two(thresholds: list[float]) -> float:
    """The threshold that a pair of thresholds stands for.

    Examples
    --------
    >>> _one_of_two([0.25, 0.75])
    0.75
    """
    if len(thresholds) != 2:
        raise ConfigError(f"a threshold is for two classes, and thresholds={thresholds} are for {len(thresholds)}")
    return thresholds[1] / (thresholds[0] + thresholds[1])
