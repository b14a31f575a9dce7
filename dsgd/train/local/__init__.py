"""The engine of one machine."""

from .engine import LocalEngine

__all__ = ["LocalEngine"]
