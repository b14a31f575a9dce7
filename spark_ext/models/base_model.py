"""What both models on Spark do: transformers that add predictions, and directories that every package loads."""
# ruff: noqa: N802

from typing import Any, ClassVar, TypeVar

import numpy as np
from pyspark.ml import Model
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import DataFrame, SparkSession

from dsgd.data.matrices import COLUMN
from dsgd.data.resolve import Roles
from dsgd.data.spec import FeatureSpec
from dsgd.errors import ConfigError
from dsgd.estimators import History
from dsgd.fitted import LinearModel

from ..columns import check_present, feature_columns
from ..params.checks import check_outputs
from ..params.record_params import RecordParams
from .attributes import check_size
from .measured import Measured
from .native import add_natively, twin, why_python
from .predictions import add_predictions
from .saving import ModelReader, ModelWriter
from .thresholds import Decision
from .weights import Weights

Self = TypeVar("Self", bound="SGDModel")


class SGDModel(Weights, RecordParams, Measured, Model, MLWritable, MLReadable):
    """What both models do.

    Attributes
    ----------
    core : LinearModel
        The model itself, which predicts without Spark too.
    """

    _task: ClassVar[str]
    _outputs: ClassVar[tuple[str, ...]] = ("predictionCol",)

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
        check_outputs(dataset.schema, self)
        outputs = {name: self.column(name) for name in self._outputs}
        if self._why_python(dataset) is None:
            return add_natively(self, dataset, outputs)
        features, offset = self.getOrDefault("featuresCol"), self.column("offsetCol")
        return add_predictions(self.core, dataset, features, offset, outputs, self.decision())

    def _why_python(self, dataset: DataFrame) -> str | None:
        names = feature_columns(self.getOrDefault("featuresCol"))
        check_present(dataset, names)
        if len(self.core.spec.columns) == len(names) == 1:
            check_size(dataset.schema, names[0], self.numFeatures)
        return why_python(self, dataset)

    def explainTransform(self, dataset: DataFrame) -> str:
        """Return who predicts when a DataFrame is transformed: a model of Spark ML inside the JVM, or Python, and why.

        Parameters
        ----------
        dataset : DataFrame

        Returns
        -------
        str
            ``"native: ..."`` or ``"python: "`` and the reason.
        """
        reason = self._why_python(dataset)
        return "native: a model of Spark ML, without Python" if reason is None else f"python: {reason}"

    def decision(self) -> Decision:
        """Return how a class is chosen; a regression chooses none."""
        return Decision()

    def toSparkML(self) -> Any:
        """Return the model of ``pyspark.ml`` that predicts the same, in the JVM of the active session.

        Returns
        -------
        LogisticRegressionModel, LinearSVCModel or LinearRegressionModel

        Raises
        ------
        ConfigError
            When Spark ML has no such model, and on Spark Connect.
        """
        native = twin(self, SparkSession.getActiveSession())
        native._transfer_params_to_java()
        return native

    @property
    def history_(self) -> History:
        """What happened in each epoch."""
        return History(self.core.history)

    def predict(self, value: Any) -> Any:
        """Return the prediction for one vector.

        Parameters
        ----------
        value : DenseVector or SparseVector

        Raises
        ------
        ConfigError
            For a model of other columns than one of vectors, or with an offset.
        DataError
            For a vector of another size, or that is not finite.
        """
        return self.core.predictions(self._score(value)).item()

    def _score(self, value: Any) -> np.ndarray:
        spec = self.core.spec
        if len(spec.columns) != 1 or len(spec.vectors) != 1:
            raise ConfigError(f"the model is of the columns {list(spec.columns)}, not of one vector; use transform")
        if self.column("offsetCol") is not None:
            raise ConfigError(
                f"the model adds offsetCol={self.column('offsetCol')!r}, which a vector has not; use transform"
            )
        row = np.asarray(value.toArray() if hasattr(value, "toArray") else value, self.core.coef.dtype)
        return self.core.decision_function(row[None])

    def copy(self: Self, extra: Any = None) -> Self:
        """Return a copy with other parameters; the weights, which never change, are shared.

        Parameters
        ----------
        extra : dict of Param to value, optional
        """
        other = super().copy(extra)
        other.core = self.core
        return other

    def write(self) -> ModelWriter:
        """Return a writer: ``model.write().overwrite().save(path)``."""
        return ModelWriter(self)

    @classmethod
    def read(cls) -> ModelReader:
        """Return a reader: ``SGDClassificationModel.read().load(path)``."""
        return ModelReader(cls)
