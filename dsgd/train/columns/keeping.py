"""Blocks that their ranks keep, where no process is to hold all weights: what training asks of whoever keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..rank import find


class BlockWriter(Protocol):
    """Keeps one rank's block; made before training, so that what cannot be written is told before the work."""

    def write(
        self, ranges: Sequence[tuple[int, int]], coef: np.ndarray, positions: np.ndarray | None
    ) -> dict[str, Any]:
        """Keep a block's coefficients.

        Parameters
        ----------
        ranges : sequence of (int, int)
            The block's weights among those of all columns, in the order of its own.
        coef : ndarray of shape (k, m)
        positions : ndarray of shape (m,), or None
            Which of the block's own weights ``coef`` has, ascending; all others are zero. None: all of them.

        Returns
        -------
        dict
            JSON-ready: how to find them again.
        """
        ...


@dataclass(frozen=True)
class Keep:
    """Who keeps the blocks.

    Attributes
    ----------
    writer : str
        ``"package.module:name"`` of what makes a :class:`BlockWriter` from ``argument``, the number of the block and that of all.
    argument : object
        Travels to the ranks.
    """

    writer: str
    argument: Any

    def open(self, block: int, blocks: int) -> BlockWriter:
        """The writer of one block."""
        return find(self.writer)(self.argument, block, blocks)
