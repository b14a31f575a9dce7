"""What a constructor takes: Params by keyword, shown in its signature; and what to do about Spark ML's that are not here."""

import inspect
from typing import Any, TypeVar

from pyspark.ml.param import Params

from dsgd.errors import ConfigError

from .names import SPARK_NAMES

C = TypeVar("C", bound=type[Params])

_BOUNDS = (
    "coefficients have no bounds; use LogisticRegression, or a penalty (regParam, elasticNetParam) to keep them small"
)
# Params of Spark ML's linear estimators that do not exist here, and what to do instead.
ELSEWHERE = {
    "lowerBoundsOnCoefficients": _BOUNDS,
    "upperBoundsOnCoefficients": _BOUNDS,
    "lowerBoundsOnIntercepts": _BOUNDS,
    "upperBoundsOnIntercepts": _BOUNDS,
    "maxBlockSizeInMB": "leave it out: rows are kept in blocks of their own size; cacheBytes and memoryLimit bound them",
    "blockSize": "leave it out: rows are kept in blocks of their own size; cacheBytes and memoryLimit bound them",
    "solver": "leave it out: optimizer='auto' chooses by the data, and takes second-order steps where they are cheap",
    "miniBatchFraction": "use batchSize, the rows of a mini-batch",
    "link": "choose loss='poisson', 'gamma' or 'tweedie', each with the logarithm as its link",
    "variancePower": "use loss='tweedie' and power",
    "linkPower": "choose loss='poisson', 'gamma' or 'tweedie', each with the logarithm as its link",
    "parallelism": "use numWorkers, the tasks of a fit",
}


def keyword_params(cls: C) -> C:
    """Show every Param, with its default, in the signature of a class's constructor; one that is not set by default is None.

    Parameters
    ----------
    cls : type
        Its constructor takes keywords.
    """
    stage = cls()
    shown = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    for param in stage.params:
        default = stage.getOrDefault(param) if stage.isDefined(param) else None
        shown.append(inspect.Parameter(param.name, inspect.Parameter.KEYWORD_ONLY, default=default))
    cls.__init__.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return cls


def refuse_unknown(stage: Params, names: Any) -> None:
    """Raise ConfigError for a name that is none of a stage's Params, with what to do if it is one of Spark ML's."""
    for name in names:
        if not stage.hasParam(name):
            raise ConfigError(unknown(stage, name))


def unknown(stage: Params, name: str) -> str:
    """Say that a stage has no Param of a name."""
    known = f"{name!r} is not a parameter of {type(stage).__name__}"
    if name in ELSEWHERE:
        return f"{known}, as it is of some of Spark ML's estimators: {ELSEWHERE[name]}"
    if name in SPARK_NAMES and stage.hasParam(SPARK_NAMES[name]):
        return f"{known}; its name on Spark is {SPARK_NAMES[name]!r}"
    return f"{known}; they are {sorted(p.name for p in stage.params)}"


def spark_ml_param(accessor: str) -> str | None:
    """The Param of Spark ML that a setter or getter is for, if it is one that does not exist here.

    Examples
    --------
    >>> spark_ml_param("setSolver"), spark_ml_param("getMaxIter")
    ('solver', None)
    """
    if accessor[:3] not in ("set", "get"):
        return None
    name = accessor[3:4].lower() + accessor[4:]
    return name if name in ELSEWHERE else None
