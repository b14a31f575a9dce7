"""From an estimator's parameters to the configuration of a fit: the one place where the faces' names meet the core's."""

import warnings
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from ..data.spec import FeatureSpec
from ..errors import ConfigError
from ..train.checkpoints.settings import resolve as resolve_checkpoint
from ..train.config import FitConfig, TrainedLinear
from ..train.modes import resolve
from ..train.place import cores

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
    refuse_own(parameters)
    same = {name: parameters[name] for name in SAME if name in parameters}
    if same.get("penalty") == "none":
        same["penalty"] = None
    if same.get("eta0") is None:
        same.pop("eta0", None)
    if same.get("l1_ratio") is None:
        if same.get("penalty") == "elasticnet":
            raise ConfigError("l1_ratio must be set when penalty is 'elasticnet': a number between 0 and 1, not None")
        same.pop("l1_ratio", None)
    if parameters.get("n_jobs") is not None:
        same["threads_per_worker"] = _threads(parameters["n_jobs"])
    if warn_of_power(same.get("power_t"), same.get("learning_rate")):
        same.pop("power_t")
    return FitConfig(
        **same | more,
        task=task,  # type: ignore[arg-type]
        dtype=dtype,  # type: ignore[arg-type]
        n_workers=n_workers,
        mode=resolve(parameters.get("mode", "sync")),
        checkpoint=resolve_checkpoint(parameters.get("checkpoint")),
        seed=seed_of(parameters.get("random_state")),
    )


def _threads(n_jobs: Any) -> int:
    """Threads for scikit-learn's ``n_jobs``, which counts back from all cores when it is negative."""
    if isinstance(n_jobs, (bool, np.bool_)) or not isinstance(n_jobs, (int, np.integer)) or n_jobs == 0:
        raise ConfigError(f"n_jobs must be an integer other than 0, or None, not {n_jobs!r}")
    return int(n_jobs) if n_jobs > 0 else max(1, cores() + 1 + int(n_jobs))


def warn_of_power(power: Any, learning_rate: Any) -> bool:
    """Let a negative ``power_t`` pass with a warning where it is not used, as scikit-learn does until its version 1.10.

    Examples
    --------
    >>> warn_of_power(0.5, "constant")
    False
    """
    negative = isinstance(power, (int, float, np.number)) and not isinstance(power, bool) and power < 0
    if not negative or learning_rate == "invscaling":
        return False
    warnings.warn(
        "Negative values for `power_t` are deprecated: a rate that grows does not converge. It is not used here; give a number "
        ">= 0",
        FutureWarning,
        stacklevel=5,
    )
    return True


def refuse_own(parameters: dict[str, Any]) -> None:
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
    return int(generator_of(random_state).randint(2**31 - 1))


def generator_of(random_state: Any) -> np.random.RandomState:
    """Return the generator that scikit-learn makes of a seed.

    Raises
    ------
    ConfigError
    """
    try:
        return check_random_state(random_state)
    except ValueError as error:
        raise ConfigError(f"random_state must be an int >= 0, a RandomState or None, not {random_state!r}") from error


def initial_weights(spec: FeatureSpec, coef: Any, intercept: Any) -> TrainedLinear:
    """Return what the user starts from as a model of these features; ``coef`` or ``intercept`` may be None, for zeros."""
    try:
        start = None if coef is None else np.atleast_2d(np.asarray(coef, np.float64))
        constant = None if intercept is None else np.asarray(intercept, np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"coef_init and intercept_init must hold numbers: {error}") from error
    if start is None:
        start = np.zeros((1 if constant is None else len(constant), spec.layout.size))
    if constant is None:
        constant = np.zeros(len(start))
    if start.shape != (len(constant), spec.layout.size):
        raise ConfigError(
            f"Provided coef_init does not match dataset, or intercept_init: there are {spec.layout.size} features, and their "
            f"shapes are {np.shape(coef)} and {np.shape(intercept)}"
        )
    return TrainedLinear(start, constant, None, spec, "", {}, "single", 0, 0, (), False, {})


def dtype_of(dtype: Any, X: Any) -> str:
    """Return the dtype of a fit: the one asked for, or by None float64 for a matrix of anything but float32, else float32.

    Examples
    --------
    >>> dtype_of(None, [[0, 1]]), dtype_of(None, np.zeros((2, 2), np.float32)), dtype_of("float32", np.zeros((2, 2)))
    ('float64', 'float32', 'float32')
    """
    if dtype is None:
        found = np.dtype(float) if isinstance(X, (list, tuple)) else getattr(X, "dtype", None)
        return "float64" if isinstance(found, np.dtype) and found != np.float32 else "float32"
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in ("float32", "float64"):
        raise ConfigError(f"dtype must be 'float32', 'float64' or None, not {dtype!r}")
    return name
