"""What :class:`dsgd.SGDOneClassSVM` may be given: in come its parameters, or where to begin; what is wrong is a ConfigError."""

from typing import Any

import numpy as np
import scipy.sparse

from ..errors import ConfigError
from .parameters import refuse_own

RATES = ("auto", "constant", "optimal", "invscaling", "adaptive")


def refuse_values(estimator: Any) -> None:
    """Raise ConfigError for a parameter that is none of what it may be."""
    given = estimator.get_params(deep=False)
    refuse_own(given)
    for name, holds, wanted in _table(given):
        if not holds:
            raise ConfigError(f"{name} must be {wanted}, not {given[name]!r}")


def beginning(columns: int, coef_init: Any, offset_init: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients and the offset that steps begin with, of shapes (d,) and (1,); zeros where None is given.

    Raises
    ------
    ConfigError
        For other shapes, and for what is no number.
    """
    return _numbers("coef_init", coef_init, columns), _numbers("offset_init", offset_init, 1)


def _numbers(name: str, given: Any, wanted: int) -> np.ndarray:
    if given is None:
        return np.zeros(wanted)
    try:
        values = np.asarray(given.toarray() if scipy.sparse.issparse(given) else given, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must hold numbers: {error}") from error
    if values.shape != (wanted,):
        raise ConfigError(
            f"Provided {name} does not match dataset: it has {values.size} numbers, and {wanted} are needed"
        )
    return values


def _table(given: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """Each parameter, whether its value may be, and what it may be."""
    nu, eta0, power, tol = (given[name] for name in ("nu", "eta0", "power_t", "tol"))
    average = given["average"]
    return [
        ("nu", _is_number(nu) and 0 < nu <= 1, "a number above 0 and at most 1"),
        (
            "learning_rate",
            isinstance(given["learning_rate"], str) and given["learning_rate"] in RATES,
            f"one of {RATES}",
        ),
        (
            "eta0",
            (isinstance(eta0, str) and eta0 == "auto") or (_is_number(eta0) and eta0 > 0),
            "a number > 0 or 'auto'",
        ),
        ("power_t", _is_number(power) and (power >= 0 or given["learning_rate"] != "invscaling"), "a number >= 0"),
        ("tol", tol is None or (_is_number(tol) and tol >= 0), "a number >= 0 or None"),
        ("max_iter", _is_whole(given["max_iter"]) and given["max_iter"] >= 1, "an integer >= 1"),
        (
            "average",
            _is_boolean(average) or (_is_whole(average) and average >= 0),
            "True, False or a number of rows >= 0",
        ),
        *((name, _is_boolean(given[name]), "True or False") for name in ("fit_intercept", "shuffle")),
    ]


def _is_boolean(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not _is_boolean(value)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.integer, np.floating)) and not _is_boolean(value) and bool(np.isfinite(value))
    )
