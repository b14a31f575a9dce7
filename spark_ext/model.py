"""The fitted models on Spark: transformers that add predictions, and directories that every package loads."""

import json
import time
from typing import Any, ClassVar, TypeVar

import numpy as np
import pyspark
from pyspark.ml import Model
from pyspark.ml.linalg import DenseMatrix, DenseVector, Vectors
from pyspark.ml.util import MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession

from dsgd.data.dataset import Dataset
from dsgd.data.matrices import COLUMN
from dsgd.data.resolve import Roles
from dsgd.data.spec import FeatureSpec
from dsgd.errors import CheckpointError, ConfigError
from dsgd.estimators import History
from dsgd.fitted import LinearModel, load
from dsgd.fitted.files import read_beside, save

from .params import ColumnParams, ProbabilityParams
from .predictions import add_predictions, measure
from .storage import readable, written

# What Spark reads of every saved stage, beside the core's files.
_METADATA = "metadata/part-00000"
Self = TypeVar("Self", bound="_SGDModel")


class _SGDModel(Model, ColumnParams, MLWritable, MLReadable):
    """What both models do.

    Attributes
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task: ClassVar[str]

    def __init__(self, core: LinearModel):
        super().__init__()
        if core.task != self._task:
            raise ConfigError(f"the model is of a {core.task}; {type(self).__name__} is for {self._task}")
        self.core = core
        # What ``initialModel`` goes on with besides the weights: the optimiser's, and the weight of the rows seen. Not saved.
        self._state: dict[str, Any] = {}

    def following(self: Self, spec: FeatureSpec, roles: Roles) -> Self:
        """Name the columns that a model was trained on, where they were not named by Spark's parameters.

        Parameters
        ----------
        spec : FeatureSpec
        roles : Roles
            Columns of label, weight and offset.

        Returns
        -------
        self
        """
        names = {"featuresCol": list(spec.columns)} if spec.columns != (COLUMN,) else {}
        given = {"labelCol": roles.label, "weightCol": roles.weight, "offsetCol": roles.offset}
        names |= {name: value for name, value in given.items() if value is not None}  # type: ignore[misc]
        return self._set(**{name: value for name, value in names.items() if not self.isSet(name)})

    def _transform(self, dataset: DataFrame) -> DataFrame:
        outputs = {name: self.column(name) for name in self._outputs}
        return add_predictions(self.core, dataset, self.getOrDefault("featuresCol"), self.column("offsetCol"), outputs)

    _outputs: ClassVar[tuple[str, ...]] = ("predictionCol",)

    def evaluate(self, dataset: DataFrame | Dataset) -> dict[str, float]:
        """Return the metrics of the task by name.

        Parameters
        ----------
        dataset : DataFrame or Dataset
            A DataFrame with the model's columns, measured by the executors; or Parquet files, read by the driver.

        Returns
        -------
        dict of str to float

        Raises
        ------
        DataError
            Also for a label that is none of the classes.
        """
        if isinstance(dataset, Dataset):
            return self.core.evaluate(dataset)
        roles = Roles(self.column("labelCol"), self.column("weightCol"), self.column("offsetCol"))
        return measure(self.core, dataset, self.getOrDefault("featuresCol"), roles).results()

    @property
    def coefficientMatrix(self) -> DenseMatrix:  # noqa: N802
        """Coefficients on the scale of the data, of shape (k, d)."""
        k, d = self.core.coef.shape
        return DenseMatrix(k, d, self.core.coef.astype(np.float64).ravel(), isTransposed=True)

    @property
    def interceptVector(self) -> DenseVector:  # noqa: N802
        """Intercepts, of shape (k,)."""
        return Vectors.dense(self.core.intercept.astype(np.float64))

    @property
    def coefficients(self) -> DenseVector:
        """Coefficients of a model with one score, of shape (d,)."""
        return Vectors.dense(self._only(self.core.coef)[0].astype(np.float64))

    @property
    def intercept(self) -> float:
        """Intercept of a model with one score."""
        return float(self._only(self.core.intercept)[0])

    def _only(self, array: np.ndarray) -> np.ndarray:
        if len(array) != 1:
            raise ConfigError(f"the model has {len(array)} scores; use coefficientMatrix and interceptVector")
        return array

    @property
    def numFeatures(self) -> int:  # noqa: N802
        """Number of weights, d."""
        return self.core.coef.shape[1]

    @property
    def history_(self) -> History:
        """What happened in each epoch."""
        return History(self.core.history)

    def copy(self: Self, extra: Any = None) -> Self:
        """Return a copy with other parameters; the weights, which never change, are shared.

        Parameters
        ----------
        extra : dict of Param to value, optional
        """
        other = super().copy(extra)
        other.core = self.core
        return other

    def write(self) -> "_Writer":
        """Return a writer: ``model.write().overwrite().save(path)``."""
        return _Writer(self)

    @classmethod
    def read(cls) -> "_Reader":
        """Return a reader: ``SGDClassificationModel.read().load(path)``."""
        return _Reader(cls)


class SGDClassificationModel(_SGDModel, ProbabilityParams):
    """A fitted classifier: adds ``rawPrediction``, ``probability`` (for losses that have one) and ``prediction``.

    A prediction is the label as it was trained on: a double, a boolean or a string.

    Parameters
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task = "classification"
    _outputs = ("rawPredictionCol", "probabilityCol", "predictionCol")

    @property
    def numClasses(self) -> int:  # noqa: N802
        """Number of classes."""
        return len(self.classes)

    @property
    def classes(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        return np.asarray(self.core.classes)


class SGDRegressionModel(_SGDModel):
    """A fitted regression: adds ``prediction``, the mean of the target.

    Parameters
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task = "regression"


class _Writer(MLWriter):
    """Writes the directory of the core, with what Spark asks of a stage beside: its class, uid and parameters."""

    def __init__(self, instance: _SGDModel):
        super().__init__()
        self._instance = instance

    def save(self, path: str) -> None:
        """Save to a path that Spark or pyarrow can write to."""
        session = self._sparkSession or SparkSession.getActiveSession()
        with written(session, path, self.shouldOverwrite) as place:
            beside = {_METADATA: _metadata(self._instance)}
            save(self._instance.core, place, overwrite=self.shouldOverwrite, beside=beside)


def _metadata(instance: _SGDModel) -> bytes:
    """One line of JSON as ``pyspark.ml.util.DefaultParamsWriter`` writes it, by which a Pipeline finds its stages."""
    state = {
        "class": f"spark_ext.{type(instance).__name__}",
        "timestamp": round(time.time() * 1000),
        "sparkVersion": pyspark.__version__,
        "uid": instance.uid,
        "paramMap": {param.name: value for param, value in instance._paramMap.items()},
        "defaultParamMap": {param.name: value for param, value in instance._defaultParamMap.items()},
    }
    return json.dumps(state, separators=(",", ":")).encode()


class _Reader(MLReader):
    """Reads what any of the packages has saved."""

    def __init__(self, cls: Any):
        super().__init__()
        self._cls = cls

    def load(self, path: str) -> Any:
        """Load a model; one that was saved elsewhere names its feature columns itself."""
        with readable(self._sparkSession or SparkSession.getActiveSession(), path) as place:
            model = self._cls(load(place))
            state = read_beside(place, _METADATA)
        if state is None:
            return model.following(model.core.spec, Roles())
        try:
            saved = json.loads(state)
            return model._resetUid(saved["uid"])._set(**saved["paramMap"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}/{_METADATA} is damaged: {error}; save the model again") from error
