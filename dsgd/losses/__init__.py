"""Losses: what a wrong score costs. A loss knows no model, no thread and no buffer."""

from .binary import Hinge, LogLoss, ModifiedHuber, SquaredHinge
from .counts import Gamma, Poisson, Tweedie
from .domain import check_targets
from .registry import LOSSES, Loss, loss_table, losses_for, make_loss
from .regression import EpsilonInsensitive, Huber, Quantile, SquaredEpsilonInsensitive, SquaredError
from .softmax import OneVersusRest, Softmax, ovr_residual, softmax_residual, softmax_value

__all__ = [
    "LOSSES",
    "EpsilonInsensitive",
    "Gamma",
    "Hinge",
    "Huber",
    "LogLoss",
    "Loss",
    "ModifiedHuber",
    "OneVersusRest",
    "Poisson",
    "Quantile",
    "Softmax",
    "SquaredEpsilonInsensitive",
    "SquaredError",
    "SquaredHinge",
    "Tweedie",
    "check_targets",
    "loss_table",
    "losses_for",
    "make_loss",
    "ovr_residual",
    "softmax_residual",
    "softmax_value",
]
