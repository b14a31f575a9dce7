"""Predictions on Spark: a model's ``transform`` as it is, and by Python where a user's model or columns leave no other way."""

import numpy as np
from pyspark.sql import DataFrame

from dsgd.data.spec import FeatureSpec, Vector
from dsgd.fitted import LinearModel
from spark_ext import SGDClassificationModel
from spark_ext.models.predictions import add_predictions

from ..data import DENSE_COLUMNS, dense_truth

_OUTPUTS = {"rawPredictionCol": "rawPrediction", "probabilityCol": "probability", "predictionCol": "prediction"}


def model() -> SGDClassificationModel:
    """The model that drew the dense set's labels; what it costs to apply does not depend on its numbers."""
    spec = FeatureSpec(vectors=(Vector("features", DENSE_COLUMNS),))
    core = LinearModel(
        dense_truth()[None].astype(np.float32), np.zeros(1, np.float32), np.array([0, 1]), spec, "log_loss"
    )
    return SGDClassificationModel(core)


def by_python(frame: DataFrame, column: str) -> DataFrame:
    """All three columns by Python, from a column of vectors or of arrays."""
    return add_predictions(model().core, frame, column, None, _OUTPUTS)
