"""Sums and exchanges among the ranks of a gang: :class:`Collective` is the contract, :func:`connect` makes one."""

from .base import Collective
from .rendezvous import connect
from .ring import Ring
from .shared import SharedMemory
from .single import SingleProcess
from .tree import Tree
from .twolevel import TwoLevel

__all__ = ["Collective", "Ring", "SharedMemory", "SingleProcess", "Tree", "TwoLevel", "connect"]
