"""The model of Spark ML that predicts the same: built through the JVM's gateway, and used wherever it can be.

In comes a fitted model with its Params, out goes ``pyspark.ml``'s LogisticRegressionModel, LinearSVCModel or
LinearRegressionModel, or the reason why there is none. Predictions then need no Python on the executors.
"""

import uuid
from typing import Any

import numpy as np
from pyspark.ml.linalg import DenseMatrix, Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from dsgd.errors import ConfigError
from dsgd.fitted import LinearModel

from ..columns import feature_columns
from .attributes import indexed, output_metadata
from .vector_checks import of_size, refusing_non_finite

# By loss and outputs; regressions whose prediction is the score itself.
_CLASSIFIERS = {
    ("log_loss", "single"): "LogisticRegression",
    ("log_loss", "softmax"): "LogisticRegression",
    ("hinge", "single"): "LinearSVC",
    ("squared_hinge", "single"): "LinearSVC",
}
_IDENTITY = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive", "quantile")
# Set by the rules of this module, or of another meaning in the JVM.
_OWN = ("threshold", "thresholds", "loss", "featuresCol")
_CHECKED = "__dsgd_features__"


def obstacle(model: Any) -> str | None:
    """Return why no model of Spark ML predicts what this one does, or None when one does.

    Parameters
    ----------
    model : SGDClassificationModel or SGDRegressionModel
    """
    core: LinearModel = model.core
    if len(core.spec.vectors) != 1 or len(core.spec.columns) != 1:
        return (
            f"its features are the columns {list(core.spec.columns)}, and Spark ML's models take one vector column; fit on the"
            " output of a VectorAssembler"
        )
    if core.spec.means is not None:
        return "it puts the column's mean in the place of missing numbers (missing='mean'); use pyspark.ml's Imputer before it"
    if model.column("offsetCol") is not None:
        return (
            f"it adds the column offsetCol={model.column('offsetCol')!r} to the score, which Spark ML's models cannot"
        )
    if core.classes is None:
        return (
            None
            if core.loss in _IDENTITY
            else f"loss={core.loss!r} predicts by a link that LinearRegressionModel has not"
        )
    if (core.loss, core.outputs) not in _CLASSIFIERS:
        ways = "one classifier a class" if core.outputs == "ovr" else "two classes"
        return f"Spark ML has no model of loss={core.loss!r} with {ways}; loss='log_loss' has one"
    return _other_labels(core.classes)


def _other_labels(classes: np.ndarray) -> str | None:
    k = len(classes)
    if not indexed(classes):
        odd = next(
            (c for i, c in enumerate(classes.tolist()) if isinstance(c, (str, bool)) or c != i), classes[-1].item()
        )
        return (
            f"Spark ML's labels are 0.0 to {k - 1}.0, and the model's are others, such as {odd!r}; index the label by a"
            " StringIndexer and fit again"
        )
    return None


def is_classic(session: SparkSession) -> bool:
    """Whether a session has a gateway to the JVM."""
    return not type(session).__module__.startswith("pyspark.sql.connect")


def twin(model: Any, session: SparkSession | None) -> Any:
    """Return Spark ML's model that predicts what this one does, with its Params, which the JVM is still to be told.

    Parameters
    ----------
    model : SGDClassificationModel or SGDRegressionModel
    session : SparkSession, optional
        Whose JVM is to hold it.

    Raises
    ------
    ConfigError
        When there is none, or no JVM to make it in.
    """
    if session is None or not is_classic(session):
        raise ConfigError(
            "toSparkML() builds a model inside the JVM, which needs a classic SparkSession, and this is"
            + (" Spark Connect" if session is not None else " no session")
            + ": save the model, load it in a classic session and convert it there. transform works in any session"
        )
    reason = obstacle(model)
    if reason is not None:
        raise ConfigError(f"the model has no twin in Spark ML: {reason}")
    native = _built(model.core, session)
    _carry(model, native)
    return native._set(featuresCol=feature_columns(model.getOrDefault("featuresCol"))[0])


def _built(core: LinearModel, session: SparkSession) -> Any:
    from pyspark.ml import classification, regression
    from pyspark.ml.common import _py2java

    def java(value: Any) -> Any:
        return _py2java(session.sparkContext, value)

    jvm: Any = session._jvm
    ml = jvm.org.apache.spark.ml
    coef, intercept = core.coef.astype(np.float64), core.intercept.astype(np.float64)
    kind = "LinearRegression" if core.classes is None else _CLASSIFIERS[core.loss, core.outputs]
    uid = f"{kind}_{uuid.uuid4().hex[-12:]}"
    if kind == "LogisticRegression":
        matrix = DenseMatrix(coef.shape[0], coef.shape[1], coef.ravel(), isTransposed=True)
        multinomial, k = core.outputs == "softmax", len(core.classes)  # type: ignore[arg-type]
        made = ml.classification.LogisticRegressionModel(
            uid, java(matrix), java(Vectors.dense(intercept)), k, multinomial
        )
        return classification.LogisticRegressionModel(made)
    single = (uid, java(Vectors.dense(coef[0])), float(intercept[0]))
    if kind == "LinearSVC":
        return classification.LinearSVCModel(ml.classification.LinearSVCModel(*single))
    return regression.LinearRegressionModel(ml.regression.LinearRegressionModel(*single))


def _carry(model: Any, native: Any) -> None:
    """Give the native model the Params that both have and that were set."""
    for param in model.params:
        name = param.name
        if name in _OWN or not native.hasParam(name) or not model.isSet(param):
            continue
        value = model.getOrDefault(param)
        if value not in ("auto", "ovr"):  # which only this package knows
            native._set(**{name: value})
    if model.core.classes is None:
        return
    decision = model.decision()
    if decision.thresholds is not None:
        native._set(thresholds=list(decision.thresholds))
    elif decision.threshold is not None and model.core.outputs == "softmax":
        native._set(thresholds=[1 - decision.threshold, decision.threshold])
    elif decision.threshold is not None:
        native._set(threshold=decision.threshold)


def why_python(model: Any, frame: DataFrame) -> str | None:
    """Return why a DataFrame is transformed by Python, or None when the native model does it.

    Parameters
    ----------
    model : SGDClassificationModel or SGDRegressionModel
    frame : DataFrame
    """
    if not is_classic(frame.sparkSession):
        return "Spark Connect has no gateway to the JVM"
    reason = obstacle(model)
    if reason is not None:
        return reason
    name = feature_columns(model.getOrDefault("featuresCol"))[0]
    kind = frame.schema[name].dataType
    return None if isinstance(kind, VectorUDT) else f"column {name!r} is of type {kind.simpleString()}, not vector"


def add_natively(model: Any, frame: DataFrame, outputs: dict[str, str | None]) -> DataFrame:
    """Return the DataFrame with the columns that the native model adds, checked as Python would check them.

    Rows without a vector, of another size, or with a number that is not finite end the query with an error that says so;
    Spark ML itself predicts class 0 for a NaN.

    Parameters
    ----------
    model : SGDClassificationModel or SGDRegressionModel
    frame : DataFrame
    outputs : dict
        Names of the new columns, by parameter, in their order; an empty name leaves a column out.
    """
    name = feature_columns(model.getOrDefault("featuresCol"))[0]
    native = twin(model, frame.sparkSession)
    made = {parameter: f"__dsgd_{parameter}__" for parameter in outputs if native.hasParam(parameter)}
    native._set(featuresCol=_CHECKED, **made)
    size = model.numFeatures
    result = native.transform(frame.withColumn(_CHECKED, of_size(name, F.col(f"`{name}`"), size)))
    first = made.get("rawPredictionCol")
    value = F.unwrap_udt(F.col(first))["values"][0] if first else F.col(made["predictionCol"])
    refusing = refusing_non_finite(name, value)
    found = {
        column: refusing.otherwise(F.col(made[parameter])).alias(
            column, metadata=output_metadata(model.core, parameter)
        )
        for parameter, column in outputs.items()
        if column and parameter in made
    }
    return result.withColumns(found).drop(_CHECKED, *made.values())
