"""The Params of the estimators that say where and how a fit runs, and both estimators' Params as a whole."""
# ruff: noqa: N815

from typing import Any

from pyspark.ml.param import TypeConverters
from pyspark.ml.param.shared import HasAggregationDepth

from dsgd.errors import ConfigError
from dsgd.train.checkpoints.settings import Checkpoint
from dsgd.train.modes import Mode, make_mode

from .converters import integer_auto_or_epoch, text
from .fit_params import DataParams, ObjectiveParams, OptimizerParams
from .names import CORE_LOSSES, CORE_NAMES, MODE_NAMES
from .shared import ColumnParams, ProbabilityParams, make_param

# Losses that have probabilities; the threshold of the others is of the score.
_PROBABILITIES = ("log_loss", "modified_huber")


class RunParams(ColumnParams, HasAggregationDepth):
    """How the work is spread, and what a worker may use."""

    mode = make_param(
        "mode",
        "How the work is spread over ranks: 'sync', steps that all take together; 'async', parameter shards; 'columns', blocks of"
        " columns; or 'hybrid', a grid.",
        text,
    )
    topology = make_param(
        "topology",
        "Who adds gradients up: the ranks in a 'ring' or a 'tree', or Spark in a job a round ('engine').",
        text,
    )
    aggregationDepth = make_param(
        "aggregationDepth", "Levels of Spark's tree-aggregate with topology='engine', >= 1.", TypeConverters.toInt
    )
    localSteps = make_param(
        "localSteps",
        "Steps of a rank between two averagings of the weights, >= 1; or 'epoch', which is model averaging. With mode='async',"
        " steps between two exchanges with the shards, or 'auto', which it is there if it is not set.",
        integer_auto_or_epoch,
    )
    compression = make_param("compression", "Of what ranks send each other: 'none', 'fp16', 'int8' or 'topk'.", text)
    backupWorkers = make_param(
        "backupWorkers",
        "Ranks that a step need not wait for, >= 0; with any, the step is taken by a parameter shard.",
        TypeConverters.toInt,
    )
    staleness = make_param(
        "staleness",
        "With mode='async', pushes that a rank may be ahead of the slowest; 0 is steps together. No bound if it is not set.",
        TypeConverters.toInt,
    )
    shards = make_param(
        "shards",
        "With mode='async', parameter shards, each a task beside those of the ranks, >= 1.",
        TypeConverters.toInt,
    )
    correction = make_param(
        "correction",
        "With mode='async', what is done about a stale gradient: 'none', 'rate' (divided by its staleness), or 'delay'"
        " (corrected for what the weights have done since).",
        text,
    )
    compensation = make_param("compensation", "With correction='delay', its strength, > 0.", TypeConverters.toFloat)
    snapshotSeconds = make_param(
        "snapshotSeconds", "With mode='async', seconds between two snapshots of a shard, > 0.", TypeConverters.toFloat
    )
    restarts = make_param(
        "restarts",
        "With mode='async', deaths of ranks and shards after which the next one ends the fit, >= 0.",
        TypeConverters.toInt,
    )
    gridRows = make_param(
        "gridRows", "With mode='hybrid', groups of ranks among which the rows are divided, >= 1.", TypeConverters.toInt
    )
    gridColumns = make_param(
        "gridColumns",
        "With mode='hybrid', ranks of a group, among which the columns are divided, >= 1.",
        TypeConverters.toInt,
    )
    saveTo = make_param(
        "saveTo",
        "With mode='columns' or 'hybrid', a directory that all executors and the driver reach, or a URI that pyarrow opens, in"
        " which the ranks save the model when the fit ends, each its own block.",
        text,
    )
    overwrite = make_param("overwrite", "Whether a model at saveTo may be replaced.", TypeConverters.toBoolean)
    numWorkers = make_param("numWorkers", "Ranks, each a task; 0 is all slots of the session.", TypeConverters.toInt)
    minWorkers = make_param(
        "minWorkers",
        "With how many ranks, at least, a fit goes on that has lost some, if their slots do not come back within 15 s. As many as"
        " it began with if it is not set.",
        TypeConverters.toInt,
    )
    threadsPerWorker = make_param("threadsPerWorker", "Threads that a rank may use, >= 1.", TypeConverters.toInt)
    cacheBytes = make_param(
        "cacheBytes",
        "Bytes of block files that a worker may keep. Without limit if it is not set.",
        TypeConverters.toInt,
    )
    memoryLimit = make_param(
        "memoryLimit",
        "Bytes of resident memory that a worker may use. What Spark allows it if it is not set.",
        TypeConverters.toInt,
    )
    encrypt = make_param(
        "encrypt", "Whether what ranks of different hosts send each other is encrypted.", TypeConverters.toBoolean
    )
    portRange = make_param(
        "portRange",
        "First and last port at which ranks listen for each other. The system chooses if it is not set.",
        TypeConverters.toListInt,
    )
    interface = make_param(
        "interface",
        "Network interface, by name or address, at which ranks listen. That by which Spark knows their host if it is not set.",
        text,
    )
    deadline = make_param(
        "deadline", "Seconds without a sign of life after which a rank counts as lost, > 0.", TypeConverters.toFloat
    )
    checkpointPath = make_param(
        "checkpointPath",
        "A directory that driver and executors share, in which a fit keeps what it needs to go on when it is begun again. No"
        " checkpoints if it is not set.",
        text,
    )
    checkpointInterval = make_param(
        "checkpointInterval", "Seconds between two checkpoints, >= 0.", TypeConverters.toFloat
    )
    verbose = make_param(
        "verbose",
        "What is shown of a fit, on the standard error: 1 is a bar in a notebook or a terminal and a line an epoch elsewhere,"
        " 2 is always lines.",
        TypeConverters.toInt,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(
            mode="sync", topology="ring", aggregationDepth=2, localSteps=1, compression="none", numWorkers=0
        )
        self._setDefault(
            backupWorkers=0, shards=1, correction="none", compensation=1.0, snapshotSeconds=10.0, restarts=32
        )
        self._setDefault(threadsPerWorker=1, encrypt=True, deadline=30.0, verbose=0, checkpointInterval=60.0)


class FitParams(DataParams, ObjectiveParams, OptimizerParams, RunParams):
    """What both estimators know about fitting."""

    def core_parameters(self) -> dict[str, Any]:
        """Return the parameters under the core's names."""
        parameters = {
            core: self.getOrDefault(name)
            for name, core in CORE_NAMES.items()
            if self.hasParam(name) and self.isDefined(name)
        }
        parameters["loss"] = CORE_LOSSES.get(parameters["loss"], parameters["loss"])
        return parameters | {"penalty": "elasticnet", "mode": self._mode(), "checkpoint": self._checkpoint()}

    def _checkpoint(self) -> Checkpoint | None:
        """Where and how often checkpoints are made; None without a place."""
        if self.isDefined("checkpointPath"):
            return Checkpoint(self.getOrDefault("checkpointPath"), seconds=self.getOrDefault("checkpointInterval"))
        if self.isSet("checkpointInterval"):
            raise ConfigError(
                "checkpointInterval is for checkpoints, and there is no checkpointPath; set both, or neither"
            )
        return None

    def _mode(self) -> Mode:
        return make_mode(
            self.getOrDefault("mode"),
            {core: self.getOrDefault(name) for name, core in MODE_NAMES.items() if self.isSet(name)},
        )


class EpsilonParams(FitParams):
    """A parameter of some losses, of which both estimators have some."""

    epsilon = make_param(
        "epsilon",
        "Of loss='huber', the error from which it is linear; of the epsilon-insensitive losses, the error that costs nothing."
        " In units of the label: Spark ML's epsilon is in units of a scale that it estimates.",
        TypeConverters.toFloat,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(epsilon=0.1)


class ClassifierParams(EpsilonParams, ProbabilityParams):
    """What only the classifier knows."""

    def core_parameters(self) -> dict[str, Any]:
        """Return the parameters under the core's names; thresholds, which are the model's, are checked as well."""
        self.check_thresholds()
        return super().core_parameters()

    def check_thresholds(self) -> None:
        """Raise ConfigError for thresholds that contradict each other; without probabilities, any score may be one."""
        if self.getOrDefault("loss") in _PROBABILITIES:
            super().check_thresholds()

    family = make_param(
        "family",
        "Of the classes: 'auto', 'binomial', 'multinomial' or 'ovr'. 'auto' is 'binomial' for two classes, and for more"
        " 'multinomial' with loss='log_loss' and 'ovr' with the others.",
        text,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(loss="log_loss", family="auto")


class RegressorParams(EpsilonParams):
    """What only the regressor knows."""

    quantile = make_param(
        "quantile", "Of loss='quantile': the quantile that is predicted, between 0 and 1.", TypeConverters.toFloat
    )
    power = make_param(
        "power",
        "Of loss='tweedie': the variance grows as this power of the mean, between 1 and 2.",
        TypeConverters.toFloat,
    )

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._setDefault(loss="squared_error", quantile=0.5, power=1.5)
