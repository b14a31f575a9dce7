"""The update rules: each is one scalar update, written once and compiled into every loop that needs it.

A rule is a frozen named tuple of hyper-parameters. ``update`` maps (weight, first, second, gradient) of one coordinate to
the next (weight, first, second); ``first`` and ``second`` are its state, of which it uses ``slots``. The penalty
``l1 |w| + l2/2 w^2`` is part of the step. ``settle`` is what a run of steps with gradient zero does to a weight: with it a
sparse step costs O(non-zeros), and for rules with ``lazy = True`` the result is exactly that of the dense step. The other
rules update the coordinates that a batch touches, and only those: moments and penalty of an untouched coordinate rest.
Where the penalty flows for a time and flows compose, ``move`` is the step without it, for loops that let ``settle`` count the
step's own time too: one flow a touch instead of two.

Sources: sgd, Robbins & Monro 1951; momentum, Polyak 1964; nesterov, Sutskever et al. 2013; adagrad, Duchi, Hazan & Singer
2011; rmsprop, Tieleman & Hinton 2012; adam, Kingma & Ba 2015; adamw, Loshchilov & Hutter 2019; ftrl, McMahan 2011.
"""

from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError
from ..kernels.protocols import penalty_flow, register_rule


@register_rule
class SGD(NamedTuple):
    """``w <- flow(w - rate g)``.

    Examples
    --------
    >>> float(SGD().update(1.0, 0.0, 0.0, gradient=2.0, rate=0.1, step=1, l1=0.0, l2=0.0)[0])
    0.8
    """

    slots = 0
    lazy = True

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        return penalty_flow(weight - rate * gradient, rate, l1, l2), first, second

    def move(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        return weight - rate * gradient, first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return penalty_flow(weight, time, l1, l2)


@register_rule
class Momentum(NamedTuple):
    """``v <- beta v + g + l2 w``; ``w <- w - rate v``; the l1 flow runs for ``rate / (1 - beta)``, the effective step."""

    beta: float = 0.9
    slots = 1
    lazy = False

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        first = rule.beta * first + gradient + l2 * weight
        return penalty_flow(weight - rate * first, rate / (1.0 - rule.beta), l1, 0.0), first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return weight


@register_rule
class Nesterov(NamedTuple):
    """``v <- beta v + g + l2 w``; ``w <- w - rate (g + l2 w + beta v)``; l1 as in Momentum."""

    beta: float = 0.9
    slots = 1
    lazy = False

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        pull = gradient + l2 * weight
        first = rule.beta * first + pull
        moved = weight - rate * (pull + rule.beta * first)
        return penalty_flow(moved, rate / (1.0 - rule.beta), l1, 0.0), first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return weight


@register_rule
class AdaGrad(NamedTuple):
    """``G <- G + g^2``; ``h = rate / (sqrt(G) + epsilon)``; ``w <- flow(w - h g)`` for time ``h``.

    Between two touches ``G`` rests, so the penalty's flow is exact whatever the schedule.
    """

    epsilon: float = 1e-10
    slots = 1
    lazy = True

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        first = first + gradient * gradient
        size = rate / (np.sqrt(first) + rule.epsilon)
        return penalty_flow(weight - size * gradient, size, l1, l2), first, second

    def move(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        first = first + gradient * gradient
        return weight - rate / (np.sqrt(first) + rule.epsilon) * gradient, first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return penalty_flow(weight, time / (np.sqrt(first) + rule.epsilon), l1, l2)


@register_rule
class RMSProp(NamedTuple):
    """``G <- rho G + (1 - rho) g^2``; then as AdaGrad."""

    rho: float = 0.9
    epsilon: float = 1e-8
    slots = 1
    lazy = False

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        first = rule.rho * first + (1.0 - rule.rho) * gradient * gradient
        size = rate / (np.sqrt(first) + rule.epsilon)
        return penalty_flow(weight - size * gradient, size, l1, l2), first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return weight


@register_rule
class Adam(NamedTuple):
    """First and second moments of ``g + l2 w``, corrected for their start at zero; the l1 flow runs for the step's size."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots = 2
    lazy = False

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        pull = gradient + l2 * weight
        first = rule.beta1 * first + (1.0 - rule.beta1) * pull
        second = rule.beta2 * second + (1.0 - rule.beta2) * pull * pull
        spread = np.sqrt(second / (1.0 - rule.beta2**step)) + rule.epsilon
        size = rate / spread
        return penalty_flow(weight - size * first / (1.0 - rule.beta1**step), size, l1, 0.0), first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return weight


@register_rule
class AdamW(NamedTuple):
    """Adam on the loss alone; the penalty decays the weight by itself, at the rate of the schedule (decoupled).

    The point where this rule comes to rest is not the minimum of the penalised objective; see the source.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    slots = 2
    lazy = False

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        first = rule.beta1 * first + (1.0 - rule.beta1) * gradient
        second = rule.beta2 * second + (1.0 - rule.beta2) * gradient * gradient
        spread = np.sqrt(second / (1.0 - rule.beta2**step)) + rule.epsilon
        moved = weight - rate * (first / (1.0 - rule.beta1**step)) / spread
        return penalty_flow(moved, rate, l1, l2), first, second

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        return weight


@register_rule
class FTRL(NamedTuple):
    """Follow the (proximally) regularised leader, the penalty of every past step included.

    ``first`` is z, ``second`` the sum of squares n: ``s = (sqrt(n + g^2) - sqrt(n)) / rate``; ``z <- z + g - s w``;
    ``w = -soft(z, t l1) / ((beta + sqrt(n)) / rate + t l2)`` after ``t`` steps. The weight is a function of (z, n, t), so an
    untouched coordinate is exact at any time. Wants a constant rate.
    """

    beta: float = 1.0
    rate: float = 0.1
    slots = 2
    lazy = True

    def update(rule, weight, first, second, gradient, rate, step, l1, l2):  # noqa: N805
        grown = second + gradient * gradient
        first = first + gradient - (np.sqrt(grown) - np.sqrt(second)) / rule.rate * weight
        size = np.maximum(np.abs(first) - step * l1, 0.0)
        moved = -np.sign(first) * size / ((rule.beta + np.sqrt(grown)) / rule.rate + step * l2)
        return moved, first, grown

    def settle(rule, weight, first, second, time, step, l1, l2):  # noqa: N805
        size = np.maximum(np.abs(first) - step * l1, 0.0)
        return -np.sign(first) * size / ((rule.beta + np.sqrt(second)) / rule.rate + step * l2)


RULES = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "ftrl": FTRL,
}


def make_rule(name: str, *, rate: float = 0.1):
    """Return the update rule of a name, with the field's usual hyper-parameters.

    Parameters
    ----------
    name : str
        A key of ``RULES``.
    rate : float
        The constant rate, which FTRL alone keeps as a hyper-parameter of its own.

    Raises
    ------
    ConfigError
        For an unknown name.

    Examples
    --------
    >>> make_rule("momentum")
    Momentum(beta=0.9)
    """
    if name not in RULES:
        raise ConfigError(f"optimizer must be 'auto', 'svrg' or one of {sorted(RULES)}, not {name!r}")
    rules: dict[str, Any] = RULES
    return rules[name](rate=rate) if name == "ftrl" else rules[name]()
