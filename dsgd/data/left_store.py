"""Encoded rows that a worker leaves for others of its machine, who need not read and encode them once more.

Comes in: a store whose blocks are ready for training. Goes out: a directory of files, which appears whole or not at all, and a
store over their mappings.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from .arrays import Mapped, write_file
from .block import Block
from .order import EpochOrder


def leave(store: Any, path: str) -> None:
    """Write the blocks of a store, as they are now, to files in a new directory ``path``.

    Raises
    ------
    OSError
        When the disk is full or cannot be written; nothing is at ``path`` then.
    """
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=os.path.dirname(path), ignore_cleanup_errors=True) as made:
        inner = os.path.join(made, "blocks")
        os.mkdir(inner)
        for number, (key, block) in enumerate(store.keyed_blocks()):
            write_file(os.path.join(inner, f"{number:06d}"), vars(block), {"key": list(key)})
        os.rename(inner, path)


class LeftStore:
    """Rows that another worker has left; the part of :class:`dsgd.data.store.BlockStore` that training needs.

    Parameters
    ----------
    path : str
        What :func:`leave` has made.

    Attributes
    ----------
    rows : int
    disk_bytes : int
        0: the files are the other worker's.
    """

    disk_bytes = 0

    def __init__(self, path: str):
        # Mapped until the end: files that are removed meanwhile stay readable.
        self._blocks = []
        for name in sorted(os.listdir(path)):
            mapped = Mapped(os.path.join(path, name))
            self._blocks.append((tuple(mapped.meta["key"]), Block(**mapped.arrays)))
        self.rows = sum(block.rows for _, block in self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)

    def keyed_blocks(self, order: EpochOrder | None = None) -> Iterator[tuple[tuple[int, ...], Block]]:
        """Yield each block with its key, as the store that was left would."""
        count = len(self._blocks)
        for i in range(count) if order is None else order.permutation(count):
            yield self._blocks[i]
