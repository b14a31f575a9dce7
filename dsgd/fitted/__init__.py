"""Fitted models: scores, predictions, metrics, and directories that every package loads."""

from .files import load, save
from .model import LinearModel

__all__ = ["LinearModel", "load", "save"]
