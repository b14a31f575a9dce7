"""Predictions as columns, by Python: a function over the feature columns alone, so that all other columns stay in the JVM.

Vectors reach Python as Arrow lists of the model's own dtype, and are seen by numpy without a copy. With one score a row,
numbers travel back and the JVM makes vectors of them, ``[-score, score]`` and ``[1 - p, p]``; vectors themselves would be half a
second a million rows faster, and Spark 4.3 cannot take them beside the columns of a Parquet scan. Spark before 4.1 has no
functions over Arrow's arrays; there the same goes through pandas.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pt
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import ArrayType, BooleanType, DataType, DoubleType, StringType, StructField, StructType

from dsgd.data.resolve import Roles
from dsgd.errors import DSGDError
from dsgd.fitted import LinearModel
from dsgd.metrics import Metrics
from dsgd.train.rank import failure_of

from ..cluster.messages import translate
from ..cluster.worker import RankFailed, mark
from ..columns import check_present, feature_columns, plain, plain_column
from .attributes import output_metadata
from .thresholds import Decision
from .vector_checks import of_size

_RESULT = "__dsgd__"
_TYPES: dict[str, DataType] = {"U": StringType(), "b": BooleanType()}
_OVER_ARROW = hasattr(F, "arrow_udf")


def add_predictions(
    model: LinearModel,
    frame: DataFrame,
    features: Any,
    offset: str | None,
    outputs: dict[str, str | None],
    decision: Decision = Decision(),  # noqa: B008  frozen
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
        Names of the new columns, by parameter, in their order; an empty name leaves a column out.
    decision : Decision
        How a class is chosen.
    """
    names = [*feature_columns(features), *([offset] if offset else [])]
    check_present(frame, names)
    columns_of = renamed(model, names)
    taken = [_taken(model, frame, columns_of, name) for name in names]
    wanted = {parameter: name for parameter, name in outputs.items() if name and _exists(model, parameter)}
    schema = to_arrow_schema(frame.select(*taken).schema)
    schema = pa.schema([field.with_name(columns_of.get(field.name, field.name)) for field in schema])
    fields = StructType([StructField(parameter, _type(model, parameter)) for parameter in wanted])

    def predict(table: pa.Table) -> dict[str, pa.Array]:
        return _predict(model, table, offset, decision, list(wanted))

    result = frame.withColumn(_RESULT, _function(predict, schema, fields)(*taken))
    found = {}
    for parameter, name in wanted.items():
        column = _vector(model, parameter, F.col(f"{_RESULT}.{parameter}"))
        found[name] = column.alias(name, metadata=output_metadata(model, parameter))
    return result.withColumns(found).drop(_RESULT)


def renamed(model: LinearModel, names: list[str]) -> dict[str, str]:
    """A model with one column takes it under any name, as Spark's own models do."""
    columns = model.spec.columns
    return {names[0]: columns[0]} if len(columns) == 1 else {}


def _taken(model: LinearModel, frame: DataFrame, names: dict[str, str], name: str) -> Column:
    """A column as Python gets it: dense vectors as arrays, which are several times faster than structs."""
    dense = {vector.name: vector.width for vector in model.spec.dense_vectors}
    size = dense.get(names.get(name, name))
    if size is not None and isinstance(frame.schema[name].dataType, VectorUDT):
        return vector_to_array(of_size(name, F.col(f"`{name}`"), size), model.coef.dtype.name).alias(name)
    return plain_column(frame, name)


def _exists(model: LinearModel, parameter: str) -> bool:
    return parameter != "probabilityCol" or (model.classes is not None and model.loss_object.probabilities)


def _single(model: LinearModel) -> bool:
    """Whether two classes share a score, so that a number stands for a vector of two."""
    return model.classes is not None and len(model.intercept) == 1


def _type(model: LinearModel, parameter: str) -> DataType:
    """What Python returns for one of the columns; no vectors, which Spark does not take from it over columnar sources."""
    if parameter != "predictionCol":
        return DoubleType() if _single(model) else ArrayType(DoubleType())
    return DoubleType() if model.classes is None else _TYPES.get(model.classes.dtype.kind, DoubleType())


def _vector(model: LinearModel, parameter: str, value: Column) -> Column:
    """A column of the result as Spark ML has it, made of what Python returned."""
    if parameter == "predictionCol":
        return value
    if not _single(model):
        return array_to_vector(value)
    other = -value if parameter == "rawPredictionCol" else 1 - value
    return array_to_vector(F.array(other, value))


def _function(predict: Callable[[pa.Table], dict[str, pa.Array]], schema: pa.Schema, fields: StructType) -> Any:
    """The function over columns, as this version of Spark can have it."""
    if _OVER_ARROW:

        def of_arrow(*columns: pa.Array) -> pa.Array:
            found = predict(pa.table(list(columns), names=schema.names))
            return pa.StructArray.from_arrays(list(found.values()), names=list(found))

        return F.arrow_udf(of_arrow, fields)  # type: ignore[call-overload]

    def of_pandas(rows: pd.DataFrame) -> pd.DataFrame:
        columns = [_as_arrow(rows.iloc[:, i], field.type) for i, field in enumerate(schema)]
        found = predict(pa.table(columns, names=schema.names))
        return pd.DataFrame({name: values.to_pandas() for name, values in found.items()})

    function = F.pandas_udf(of_pandas, fields)  # type: ignore[call-overload]
    return lambda *columns: function(F.struct(*columns))


def _as_arrow(column: pd.Series, kind: pa.DataType) -> pa.Array:
    """A column of pandas as Arrow has it; arrays, which pandas has one by one, are put together again."""
    if pt.is_list(kind) and len(column) and not column.isna().any():
        values = np.concatenate(column.to_numpy())
        ends = np.cumsum([len(row) for row in column])
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(values, kind.value_type, from_pandas=False))
    return pa.Array.from_pandas(column, type=kind)


def _predict(
    model: LinearModel, rows: pa.Table, offset: str | None, decision: Decision, wanted: list[str]
) -> dict[str, pa.Array]:
    scores = model.decision_function(rows, offset)
    if model.classes is None:
        return {"predictionCol": pa.array(model.predictions(scores).astype(np.float64))}
    probabilities = model.probabilities(scores) if model.loss_object.probabilities else None
    found = {"rawPredictionCol": scores}
    if probabilities is not None:
        found["probabilityCol"] = probabilities[:, 1] if _single(model) else probabilities
    columns = {parameter: _lists(found[parameter]) for parameter in wanted if parameter in found}
    if "predictionCol" in wanted:
        predictions = model.classes[decision.positions(scores, probabilities)]
        numbers = predictions.dtype.kind not in _TYPES
        columns["predictionCol"] = pa.array(predictions.astype(np.float64) if numbers else predictions)
    return {parameter: columns[parameter] for parameter in wanted}


def _lists(values: np.ndarray) -> pa.Array:
    """Doubles, or lists of as many doubles as the array has columns."""
    flat = pa.array(values.astype(np.float64).ravel())
    if values.ndim == 1:
        return flat
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def measure(model: LinearModel, frame: DataFrame, features: Any, roles: Roles) -> Metrics:
    """Return the metrics of a DataFrame: sums that the executors make and the driver adds up."""
    names = feature_columns(features)
    selected = plain(frame, [*names, *roles.names])
    body = functools.partial(_sums, model, renamed(model, names), roles)
    total = model.metrics()
    try:
        rows = selected.mapInArrow(body, "sums array<double>").collect()
    except Exception as error:
        raise translate(str(error)) from None
    for row in rows:
        total.merge(model.metrics().from_vector(np.array(row.sums)))
    return total


def _sums(
    model: LinearModel, names: dict[str, str], roles: Roles, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    total = model.metrics()
    for batch in batches:
        if batch.num_rows:
            table = pa.Table.from_batches([batch]).rename_columns([names.get(n, n) for n in batch.schema.names])
            try:
                total.merge(model.measure(table, roles.label, roles.weight, roles.offset))
            except DSGDError as error:
                raise RankFailed(mark(failure_of(0, error))) from error
    yield pa.record_batch({"sums": pa.array([total.to_vector()], pa.list_(pa.float64()))})
