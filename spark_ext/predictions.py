"""Predictions as columns: a function over the feature columns alone, so that all other columns stay in the JVM."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, BooleanType, DataType, DoubleType, StringType, StructField, StructType

from dsgd.data.resolve import Roles
from dsgd.fitted import LinearModel
from dsgd.metrics import Metrics

from .columns import feature_columns, plain, plain_column

_RESULT = "__dsgd__"
_TYPES: dict[str, DataType] = {"U": StringType(), "b": BooleanType()}


def add_predictions(
    model: LinearModel, frame: DataFrame, features: Any, offset: str | None, outputs: dict[str, str | None]
) -> DataFrame:
    """Return the DataFrame with columns of scores, probabilities and predictions.

    Parameters
    ----------
    model : LinearModel
    frame : DataFrame
    features : str or list of str
        As in ``featuresCol``.
    offset : str, optional
        Column that is added to the scores.
    outputs : dict
        Names of the new columns, by parameter; an empty name leaves a column out.
    """
    names = [*feature_columns(features), *([offset] if offset else [])]
    plain(frame, names)  # Says which column is missing.
    kind = DoubleType() if model.classes is None else _TYPES.get(model.classes.dtype.kind, DoubleType())
    probable = model.classes is not None and model.loss_object.probabilities
    fields = [StructField("prediction", kind), StructField("raw", ArrayType(DoubleType()))]
    if probable:
        fields.append(StructField("probability", ArrayType(DoubleType())))
    columns_of = renamed(model, names)
    taken = [_taken(model, frame, columns_of, name) for name in names]
    schema = to_arrow_schema(frame.select(*taken).schema)

    def predict(rows: pd.DataFrame) -> pd.DataFrame:
        table = pa.Table.from_pandas(rows, schema, preserve_index=False)
        return _predict(model, table.rename_columns([columns_of.get(name, name) for name in names]), offset)

    score = F.pandas_udf(predict, StructType(fields))  # type: ignore[call-overload]
    result = frame.withColumn(_RESULT, score(F.struct(*taken)))
    columns = {
        outputs.get("rawPredictionCol"): array_to_vector(F.col(f"{_RESULT}.raw")),
        outputs.get("probabilityCol"): array_to_vector(F.col(f"{_RESULT}.probability")) if probable else None,
        outputs.get("predictionCol"): F.col(f"{_RESULT}.prediction"),
    }
    for name, column in columns.items():
        if name and column is not None:
            result = result.withColumn(name, column)
    return result.drop(_RESULT)


def renamed(model: LinearModel, names: list[str]) -> dict[str, str]:
    """A model with one column takes it under any name, as Spark's own models do."""
    columns = model.spec.columns
    return {names[0]: columns[0]} if len(columns) == 1 else {}


def _taken(model: LinearModel, frame: DataFrame, names: dict[str, str], name: str) -> Column:
    """A column as Python gets it: dense vectors as arrays, which are several times faster than structs."""
    dense = {vector.name for vector in model.spec.dense_vectors}
    if isinstance(frame.schema[name].dataType, VectorUDT) and names.get(name, name) in dense:
        return vector_to_array(F.col(f"`{name}`"), model.coef.dtype.name).alias(name)
    return plain_column(frame, name)


def _predict(model: LinearModel, rows: pa.Table, offset: str | None) -> pd.DataFrame:
    scores = model.decision_function(rows, offset)
    raw = np.column_stack([-scores, scores]) if scores.ndim == 1 and model.classes is not None else scores
    raw = raw.reshape(rows.num_rows, -1).astype(np.float64)
    predictions = model.predictions(scores)
    if predictions.dtype.kind not in "Ub":
        predictions = predictions.astype(np.float64)
    result = {"prediction": predictions, "raw": list(raw)}
    if model.classes is not None and model.loss_object.probabilities:
        result["probability"] = list(model.probabilities(scores).astype(np.float64))
    return pd.DataFrame(result)


def measure(model: LinearModel, frame: DataFrame, features: Any, roles: Roles) -> Metrics:
    """Return the metrics of a DataFrame: sums that the executors make and the driver adds up."""
    names = feature_columns(features)
    selected = plain(frame, [*names, *roles.names])
    body = functools.partial(_sums, model, renamed(model, names), roles)
    total = model.metrics()
    for row in selected.mapInArrow(body, "sums array<double>").collect():
        total.merge(model.metrics().from_vector(np.array(row.sums)))
    return total


def _sums(
    model: LinearModel, names: dict[str, str], roles: Roles, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    total = model.metrics()
    for batch in batches:
        if batch.num_rows:
            table = pa.Table.from_batches([batch]).rename_columns([names.get(n, n) for n in batch.schema.names])
            total.merge(model.measure(table, roles.label, roles.weight, roles.offset))
    yield pa.record_batch({"sums": pa.array([total.to_vector()], pa.list_(pa.float64()))})
