"""What the compiled loops call and do not define: a loss, a softmax, an update rule.

A loss or a rule is a ``NamedTuple`` whose fields are its parameters. numba types a named tuple by its class, so a kernel
that is given a ``LogLoss()`` is compiled for it, with the formula inlined, and cached on disk under that signature. The
kernels know only the functions of this module; a loss or a rule registers its formulas here, and is never imported.

The formulas are written once, with numpy's element-wise functions, and run both on arrays (in Python) and on scalars
(compiled).
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

# Formulas are always inlined: a call from an inner loop, with its arrays passed word by word, costs more than the formula.
INLINE: Any = {"forceinline": True}


def _made_by(kind: Any, cls: type) -> bool:
    """Whether a type as numba sees it is that of the named tuple ``cls``."""
    return getattr(kind, "instance_class", None) is cls


def choose(condition, yes, no):
    """``np.where`` for arrays, a plain branch in compiled code (where ``np.where`` is slow to compile)."""
    return np.where(condition, yes, no)


@overload(choose, jit_options=INLINE)
def _choose(condition, yes, no):
    return lambda condition, yes, no: yes if condition else no


def loss_value(loss, score, target):
    """Loss of one row, or of an array of rows."""
    return loss.value(score, target)


def loss_gradient(loss, score, target):
    """Derivative of the loss by the score."""
    return loss.gradient(score, target)


def loss_curvature(loss, score, target):
    """Second derivative of the loss by the score, or the upper bound on it that a quadratic model should use."""
    return loss.curvature(score, target)


def _register(protocol, cls, formula):
    @overload(protocol, jit_options=INLINE)
    def _implementation(loss, score, target):
        return formula if _made_by(loss, cls) else None


def register_loss(cls):
    """Class decorator: let kernels call the formulas of a loss; returns the class."""
    _register(loss_value, cls, cls.value)
    _register(loss_gradient, cls, cls.gradient)
    _register(loss_curvature, cls, cls.curvature)
    return cls


def row_residual(loss, scores, target, residual):
    """Loss of one row with k scores; writes the derivative by each score to ``residual``, of shape (k,)."""
    return loss.residual(scores, target, residual)


def register_row_loss(cls: Any):
    """Class decorator: let kernels call ``residual`` of a loss that reads all of a row's scores; returns the class."""

    @overload(row_residual, jit_options=INLINE)
    def _implementation(loss, scores, target, residual):
        return cls.residual if _made_by(loss, cls) else None

    return cls


def schedule_rate(schedule, step):
    """Learning rate of an optimiser step; ``step`` counts the steps before it, so the first is 0."""
    return schedule.rate(step)


def register_schedule(cls: Any):
    """Class decorator: let kernels call ``rate`` of a learning-rate schedule; returns the class."""

    @overload(schedule_rate, jit_options=INLINE)
    def _implementation(schedule, step):
        return cls.rate if _made_by(schedule, cls) else None

    return cls


def penalty_flow(weight, time, l1, l2):
    """Follow ``dw/dt = -l2 w - l1 sign(w)`` for ``time``, stopping at zero.

    This is how every rule applies the penalty: a flow composes exactly, ``flow(s)`` after ``flow(t)`` being ``flow(s + t)``,
    so a coordinate that no row touched for many steps catches up in one go and arrives where it would have been. For
    ``l2 = 0`` it is soft thresholding. Against the proximal step the relative difference is ``time * l2 / 2``.
    """
    x = time * l2
    small = x < 1e-8
    mean_decay = choose(small, 1.0 - 0.5 * x, -np.expm1(-x) / choose(small, 1.0, x))
    return np.sign(weight) * np.maximum(np.abs(weight) * np.exp(-x) - l1 * time * mean_decay, 0.0)


@overload(penalty_flow, jit_options=INLINE)
def _penalty_flow(weight, time, l1, l2):
    return _flow_single if weight == types.float32 else _flow_double


def _flow_double(weight, time, l1, l2):
    x = time * l2
    lost = -math.expm1(-x)
    mean_decay = lost / x if x > 1e-8 else 1.0 - 0.5 * x
    size = max(abs(weight) * (1.0 - lost) - l1 * time * mean_decay, 0.0)
    return size if weight > 0 else -size


def _flow_single(weight, time, l1, l2):
    # Without a branch or a call, so that loops over coordinates vectorise: the exponential is the eighth power of a Taylor
    # polynomial in x / 8, of a relative error below 1e-9 up to x = 1. Beyond x = 64 nothing is left of a weight anyway.
    kind = np.float32
    one = kind(1)
    x = min(kind(time * l2), kind(64))
    u = kind(0.125) * x
    growth = kind(1 / 24) + u * (kind(1 / 120) + u * kind(1 / 720))
    growth = one + u * (one + u * (kind(0.5) + u * (kind(1 / 6) + u * growth)))
    growth = growth * growth
    growth = growth * growth
    decay = one / (growth * growth)
    small = x < kind(1e-2)
    series = one - x * (kind(0.5) - x * (kind(1 / 6) - x * kind(1 / 24)))
    mean_decay = series if small else (one - decay) / (one if small else x)
    size = max(abs(weight) * decay - kind(l1 * time) * mean_decay, kind(0))
    return size if weight > 0 else -size


def rule_update(rule, weight, first, second, gradient, rate, step, l1, l2):
    """One step of one coordinate: (weight, first, second) after the penalised step. ``step`` counts from 1."""
    return rule.update(weight, first, second, gradient, rate, step, l1, l2)


def rule_move(rule, weight, first, second, gradient, rate, step, l1, l2):
    """As ``rule_update``, but what of the penalty ``rule_settle`` would catch up with may be left to it."""
    return getattr(rule, "move", rule.update)(weight, first, second, gradient, rate, step, l1, l2)


def rule_settle(rule, weight, first, second, time, step, l1, l2):
    """Weight after steps without a gradient; ``time`` is the sum of their rates, ``step`` the last of them."""
    return rule.settle(weight, first, second, time, step, l1, l2)


def register_rule(cls: Any):
    """Class decorator: let kernels call the formulas of an update rule; returns the class."""

    @overload(rule_update, jit_options=INLINE)
    def _update(rule, weight, first, second, gradient, rate, step, l1, l2):
        return cls.update if _made_by(rule, cls) else None

    @overload(rule_move, jit_options=INLINE)
    def _move(rule, weight, first, second, gradient, rate, step, l1, l2):
        return getattr(cls, "move", cls.update) if _made_by(rule, cls) else None

    @overload(rule_settle, jit_options=INLINE)
    def _settle(rule, weight, first, second, time, step, l1, l2):
        return cls.settle if _made_by(rule, cls) else None

    return cls
