"""What each parameter of a fit may be: in comes a configuration, out comes at most a ConfigError that names the parameter.

One table a kind of value. Numpy's scalars have become Python's own before they come here; a float is no whole number, even if
it is 2.0, and a number is no boolean, as scikit-learn has it.
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..losses import LOSSES, make_loss
from ..optim.rules import RULES
from ..optim.schedules import SCHEDULES
from .checkpoints.settings import Checkpoint
from .modes import Mode

OPTIMIZERS = ("auto", "svrg", *RULES)
_CHOICES: dict[str, tuple] = {
    "task": ("classification", "regression"),
    "loss": tuple(sorted(LOSSES)),
    "penalty": (None, "l2", "l1", "elasticnet"),
    "family": ("auto", "binomial", "multinomial", "ovr"),
    "optimizer": OPTIMIZERS,
    "learning_rate": SCHEDULES,
    "dtype": ("float32", "float64"),
}
_BOOLEANS = ("fit_intercept", "early_stopping", "shuffle", "standardize", "encrypt")
# The least value.
_INTEGERS = {
    "warmup_steps": 0,
    "batch_size": 1,
    "max_iter": 1,
    "n_iter_no_change": 1,
    "n_workers": 1,
    "threads_per_worker": 1,
    "seed": 0,
    "cache_bytes": 0,
    "memory_limit": 1,
}
# The least value, and whether a value must be above it; make_loss knows the bounds of the losses' own.
_NUMBERS = {
    "alpha": (0, False),
    "eta0": (0, True),
    "power_t": (0, False),
    "tol": (0, False),
    "deadline": (0, True),
    "epsilon": (-math.inf, False),
    "quantile": (-math.inf, False),
    "power": (-math.inf, False),
}
_SHARES = ("l1_ratio", "validation_fraction")
_AUTO = ("alpha", "eta0", "batch_size")
_OPTIONAL = ("tol", "cache_bytes", "memory_limit")


def refuse_values(config: Any) -> None:
    """Raise ConfigError when a parameter of a :class:`dsgd.train.config.FitConfig` is none of the values that it may have."""
    for name, allowed in _CHOICES.items():
        value = getattr(config, name)
        _require(_is_text(value) and value in allowed, name, f"one of {', '.join(map(repr, allowed))}", value)
    for name in _BOOLEANS:
        _require(isinstance(getattr(config, name), bool), name, "True or False", getattr(config, name))
    for name, least in _INTEGERS.items():
        value = getattr(config, name)
        holds = _is_integer(value) and value >= least
        _require(holds or _is_word(name, value), name, f"an integer >= {least}{_words(name)}", value)
    for name, (low, above) in _NUMBERS.items():
        value = getattr(config, name)
        holds = _is_number(value) and (value > low if above else value >= low)
        bound = f" {'>' if above else '>='} {low}" if math.isfinite(low) else ""
        _require(holds or _is_word(name, value), name, f"a number{bound}{_words(name)}", value)
    for name in _SHARES:
        value = getattr(config, name)
        _require(_is_number(value) and 0 <= value <= 1, name, "a number between 0 and 1", value)
    _refuse_others(config)
    make_loss(config.loss, epsilon=config.epsilon, quantile=config.quantile, power=config.power)


def _refuse_others(config: Any) -> None:
    """The parameters that are of no table."""
    _require(
        isinstance(config.mode, Mode),
        "mode",
        "a Sync(...), Async(...), Columns(...) or Hybrid(...) object",
        config.mode,
    )
    keeps = config.checkpoint is None or isinstance(config.checkpoint, Checkpoint)
    _require(keeps, "checkpoint", "a path, a Checkpoint(...) object, or None", config.checkpoint)
    average = config.average
    averages = isinstance(average, bool) or (_is_integer(average) and average >= 0)
    _require(averages, "average", "True, False or a number of rows >= 0", average)
    ports = config.port_range
    _require(
        ports is None or _are_ports(ports), "port_range", "(first, last) with 0 < first <= last < 65536, or None", ports
    )
    named = isinstance(config.interface, str) and config.interface
    _require(
        config.interface is None or named, "interface", "a network interface, an address, or None", config.interface
    )
    _refuse_class_weight(config.class_weight)


def _refuse_class_weight(value: Any) -> None:
    if value is None or (isinstance(value, str) and value == "balanced"):
        return
    _require(isinstance(value, Mapping), "class_weight", "a dict from classes to weights, 'balanced' or None", value)
    for weight in value.values():
        number = weight.item() if isinstance(weight, np.generic) else weight
        _require(_is_number(number) and number >= 0, "class_weight", "a dict of finite numbers >= 0", value)


def _are_ports(value: Any) -> bool:
    whole = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_integer, value))
    return whole and 0 < value[0] <= value[1] < 65536


def _is_text(value: Any) -> bool:
    """Whether a value can be looked for among names; an array would answer once for each of its elements."""
    return value is None or isinstance(value, str)


def _is_word(name: str, value: Any) -> bool:
    return (value is None and name in _OPTIONAL) or (name in _AUTO and isinstance(value, str) and value == "auto")


def _words(name: str) -> str:
    return " or 'auto'" if name in _AUTO else " or None" if name in _OPTIONAL else ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _require(holds: Any, name: str, expected: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
