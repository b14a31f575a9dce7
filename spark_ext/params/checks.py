"""What can be said about a DataFrame before any job: the columns that Params name are there, and of a kind that they can be.

In come a schema and a stage's Params; out comes at most an error, in Spark's names. Values are looked at where rows are read.
"""

from typing import Any

from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import ArrayType, AtomicType, BooleanType, DataType, NumericType, StringType, StructType

from dsgd.errors import ConfigError, DataError

from .shared import ColumnParams

# Params that name the columns that a model adds.
OUTPUTS = ("predictionCol", "probabilityCol", "rawPredictionCol")
_NUMBERS: tuple[type[DataType], ...] = (NumericType, BooleanType)
_PLAIN = (*_NUMBERS, StringType)


def check_frame(frame: Any) -> None:
    """Refuse what is no DataFrame of Spark's, or one that never ends.

    Parameters
    ----------
    frame : DataFrame

    Raises
    ------
    DataError, ConfigError
    """
    if not hasattr(frame, "sparkSession"):
        raise DataError(
            f"fit takes a Spark DataFrame, not {type(frame).__name__}; make one by spark.createDataFrame(...), or give files to"
            " fitParquet(dsgd.read_parquet(...))"
        )
    if frame.isStreaming:
        raise ConfigError(
            "a streaming DataFrame has no end to fit to; fit each of its micro-batches by writeStream.foreachBatch, and go on"
            " from the model of the one before: initialModel=model"
        )


def check_columns(schema: StructType, stage: ColumnParams, task: str) -> None:
    """Refuse a DataFrame that a stage cannot be fitted on, by its schema.

    Parameters
    ----------
    schema : StructType
    stage : FitParams
        Its Params name the columns.
    task : {"classification", "regression"}

    Raises
    ------
    DataError
        For a column that is not there, or is of another type.
    ConfigError
        For a column that has two uses, or that a model of this stage would add and is there already.
    """
    _check_features(schema, stage)
    labels = _PLAIN if task == "classification" else _NUMBERS
    wanted: dict[str, tuple[tuple[type[DataType], ...], str]] = {
        "labelCol": (labels, "numbers, booleans or strings" if task == "classification" else "numbers"),
        "weightCol": (_NUMBERS, "numbers"),
        "offsetCol": (_NUMBERS, "numbers"),
        "validationIndicatorCol": ((BooleanType,), "booleans"),
    }
    for param, (kinds, words) in wanted.items():
        name = stage.column(param)
        if name:
            kind = _type_of(schema, param, name)
            if not isinstance(kind, kinds):
                raise DataError(
                    f"{param}={name!r} is a column of {kind.simpleString()}; {words} are needed: convert it"
                )
    _check_uses(stage)
    check_outputs(schema, stage)


def _check_features(schema: StructType, stage: ColumnParams) -> None:
    given = stage.getOrDefault("featuresCol")
    if isinstance(given, str):
        kind = _type_of(schema, "featuresCol", given)
        if isinstance(kind, _PLAIN):
            raise DataError(
                f"featuresCol={given!r} is a column of {kind.simpleString()}; a column of vectors or arrays is needed. To take"
                f" plain columns, give a list: featuresCol=[{given!r}]"
            )
    names = [given] if isinstance(given, str) else given
    if not names:
        raise ConfigError("featuresCol names no column; give at least one")
    for name in names:
        kind = _type_of(schema, "featuresCol", name)
        category = name in stage.getOrDefault("categoricalCols") and isinstance(kind, AtomicType)
        if not (category or isinstance(kind, _PLAIN) or _is_vector(kind)):
            raise DataError(
                f"column {name!r} of featuresCol is of type {kind.simpleString()}; featuresCol takes numbers, strings, booleans,"
                " arrays of numbers and vectors: convert it, or name a column of dates in categoricalCols as well"
            )


def _is_vector(kind: DataType) -> bool:
    return isinstance(kind, VectorUDT) or (isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType))


def _type_of(schema: StructType, param: str, name: str) -> DataType:
    found = [field.dataType for field in schema.fields if field.name == name]
    if not found:
        raise DataError(f"the DataFrame has no column {name!r}, which {param} names; its columns are {schema.names}")
    if len(found) > 1:
        raise DataError(f"the DataFrame has {len(found)} columns {name!r}, which {param} names; rename all but one")
    return found[0]


def _check_uses(stage: ColumnParams) -> None:
    """A column has one use: a label among the features would be learnt by heart."""
    features = stage.getOrDefault("featuresCol")
    uses = dict.fromkeys([features] if isinstance(features, str) else features, "featuresCol")
    for param in ("labelCol", "weightCol", "offsetCol", "validationIndicatorCol"):
        name = stage.column(param)
        if name in uses:
            raise ConfigError(f"column {name!r} is named by both {uses[name]} and {param}; name another in one of them")
        if name:
            uses[name] = param


def check_outputs(schema: StructType, stage: ColumnParams) -> None:
    """Raise ConfigError for a column that is there already: as in Spark ML, a model does not replace one."""
    seen: dict[str, str] = {}
    for param in OUTPUTS:
        name = stage.column(param) if stage.hasParam(param) else None
        if not name:
            continue
        if name in schema.names:
            raise ConfigError(f"column {name!r}, which {param} names, is there already; drop it, or name another")
        if name in seen:
            raise ConfigError(f"{seen[name]} and {param} both name the column {name!r}; name another in one of them")
        seen[name] = param
