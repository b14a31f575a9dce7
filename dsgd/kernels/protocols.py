"""What the compiled loops call and do not define: a loss, a softmax, an update rule.

A loss or a rule is a ``NamedTuple`` whose fields are its parameters. numba types a named tuple by its class, so a kernel
that is given a ``LogLoss()`` is compiled for it, with the formula inlined, and cached on disk under that signature. The
kernels know only the functions of this module; a loss or a rule registers its formulas here, and is never imported.

The formulas are written once, with numpy's element-wise functions, and run both on arrays (in Python) and on scalars
(compiled).
"""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable


def choose(condition, yes, no):
    """``np.where`` for arrays, a plain branch in compiled code (where ``np.where`` is slow to compile)."""
    return np.where(condition, yes, no)


@overload(choose)
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
    compiled = register_jitable(formula)

    @overload(protocol)
    def _implementation(loss, score, target):
        if isinstance(loss, types.BaseNamedTuple) and loss.instance_class is cls:
            return lambda loss, score, target: compiled(loss, score, target)
        return None


def register_loss(cls):
    """Class decorator: let kernels call the formulas of a loss; returns the class."""
    _register(loss_value, cls, cls.value)
    _register(loss_gradient, cls, cls.gradient)
    _register(loss_curvature, cls, cls.curvature)
    return cls
