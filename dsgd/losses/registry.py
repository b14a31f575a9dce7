"""The registry of losses: what a loss is, how it gets its name, and how a user's words become a loss object.

In comes a name with parameters, out goes a small frozen object. A loss is a ``NamedTuple`` whose fields are its
parameters; :func:`register` gives it a name, lets compiled kernels call its formulas, and makes it subject to the
conformance suite, which runs over :data:`LOSSES`.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from scipy.special import expit

from ..errors import ConfigError
from ..kernels.protocols import register_loss
from .formulas import exponential


class Loss(Protocol):
    """Value, derivatives and meaning of a loss of one score and one target.

    The formulas take arrays of any shape (and then return arrays of that shape), or scalars inside compiled code. Their
    first parameter is named ``loss``, not ``self``, because numba matches overloads by name.

    Attributes
    ----------
    name : str
        Under which the loss is registered.
    task : {"binary", "regression"}
        Binary targets are -1 and +1.
    domain : {"sign", "real", "nonnegative", "positive"}
        The targets it accepts; see :func:`dsgd.losses.check_targets`.
    link : {"identity", "logit", "log", "clip"}
        Of the mean (or the probability of +1) to the score.
    smooth : bool
        Whether the derivative is continuous.
    probabilities : bool
        Whether ``inverse_link`` gives the probability of +1.
    curvature_bound : float
        The least upper bound of ``curvature`` over all scores and targets; infinite for the losses that have none.
    """

    name: str
    task: Literal["binary", "regression"]
    domain: Literal["sign", "real", "nonnegative", "positive"]
    link: Literal["identity", "logit", "log", "clip"]
    smooth: bool
    probabilities: bool
    curvature_bound: float

    def value(loss, score, target):  # noqa: N805
        """Loss of every row."""
        ...

    def gradient(loss, score, target):  # noqa: N805
        """Derivative by the score; at a kink, an element of the subdifferential."""
        ...

    def curvature(loss, score, target):  # noqa: N805
        """Second derivative by the score.

        Where the derivative has corners (Huber and the squared hinge, say) one of the two one-sided values. Where it
        jumps, the curvature of the parabola that touches the loss at ``score`` and lies above it everywhere. A loss whose
        second derivative vanishes somewhere has that curvature as ``touching``, too; see
        :func:`dsgd.losses.second.touching_curvature`.
        """
        ...

    def inverse_link(loss, score):  # noqa: N805
        """Prediction for a score: the mean of the target, or the probability of +1."""
        ...


LOSSES: dict[str, type] = {}
"""Every loss with one score a row, by name."""

# Losses of a real target that can stand for a classifier's, too: a regression of -1 and +1.
_OF_SIGNS = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")

LossClass = TypeVar("LossClass", bound=type)

_INVERSE_LINKS: dict[str, Callable] = {
    "identity": lambda score: score,
    "logit": expit,
    "log": exponential,
    "clip": lambda score: (np.clip(score, -1, 1) + 1) / 2,
}


def register(
    name: str, *, task: str, domain: str, link: str, curvature_bound: float, smooth: bool = True
) -> Callable[[LossClass], LossClass]:
    """Class decorator: register a loss under ``name``, here and with the kernels; :class:`Loss` explains the arguments.

    They become attributes, set from outside because a named tuple's body holds nothing but fields and methods.
    """

    def decorate(cls: LossClass) -> LossClass:
        loss: Any = distinct(cls)
        loss.name, loss.task, loss.domain, loss.link = name, task, domain, link
        loss.curvature_bound, loss.smooth, loss.probabilities = curvature_bound, smooth, link in ("logit", "clip")
        loss.inverse_link = lambda loss, score: _INVERSE_LINKS[link](score)
        LOSSES[name] = register_loss(cls)
        return cls

    return decorate


def distinct(cls: LossClass) -> LossClass:
    """Make objects equal only within their class: plain named tuples without fields would all equal each other."""

    def equal(left, right):
        return type(left) is type(right) and tuple.__eq__(left, right)

    namespace: Any = cls
    namespace.__eq__ = equal
    namespace.__ne__ = lambda left, right: not equal(left, right)
    namespace.__hash__ = lambda loss: hash((cls.__qualname__, tuple(loss)))
    return cls


def losses_for(task: str) -> tuple[str, ...]:
    """Names of the losses of a task, "classification" or "regression", in alphabetical order.

    Examples
    --------
    >>> losses_for("regression")[:3]
    ('epsilon_insensitive', 'gamma', 'huber')
    """
    losses: dict[str, Any] = LOSSES
    if task == "regression":
        return tuple(sorted(name for name, loss in losses.items() if loss.task == "regression"))
    return tuple(sorted(name for name, loss in losses.items() if loss.task == "binary" or name in _OF_SIGNS))


def loss_table(task: str) -> dict[str, tuple]:
    """The losses of a task by name: each class, and its parameters' defaults.

    Examples
    --------
    >>> loss_table("regression")["huber"][1]
    0.1
    """
    losses: dict[str, Any] = LOSSES
    return {name: (losses[name], *losses[name]()) for name in losses_for(task)}


def make_loss(name: str, *, epsilon: float = 0.1, quantile: float = 0.5, power: float = 1.5) -> Any:
    """Return the loss that a user named.

    Each loss takes the parameters that it has; all of them are validated whether it has them or not, so that a slip
    shows at once.

    Parameters
    ----------
    name : str
        A key of :data:`LOSSES`.
    epsilon : float
        Width of huber, epsilon_insensitive and squared_epsilon_insensitive, ``>= 0`` (``> 0`` for huber).
    quantile : float
        Of quantile, within (0, 1).
    power : float
        Of tweedie's variance function, within [1, 2]; at the ends the loss is poisson's or gamma's own.

    Raises
    ------
    ConfigError
        For an unknown name or a parameter out of range.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> make_loss("huber", epsilon=1.35)
    Huber(epsilon=1.35)
    >>> make_loss("tweedie", power=1)
    Poisson()
    """
    if name not in LOSSES:
        raise ConfigError(f"loss must be one of {', '.join(sorted(LOSSES))}; not {name!r}")
    # Huber of width 0 would be zero everywhere.
    _require("epsilon", epsilon, "> 0 for huber" if name == "huber" else ">= 0", epsilon > 0 or name != "huber")
    _require("epsilon", epsilon, ">= 0", epsilon >= 0)
    _require("quantile", quantile, "within (0, 1)", 0 < quantile < 1)
    _require("power", power, "within [1, 2]", 1 <= power <= 2)
    if name == "tweedie" and power in (1, 2):
        name = "poisson" if power == 1 else "gamma"
    parameters = {"epsilon": float(epsilon), "quantile": float(quantile), "power": float(power)}
    cls: Any = LOSSES[name]
    return cls(**{field: parameters[field] for field in cls._fields})


def _require(name: str, value: float, expected: str, holds: bool) -> None:
    if not (holds and math.isfinite(value)):
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
