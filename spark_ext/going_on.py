"""``initialModel``: what a fit takes over from an earlier model, so that a stream's micro-batches train one model on.

As with ``partial_fit`` in dsgd, a fit that goes on is one epoch over its rows, by an optimiser that keeps those before in mind.
"""

from typing import Any

from dsgd.errors import ConfigError
from dsgd.train.config import TrainedLinear


def going_on(stage: Any, initial: Any) -> dict[str, Any]:
    """Return the core's parameters that differ in a fit that goes on from a model.

    Parameters
    ----------
    stage : SGDClassifier or SGDRegressor
    initial : SGDClassificationModel or SGDRegressionModel

    Raises
    ------
    ConfigError
        For a model of another task or loss, and for what needs to know all rows or the end of the fit.
    """
    _refuse_another_kind(stage, initial)
    if stage.isSet("dtype") and stage.getOrDefault("dtype") != initial.core.coef.dtype.name:
        raise ConfigError(
            f"initialModel is of {initial.core.coef.dtype.name}, and a fit goes on in its model's dtype: leave dtype out"
        )
    more: dict[str, Any] = {}
    if stage.getOrDefault("optimizer") == "auto":
        # The others that "auto" knows go to the optimum of the rows they are given, and forget those before.
        more["optimizer"] = "adagrad"
    if stage.isSet("maxIter"):
        return more
    if stage.getOrDefault("learningRate") == "cosine":
        raise ConfigError(
            "learningRate='cosine' falls to zero at the end of a fit, and with initialModel there will be others; use"
            " 'constant' or 'invscaling', or set maxIter"
        )
    if stage.getOrDefault("earlyStopping"):
        raise ConfigError(
            "earlyStopping compares epochs of one fit, and a fit with initialModel is one epoch; set maxIter, or use"
            " earlyStopping=False"
        )
    return more | {"max_iter": 1, "tol": None}


def _refuse_another_kind(stage: Any, initial: Any) -> None:
    core, loss = initial.core, stage.core_parameters()["loss"]
    if core.task != stage._task:
        raise ConfigError(f"initialModel is a model of {core.task}, and {type(stage).__name__} is for {stage._task}")
    if core.loss != loss:
        raise ConfigError(
            f"initialModel was fitted with loss={core.loss!r}, and this fit has loss={loss!r}; use the same"
        )


def begun(initial: Any) -> tuple[TrainedLinear | None, float]:
    """Where a fit starts, and the weight of the rows seen before; None and 0 without a model to go on from."""
    if initial is None:
        return None, 0.0
    return initial.core.trained(initial._state), initial._state.get("weight", 0.0)


def kept_state(trained: TrainedLinear, whole: bool) -> dict[str, Any]:
    """What a model keeps for those that go on from it; the optimiser's arrays are as large as the weights."""
    return dict(trained.state) if whole else {"weight": trained.state["weight"]}
