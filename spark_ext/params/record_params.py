"""The Params by which a model was fitted, kept for the record as Spark ML's models keep them: they are read, not set."""
# ruff: noqa: N815

from typing import Any, NoReturn

from pyspark.ml.param import TypeConverters
from pyspark.ml.param.shared import (
    HasElasticNetParam,
    HasFitIntercept,
    HasLoss,
    HasMaxIter,
    HasRegParam,
    HasStandardization,
    HasTol,
)

from dsgd.errors import ConfigError

from .converters import number_or_auto
from .shared import ColumnParams, make_param

_REFUSES = """Refuse: ``{name}`` says how the model was fitted.

        Parameters
        ----------
        value
            Of no use.

        Raises
        ------
        ConfigError
        """
_RECORDED = ("loss", "maxIter", "tol", "regParam", "elasticNetParam", "fitIntercept", "standardization")


def _refusing(name: str) -> Any:
    def method(self: Any, value: Any) -> NoReturn:
        raise ConfigError(
            f"{name} says how the model was fitted, and cannot be changed; set it on the estimator and fit again"
        )

    method.__name__ = f"set{name[:1].upper()}{name[1:]}"
    method.__doc__ = _REFUSES.format(name=name)
    return method


class _Refusing:
    """A setter for each of these Params that says that it cannot be set."""


for _name in _RECORDED:
    setattr(_Refusing, f"set{_name[:1].upper()}{_name[1:]}", _refusing(_name))


class RecordParams(
    _Refusing,
    ColumnParams,
    HasLoss,
    HasMaxIter,
    HasTol,
    HasRegParam,
    HasElasticNetParam,
    HasFitIntercept,
    HasStandardization,
):
    """Of both models."""

    loss = make_param("loss", "The loss that was minimised.", TypeConverters.toString)
    regParam = make_param("regParam", "Strength of the penalty, or 'auto'.", number_or_auto)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(
            maxIter=100, tol=1e-6, regParam=0.0, elasticNetParam=0.0, fitIntercept=True, standardization=True
        )


class ClassifierRecord(RecordParams):
    """Of a classifier."""

    family = make_param("family", "Of the classes: auto, binomial, multinomial or ovr.", TypeConverters.toString)
    setFamily = _refusing("family")

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(family="auto")
