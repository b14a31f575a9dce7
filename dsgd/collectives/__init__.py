"""Sums and exchanges among the ranks of a gang; see :class:`Collective` for the operations and :func:`connect` to get one."""

from .base import Collective
from .rendezvous import connect
from .ring import Ring
from .shared import SharedMemory
from .single import SingleProcess
from .tree import Tree
from .twolevel import TwoLevel

__all__ = ["Collective", "Ring", "SharedMemory", "SingleProcess", "Tree", "TwoLevel", "connect"]
