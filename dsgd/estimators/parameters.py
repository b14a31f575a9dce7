"""From an estimator's parameters to the configuration of a fit: the one place where the faces' names meet the core's."""

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ..errors import ConfigError
from ..train.config import FitConfig
from ..train.modes import resolve

# Parameters that the core knows by the same name and takes as they are.
SAME = (
    "loss",
    "epsilon",
    "quantile",
    "power",
    "penalty",
    "alpha",
    "l1_ratio",
    "fit_intercept",
    "family",
    "class_weight",
    "optimizer",
    "learning_rate",
    "eta0",
    "power_t",
    "warmup_steps",
    "batch_size",
    "max_iter",
    "tol",
    "n_iter_no_change",
    "early_stopping",
    "validation_fraction",
    "average",
    "shuffle",
    "standardize",
    "threads_per_worker",
    "cache_bytes",
    "memory_limit",
    "encrypt",
    "port_range",
    "interface",
    "deadline",
)


def configuration(task: str, parameters: dict[str, Any], *, dtype: str, n_workers: int, **more: Any) -> FitConfig:
    """Return the configuration that an estimator's parameters ask for.

    Parameters
    ----------
    task : {"classification", "regression"}
    parameters : dict
        As ``get_params`` gives them; those that the task does not have keep the core's defaults.
    dtype : {"float32", "float64"}
    n_workers : int
        Ranks, after the face has found out how many there are.
    **more
        What differs from the parameters: ``max_iter=1`` of a partial fit, say.

    Raises
    ------
    ConfigError
        For any value that the core refuses.

    Examples
    --------
    >>> configuration("regression", {"loss": "huber", "penalty": "none"}, dtype="float32", n_workers=2).penalty is None
    True
    """
    _refuse_own(parameters)
    same = {name: parameters[name] for name in SAME if name in parameters}
    if same.get("penalty") == "none":
        same["penalty"] = None
    if same.get("eta0") is None:
        same.pop("eta0", None)
    return FitConfig(
        **same | more,
        task=task,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        n_workers=n_workers,
        mode=resolve(parameters.get("mode", "sync")),
        seed=seed_of(parameters.get("random_state")),
    )


def _refuse_own(parameters: dict[str, Any]) -> None:
    """The parameters that the core does not know, because the faces of scikit-learn's kind use them alone."""
    warm_start, verbose = parameters.get("warm_start", False), parameters.get("verbose", 0)
    if not isinstance(warm_start, (bool, np.bool_)):
        raise ConfigError(f"warm_start must be True or False, not {warm_start!r}")
    if not (isinstance(verbose, (int, np.integer, np.bool_)) or callable(verbose)):
        raise ConfigError(f"verbose must be an integer, or something to call with each epoch's record, not {verbose!r}")


def seed_of(random_state: Any) -> int:
    """Return the seed of a run: an int as it is, otherwise a number drawn from the generator, or from numpy's own for None.

    Examples
    --------
    >>> seed_of(7), seed_of(np.random.RandomState(0)) == seed_of(np.random.RandomState(0))
    (7, True)
    """
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        if random_state < 0:
            raise ConfigError(f"random_state must be >= 0, not {random_state}")
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ConfigError(f"random_state must be an int >= 0, a RandomState or None, not {random_state!r}") from error


def dtype_of(dtype: Any, X: Any) -> str:
    """Return the dtype of a fit: the one asked for, or by None float64 for a float64 matrix and float32 for all else.

    Examples
    --------
    >>> dtype_of(None, np.zeros((2, 2))), dtype_of(None, np.zeros((2, 2), int)), dtype_of("float32", np.zeros((2, 2)))
    ('float64', 'float32', 'float32')
    """
    if dtype is None:
        found = getattr(X, "dtype", None)
        return "float64" if isinstance(found, np.dtype) and found == np.float64 else "float32"
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in ("float32", "float64"):
        raise ConfigError(f"dtype must be 'float32', 'float64' or None, not {dtype!r}")
    return name
