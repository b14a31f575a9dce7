"""Keeps encoded blocks at the nearest level that has room: in memory, in a mapped file, or not at all."""

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np

from ..errors import ConfigError
from .arrays import Mapped, write_file
from .block import Block
from .memory import resident


@dataclass
class Kept:
    """A block that was put into the cache: its rows, and where it is (in neither place: its rows are read again).

    Attributes
    ----------
    number : int
        Which block of its group it is.
    rows : int
    block : Block, optional
    path : str, optional
    """

    number: int
    rows: int
    block: Block | None = None
    path: str | None = None

    @property
    def away(self) -> bool:
        """Whether it was not kept."""
        return self.block is None and self.path is None


_OPEN: "weakref.WeakSet[BlockCache]" = weakref.WeakSet()


def any_open() -> bool:
    """Whether this process has a cache that is not closed, and so maybe blocks in memory."""
    return bool(_OPEN)


class BlockCache:
    """Blocks in memory up to ``memory_bytes``, then in files below ``directory`` up to ``cache_bytes``.

    With a ``memory_limit``, a block stays in memory only while the process, whatever else is in it, has no more than so many
    bytes resident. A file's pages are given back when its block is done with, so that they do not count as resident memory,
    and the files go when the cache is closed or collected.
    """

    def __init__(self, directory: str, memory_bytes: int, cache_bytes: int | None, memory_limit: int | None = None):
        os.makedirs(directory, exist_ok=True)
        self.directory = tempfile.mkdtemp(prefix="blocks-", dir=directory)
        self._memory_left, self._memory_limit = memory_bytes, memory_limit
        self._disk_left = np.inf if cache_bytes is None else cache_bytes
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.directory, ignore_errors=True)
        _OPEN.add(self)

    @property
    def disk_bytes(self) -> int:
        """Bytes of the files now."""
        with os.scandir(self.directory) as entries:
            return sum(entry.stat().st_size for entry in entries)

    def close(self) -> None:
        """Remove the files; safe to call twice."""
        _OPEN.discard(self)
        self._finalizer()

    def put(self, name: str, number: int, block: Block) -> Kept:
        """Keep a block where there is room; ``name`` becomes its file's name."""
        kept = Kept(number, block.rows)
        if block.nbytes <= self._memory_left and self._has_room():
            self._memory_left -= block.nbytes
            kept.block = block
        elif block.nbytes <= self._disk_left:
            kept.path = os.path.join(self.directory, name)
            self._disk_left -= self.write(kept.path, block)
        return kept

    def _has_room(self) -> bool:
        """Whether the process is within its limit, the new block being resident already."""
        return self._memory_limit is None or resident() <= self._memory_limit

    def write(self, path: str, block: Block) -> int:
        """Write a block's file, whole or not at all, and return its bytes.

        Raises
        ------
        ConfigError
            When the disk is full or cannot be written.
        """
        try:
            os.makedirs(self.directory, exist_ok=True)
            return write_file(path, vars(block), {"rows": block.rows})
        except OSError as error:
            raise ConfigError(
                f"a block of {block.nbytes:,} bytes could not be written below {self.directory}: {error}; "
                "limit the files with cache_bytes, or use a directory with more room"
            ) from error

    def read(self, kept: Kept, rebuild: Callable[[], Block]) -> Iterator[Block]:
        """Yield one kept block, valid until the iterator goes on; ``rebuild`` makes it again if its file is gone."""
        if kept.block is not None:
            yield kept.block
            return
        mapped = self._map(kept, rebuild, writable=False)
        try:
            yield Block(**mapped.arrays)
        finally:
            mapped.release()

    def change(self, kept: Kept, change: Callable[[Block], Block], rebuild: Callable[[], Block]) -> None:
        """Replace a kept block by ``change(block)``, of the same shapes; only arrays that are new are written."""
        if kept.block is not None:
            kept.block = change(kept.block)
            return
        mapped = self._map(kept, rebuild, writable=True)
        block = Block(**mapped.arrays)
        changed = change(block)
        for field in fields(Block):
            if getattr(changed, field.name) is not getattr(block, field.name):
                mapped.arrays[field.name][...] = getattr(changed, field.name)
        mapped.release()

    def _map(self, kept: Kept, rebuild: Callable[[], Block], writable: bool) -> Mapped:
        assert kept.path is not None
        with contextlib.suppress(FileNotFoundError):
            return Mapped(kept.path, writable)
        self.write(kept.path, rebuild())
        return Mapped(kept.path, writable)
