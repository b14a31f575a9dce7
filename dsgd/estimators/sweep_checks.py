"""What a search is asked for, checked before work starts: configurations, scores, and the rows to measure by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid, ParameterSampler

from ..errors import ConfigError
from ..train.checkpoints.beginning import refuse_checkpoints
from ..train.config import FitConfig
from ..train.sweep.driver import VARYING, refuse_mode
from ..train.sweep.scores import SCORERS
from .base import LinearSGD
from .parameters import dtype_of

_DEFAULT = {"classification": "accuracy", "regression": "r2"}


def candidates_of(estimator: Any, param_grid: Any) -> list[dict[str, Any]]:
    """Return the parameters of all configurations, in scikit-learn's order.

    Raises
    ------
    ConfigError
        For an estimator of another package, no configurations, and parameters that cannot vary within one pass.
    """
    if not isinstance(estimator, LinearSGD) or estimator._task not in _DEFAULT:
        raise ConfigError(
            f"SweepCV trains configurations of dsgd's SGDClassifier or SGDRegressor, not of {_said(estimator)}; for other "
            "estimators there is scikit-learn's GridSearchCV"
        )
    try:
        found = list(param_grid if isinstance(param_grid, ParameterSampler) else ParameterGrid(param_grid))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"param_grid must be a dict from parameters to lists of values, a list of such, or a ParameterSampler: {error}"
        ) from error
    if not found:
        raise ConfigError("param_grid has no configurations")
    _refuse_unknown(estimator, found)
    _refuse_fixed(found)
    return found


def _said(estimator: Any) -> str:
    if isinstance(estimator, type):
        return f"the class {estimator.__name__}, which wants brackets: {estimator.__name__}()"
    return f"{type(estimator).__module__}.{type(estimator).__name__}"


def _refuse_unknown(estimator: Any, candidates: list[dict[str, Any]]) -> None:
    known = estimator.get_params(deep=False)
    unknown = sorted({name for candidate in candidates for name in candidate} - set(known))
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} in param_grid is no parameter of {type(estimator).__name__}; its parameters are {sorted(known)}"
        )


def _refuse_fixed(candidates: list[dict[str, Any]]) -> None:
    for name in sorted({name for candidate in candidates for name in candidate} - set(VARYING)):
        values = {repr(candidate.get(name)) for candidate in candidates}
        if len(values) > 1:
            raise ConfigError(
                f"{name} says how rows are read, encoded or shared out, so it cannot vary within one pass over the data; what "
                f"can is {', '.join(VARYING)}. Set {name} on the estimator, and search once for each of its values"
            )


def configs_of(estimator: Any, candidates: list[dict[str, Any]], X: Any, seed: int) -> list[FitConfig]:
    """Return the configuration of every candidate; checks all their values."""
    configs = []
    for candidate in candidates:
        own = clone(estimator).set_params(**candidate | {"random_state": seed})
        config: FitConfig = own._config(dtype_of(own.dtype, X), False)
        refuse_checkpoints(config.checkpoint, "a search is many")
        refuse_mode(config.mode)
        if config.early_stopping:
            raise ConfigError(
                "early_stopping=True holds out rows of its own, and a search measures by rows that it holds out already; use "
                "early_stopping=False, and stop by tol or max_iter"
            )
        configs.append(config)
    return configs


def metrics_of(scoring: Any, refit: Any, task: str) -> tuple[tuple[str, ...], str | None, bool]:
    """Return the names of the scores, the one to choose by (None: no choice), and whether the user asked for several."""
    several = not (scoring is None or isinstance(scoring, str))
    names = tuple(scoring) if several and _is_names(scoring) else (scoring or _DEFAULT[task],)
    unknown = [name for name in names if not isinstance(name, str) or name not in SCORERS]
    if unknown or not names:
        raise ConfigError(
            f"scoring must be one of {', '.join(SCORERS)}, a list of them, or None; not {scoring!r}. They are sums over rows, "
            "made where the rows are; a function of all predictions is not"
        )
    if several and not (_is_false(refit) or refit in names):
        raise ConfigError(f"with several scores, refit must be the name of one of them, or False; not {refit!r}")
    if not several and not isinstance(refit, (bool, np.bool_)):
        raise ConfigError(f"refit must be True or False for one score, not {refit!r}")
    return names, (None if _is_false(refit) else str(refit)) if several else names[0], several


def _is_false(refit: Any) -> bool:
    return isinstance(refit, (bool, np.bool_)) and not refit


def _is_names(scoring: Any) -> bool:
    return isinstance(scoring, (list, tuple, set)) and not isinstance(scoring, Mapping)


def check_cv(cv: Any, validation: Any) -> int | float | None:
    """Return ``cv`` as the core takes it.

    Raises
    ------
    ConfigError
        For anything that is not a number of folds, a share of the rows, or None beside validation rows.
    """
    if validation is not None:
        if cv is not None:
            raise ConfigError(
                f"fit was given validation rows and cv={cv!r}; use cv=None to measure by the validation rows, or give none"
            )
        return None
    number = isinstance(cv, (int, float, np.number)) and not isinstance(cv, bool)
    if number and isinstance(cv, (int, np.integer)) and cv >= 2:
        return int(cv)
    if number and 0 < cv < 1:
        return float(cv)
    raise ConfigError(
        f"cv must be a number of folds >= 2, a share of the rows between 0 and 1, or None with validation rows given to fit; "
        f"not {cv!r}. Rows stay where they are, so that splitters, which list rows, are not taken"
    )
