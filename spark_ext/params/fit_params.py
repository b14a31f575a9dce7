"""The Params of the estimators alone that say what is learnt, and by which steps; where that runs is in ``run_params``.

Defaults are those of Spark ML where Spark ML has the Param.
"""
# ruff: noqa: N815

from typing import Any

from pyspark.ml.param import TypeConverters
from pyspark.ml.param.shared import (
    HasElasticNetParam,
    HasFitIntercept,
    HasLoss,
    HasMaxIter,
    HasRegParam,
    HasSeed,
    HasStandardization,
    HasStepSize,
    HasTol,
    HasValidationIndicatorCol,
)

from .converters import boolean_or_integer, crosses, fitted_model, integer_or_auto, number_or_auto, text, texts
from .shared import ColumnParams, make_param


class DataParams(ColumnParams, HasValidationIndicatorCol):
    """What becomes of the columns of a DataFrame."""

    categoricalCols = make_param(
        "categoricalCols",
        "Columns of featuresCol to take for categories, besides those of text.",
        texts,
    )
    interactions = make_param(
        "interactions",
        "Crosses of categorical columns, each a list of names, such as [['carrier', 'origin']].",
        crosses,
    )
    hashBits = make_param(
        "hashBits", "A categorical column, and a cross, has 2^hashBits weights of its own.", TypeConverters.toInt
    )
    missing = make_param(
        "missing",
        "What a missing number is: an error ('raise'), or the column's mean ('mean').",
        text,
    )
    validationIndicatorCol = make_param(
        "validationIndicatorCol",
        "A boolean column that is true for the rows to validate on with earlyStopping, instead of validationFraction.",
        text,
    )
    initialModel = make_param(
        "initialModel",
        "A fitted model to go on from: its weights are where training starts, its features and classes are kept, and the"
        " rows are added to those that it has seen, in a single epoch unless maxIter is set.",
        fitted_model,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(interactions=[], categoricalCols=[], hashBits=18, missing="raise")


class ObjectiveParams(
    ColumnParams, HasLoss, HasMaxIter, HasTol, HasRegParam, HasElasticNetParam, HasStandardization, HasFitIntercept
):
    """What is minimised, and when that is done."""

    loss = make_param("loss", "The loss to minimise, one of those that the class names.", text)
    regParam = make_param(
        "regParam",
        "Strength of the penalty, >= 0; or 'auto', which is 1 / (sum of weights). 0 is no penalty.",
        number_or_auto,
    )
    elasticNetParam = make_param(
        "elasticNetParam", "Share of l1 in the penalty, between 0 (l2) and 1 (l1).", TypeConverters.toFloat
    )
    standardization = make_param(
        "standardization",
        "Whether numbers, dense and sparse, are scaled to unit variance while training; coefficients are on the scale of the"
        " data in either case.",
        TypeConverters.toBoolean,
    )
    fitIntercept = make_param(
        "fitIntercept", "Whether the score has an intercept, which is not penalised.", TypeConverters.toBoolean
    )
    maxIter = make_param("maxIter", "Epochs (passes over the rows) at most, >= 1.", TypeConverters.toInt)
    tol = make_param(
        "tol",
        "Training stops when the objective's relative improvement over an epoch is below it for nIterNoChange epochs; >= 0.",
        TypeConverters.toFloat,
    )
    earlyStopping = make_param(
        "earlyStopping",
        "Whether to judge by the loss on held-out rows instead of the objective.",
        TypeConverters.toBoolean,
    )
    validationFraction = make_param(
        "validationFraction",
        "Share of the rows that earlyStopping holds out, between 0 and 1; not used with validationIndicatorCol.",
        TypeConverters.toFloat,
    )
    nIterNoChange = make_param(
        "nIterNoChange",
        "Epochs in a row without an improvement after which training stops, >= 1.",
        TypeConverters.toInt,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(regParam=0.0, elasticNetParam=0.0, standardization=True, fitIntercept=True)
        self._setDefault(maxIter=100, tol=1e-6, earlyStopping=False, validationFraction=0.1, nIterNoChange=1)


class OptimizerParams(ColumnParams, HasStepSize, HasSeed):
    """How steps are taken."""

    optimizer = make_param(
        "optimizer",
        "The rule of the steps: 'auto', which chooses by the data, 'svrg', 'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop',"
        " 'adam', 'adamw' or 'ftrl'.",
        text,
    )
    batchSize = make_param(
        "batchSize",
        "Rows of the global mini-batch, shared out among the ranks, >= 1; 1 is the online pass. Or 'auto'.",
        integer_or_auto,
    )
    stepSize = make_param(
        "stepSize", "First learning rate, > 0; or 'auto', which takes it from the data.", number_or_auto
    )
    learningRate = make_param(
        "learningRate",
        "Schedule of the learning rate: 'constant', 'invscaling', 'optimal', 'adaptive' or 'cosine'.",
        text,
    )
    powerT = make_param("powerT", "Exponent of learningRate='invscaling', >= 0.", TypeConverters.toFloat)
    averaging = make_param(
        "averaging",
        "Whether to average the iterates; a number is the rows after which that begins.",
        boolean_or_integer,
    )
    dtype = make_param("dtype", "Of weights and rows: 'float32' or 'float64'.", text)
    seed = make_param(
        "seed", "The same seed, data and number of ranks give the same weights; >= 0.", TypeConverters.toInt
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(optimizer="auto", batchSize="auto", stepSize="auto", learningRate="constant", powerT=0.5)
        self._setDefault(averaging=False, dtype="float32", seed=0)
