"""The Params of the estimators and models on Spark.

Defaults are those of Spark ML where Spark ML has the parameter.
"""
# ruff: noqa: N815

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from dsgd.errors import ConfigError
from dsgd.train.modes import Sync

from .converters import boolean_or_integer, crosses, integer_or_auto, integer_or_epoch, name_or_names, number_or_auto
from .names import CORE_NAMES


def _param(name: str, doc: str, convert: Any) -> Any:
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class ColumnParams(Params):
    """The columns that a model reads and writes."""

    featuresCol = _param(
        "featuresCol", "a column of vectors or arrays, or a list of columns (numbers and strings)", name_or_names
    )
    labelCol = _param("labelCol", "label column", TypeConverters.toString)
    weightCol = _param("weightCol", "column of row weights", TypeConverters.toString)
    offsetCol = _param("offsetCol", "column that is added to the score", TypeConverters.toString)
    predictionCol = _param("predictionCol", "prediction column", TypeConverters.toString)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(featuresCol="features", labelCol="label", predictionCol="prediction")

    def column(self, name: str) -> Any:
        """Return the value of a column parameter, or None when it is not set.

        Parameters
        ----------
        name : str
            Of the parameter, such as ``"weightCol"``.
        """
        param = self.getParam(name)
        return self.getOrDefault(param) if self.isDefined(param) else None


class ProbabilityParams(Params):
    """The columns that only a classifier writes."""

    probabilityCol = _param("probabilityCol", "column of the classes' probabilities", TypeConverters.toString)
    rawPredictionCol = _param("rawPredictionCol", "column of the scores of the classes", TypeConverters.toString)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(probabilityCol="probability", rawPredictionCol="rawPrediction")


class FitParams(ColumnParams):
    """What both estimators know about fitting."""

    categoricalCols = _param("categoricalCols", "columns to hash, besides those of text", TypeConverters.toListString)
    interactions = _param("interactions", "crosses of categorical columns, each a list of names", crosses)
    hashBits = _param("hashBits", "a categorical column has 2^hashBits weights", TypeConverters.toInt)
    missing = _param("missing", "what a missing number means: raise, or mean", TypeConverters.toString)
    validationIndicatorCol = _param(
        "validationIndicatorCol", "boolean column of the rows to validate on", TypeConverters.toString
    )
    loss = _param("loss", "the loss to minimise", TypeConverters.toString)
    optimizer = _param("optimizer", "auto, svrg, or a rule of dsgd", TypeConverters.toString)
    batchSize = _param("batchSize", "rows of the global mini-batch, or auto", integer_or_auto)
    maxIter = _param("maxIter", "passes over the rows, at most", TypeConverters.toInt)
    tol = _param("tol", "stop when the objective improves by less, relatively", TypeConverters.toFloat)
    regParam = _param("regParam", "strength of the penalty, or auto", number_or_auto)
    elasticNetParam = _param("elasticNetParam", "share of l1 in the penalty", TypeConverters.toFloat)
    stepSize = _param("stepSize", "first learning rate, or auto", number_or_auto)
    learningRate = _param("learningRate", "schedule of the learning rate", TypeConverters.toString)
    powerT = _param("powerT", "exponent of learningRate=invscaling", TypeConverters.toFloat)
    standardization = _param(
        "standardization", "scale numbers, dense and sparse, to unit variance", TypeConverters.toBoolean
    )
    fitIntercept = _param("fitIntercept", "whether there is an intercept", TypeConverters.toBoolean)
    averaging = _param("averaging", "average the iterates, or from that many rows on", boolean_or_integer)
    earlyStopping = _param("earlyStopping", "judge by held-out rows", TypeConverters.toBoolean)
    validationFraction = _param("validationFraction", "share of the rows to hold out", TypeConverters.toFloat)
    nIterNoChange = _param("nIterNoChange", "epochs without improvement before stopping", TypeConverters.toInt)
    mode = _param("mode", "how the work is spread: sync", TypeConverters.toString)
    topology = _param("topology", "who adds gradients up: ring, tree or engine", TypeConverters.toString)
    localSteps = _param("localSteps", "steps between two averagings, or epoch", integer_or_epoch)
    compression = _param("compression", "none, fp16, int8 or topk", TypeConverters.toString)
    numWorkers = _param("numWorkers", "ranks; 0 for all slots", TypeConverters.toInt)
    threadsPerWorker = _param("threadsPerWorker", "threads of a rank", TypeConverters.toInt)
    cacheBytes = _param("cacheBytes", "bytes of block files of a worker", TypeConverters.toInt)
    memoryLimit = _param("memoryLimit", "bytes of resident memory of a worker", TypeConverters.toInt)
    encrypt = _param("encrypt", "encrypt what hosts send each other", TypeConverters.toBoolean)
    portRange = _param("portRange", "first and last port at which ranks listen", TypeConverters.toListInt)
    interface = _param("interface", "network interface or address at which ranks listen", TypeConverters.toString)
    deadline = _param("deadline", "seconds of silence after which a rank is lost", TypeConverters.toFloat)
    dtype = _param("dtype", "float32 or float64", TypeConverters.toString)
    seed = _param("seed", "the seed of the run", TypeConverters.toInt)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(
            interactions=[],
            categoricalCols=[],
            hashBits=18,
            missing="raise",
            optimizer="auto",
            batchSize="auto",
            maxIter=100,
            tol=1e-6,
            regParam=0.0,
            elasticNetParam=0.0,
            stepSize="auto",
            learningRate="constant",
            powerT=0.5,
            standardization=True,
            fitIntercept=True,
            averaging=False,
            earlyStopping=False,
            validationFraction=0.1,
            nIterNoChange=1,
            mode="sync",
            topology="ring",
            localSteps=1,
            compression="none",
            numWorkers=0,
            threadsPerWorker=1,
            encrypt=True,
            deadline=60.0,
            dtype="float32",
            seed=0,
        )

    def _set(self, **params: Any) -> Any:
        """Set parameters, as Spark does; a value that cannot be converted is our own error."""
        try:
            return super()._set(**params)
        except (TypeError, ValueError) as error:
            raise ConfigError(str(error)) from error

    def core_parameters(self) -> dict[str, Any]:
        """Return the parameters under the core's names."""
        parameters = {
            core: self.getOrDefault(name)
            for name, core in CORE_NAMES.items()
            if self.hasParam(name) and self.isDefined(name)
        }
        return parameters | {"penalty": "elasticnet", "mode": self._mode()}

    def _mode(self) -> Sync:
        if self.getOrDefault("mode") != "sync":
            raise ConfigError(f"mode={self.getOrDefault('mode')!r} is not available in this version; mode='sync' is")
        return Sync(
            topology=self.getOrDefault("topology"),
            local_steps=self.getOrDefault("localSteps"),
            compression=self.getOrDefault("compression"),
        )


class ClassifierParams(FitParams, ProbabilityParams):
    """What only the classifier knows."""

    family = _param("family", "auto, binomial, multinomial or ovr", TypeConverters.toString)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(loss="log_loss", family="auto")


class RegressorParams(FitParams):
    """What only the regressor knows."""

    epsilon = _param("epsilon", "of huber and the epsilon-insensitive losses", TypeConverters.toFloat)
    quantile = _param("quantile", "of the quantile loss", TypeConverters.toFloat)
    power = _param("power", "of the tweedie loss", TypeConverters.toFloat)

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(loss="squared_error", epsilon=0.1, quantile=0.5, power=1.5)
