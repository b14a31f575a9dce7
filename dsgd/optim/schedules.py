"""Learning-rate schedules: a pure function of the number of optimiser steps taken.

In comes a step's number, out goes its rate, in Python or compiled (``schedule_rate(schedule, step)``). ``step`` counts
optimiser steps, not rows: the first is 0, and a mini-batch is one step whatever its size; with ``batch_size=1`` the
schedules are scikit-learn's, whose t is ``step + 1``. No schedule has state: "adaptive" is lowered by whoever watches
the objective, with :func:`lowered`, and "cosine" is given its end by whoever knows it, with :func:`stretched`. Sources:
Bottou, "Stochastic gradient descent tricks" (2012); Loshchilov & Hutter, "SGDR" (2017) for the cosine; Goyal et al. (2017)
for the linear warm-up.
"""
# ruff: noqa: N805

import math
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError
from ..kernels.protocols import register_schedule, schedule_rate


@register_schedule
class Constant(NamedTuple):
    """``eta0`` for ever."""

    eta0: float

    def rate(schedule, step):
        return schedule.eta0


@register_schedule
class InverseScaling(NamedTuple):
    """eta0 / (step + 1)^power_t."""

    eta0: float
    power_t: float

    def rate(schedule, step):
        return schedule.eta0 / (step + 1.0) ** schedule.power_t


@register_schedule
class Optimal(NamedTuple):
    """1 / (alpha (start + step)): Bottou's schedule for a strongly convex objective.

    ``start`` makes the first rate the size of a typical weight, (1 / alpha)^(1/4), for a loss of slope at most 1.
    """

    alpha: float
    start: float

    def rate(schedule, step):
        return 1.0 / (schedule.alpha * (schedule.start + step))


@register_schedule
class Adaptive(NamedTuple):
    """``eta0`` until the objective stops falling; see :func:`lowered`."""

    eta0: float

    def rate(schedule, step):
        return schedule.eta0


@register_schedule
class Cosine(NamedTuple):
    """From ``eta0`` down half a cosine to 0 at ``total_steps``, and 0 beyond."""

    eta0: float
    total_steps: float

    def rate(schedule, step):
        return 0.5 * schedule.eta0 * (1.0 + np.cos(np.pi * np.minimum(step / schedule.total_steps, 1.0)))


@register_schedule
class WarmUp(NamedTuple):
    """Rise linearly to the first rate of ``after`` in ``steps`` steps, then follow ``after`` from its own step 0.

    Step 0 takes 1/steps of that rate, and step ``steps - 1`` all of it.
    """

    after: Any
    steps: int

    def rate(schedule, step):
        share = np.minimum((step + 1.0) / schedule.steps, 1.0)
        return share * schedule_rate(schedule.after, np.maximum(step - schedule.steps, 0))


@register_schedule
class Scaled(NamedTuple):
    """``after`` times a factor, which may differ from step to step: a stale gradient takes a shorter step."""

    after: Any
    factor: float

    def rate(schedule, step):
        return schedule.factor * schedule_rate(schedule.after, step)


SCHEDULES = ("constant", "invscaling", "optimal", "adaptive", "cosine")


def make_schedule(
    name: str,
    eta0: float = 0.01,
    power_t: float = 0.5,
    alpha: float = 0.0001,
    total_steps: int | None = None,
    warmup_steps: int = 0,
) -> Any:
    """Return the schedule that a user named.

    Parameters
    ----------
    name : {"constant", "invscaling", "optimal", "adaptive", "cosine"}
    eta0 : float
        First rate, ``> 0`` ("optimal" has its own).
    power_t : float
        Exponent of "invscaling", ``>= 0``.
    alpha : float
        Strength of the penalty, from which "optimal" takes its rate.
    total_steps : int or None
        Optimiser steps of the whole fit, warm-up included: needed by "cosine".
    warmup_steps : int
        Steps of a linear warm-up in front; 0 for none.

    Raises
    ------
    ConfigError
        For an unknown name or a parameter out of range.

    Examples
    --------
    >>> from dsgd.kernels.protocols import schedule_rate
    >>> schedule = make_schedule("cosine", eta0=1.0, total_steps=12, warmup_steps=2)
    >>> [round(float(schedule_rate(schedule, step)), 2) for step in (0, 1, 2, 7, 12)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if isinstance(warmup_steps, bool) or warmup_steps != int(warmup_steps) or warmup_steps < 0:
        raise ConfigError(f"warmup_steps must be a whole number >= 0, not {warmup_steps!r}")
    schedule = _plain_schedule(name, eta0, power_t, alpha, total_steps, int(warmup_steps))
    return WarmUp(schedule, int(warmup_steps)) if warmup_steps else schedule


def _plain_schedule(name, eta0, power_t, alpha, total_steps, warmup_steps):
    if name == "optimal":
        if not 0 < alpha < math.inf:
            raise ConfigError(
                f"learning_rate='optimal' is 1 / (alpha t) and needs alpha > 0, not {alpha!r}; "
                "choose another schedule, such as 'invscaling', for a fit without a penalty"
            )
        return Optimal(float(alpha), 1.0 / (alpha * (1.0 / alpha) ** 0.25))
    if name not in SCHEDULES:
        raise ConfigError(f"learning_rate must be one of {', '.join(SCHEDULES)}; not {name!r}")
    if not 0 < eta0 < math.inf:
        raise ConfigError(f"eta0 must be > 0 for learning_rate={name!r}, not {eta0!r}")
    if name == "invscaling":
        if not 0 <= power_t < math.inf:
            raise ConfigError(f"power_t must be >= 0, not {power_t!r}")
        return InverseScaling(float(eta0), float(power_t))
    if name == "cosine":
        if total_steps is None or not total_steps > warmup_steps:
            raise ConfigError(
                f"learning_rate='cosine' needs total_steps > warmup_steps = {warmup_steps}, not {total_steps!r}"
            )
        return Cosine(float(eta0), float(total_steps - warmup_steps))
    return (Constant if name == "constant" else Adaptive)(float(eta0))


def lowered(schedule: Any, divisor: float = 5.0) -> Any:
    """Return an "adaptive" schedule with its rate divided; any other schedule is returned as it is.

    Examples
    --------
    >>> lowered(make_schedule("adaptive", eta0=1.0))
    Adaptive(eta0=0.2)
    """
    if isinstance(schedule, WarmUp):
        return schedule._replace(after=lowered(schedule.after, divisor))
    if isinstance(schedule, Adaptive):
        return schedule._replace(eta0=schedule.eta0 / divisor)
    return schedule


def multiplied(schedule: Any, factor: float) -> Any:
    """Return a schedule of the same type whose rates are ``factor`` times as large.

    Examples
    --------
    >>> multiplied(make_schedule("invscaling", eta0=1.0), 2.0)
    InverseScaling(eta0=2.0, power_t=0.5)
    """
    if isinstance(schedule, WarmUp):
        return schedule._replace(after=multiplied(schedule.after, factor))
    if isinstance(schedule, Optimal):
        return schedule._replace(alpha=schedule.alpha / factor)
    return schedule._replace(eta0=type(schedule.eta0)(schedule.eta0 * factor))


def stretched(schedule: Any, total_steps: float) -> Any:
    """Return a "cosine" schedule that ends at ``total_steps``, warm-up included; any other schedule is returned as it is.

    Examples
    --------
    >>> stretched(make_schedule("cosine", eta0=1.0, total_steps=12, warmup_steps=2), 22)
    WarmUp(after=Cosine(eta0=1.0, total_steps=20.0), steps=2)
    """
    if isinstance(schedule, WarmUp):
        return schedule._replace(after=stretched(schedule.after, total_steps - schedule.steps))
    if isinstance(schedule, Cosine):
        # Of the same type, for which kernels are compiled; a fit that ends within its warm-up never comes here.
        return schedule._replace(total_steps=type(schedule.total_steps)(max(total_steps, 1.0)))
    return schedule
