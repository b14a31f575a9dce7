"""What a rank sees of the others in the flags of a shared region while it waits for them.

In come the flags of all ranks and the rank's own progress; out comes the end of the wait, or WorkerLost with the reason: a
peer that died, failed, is silent past the deadline, or does something else.
"""

from collections.abc import Callable

import numpy as np

from ..errors import WorkerLost
from ..kernels import shared as kernels
from ..transport.signs import Silence
from .checks import DTYPES
from .liveness import is_running

REDUCE, BROADCAST, GATHER, BARRIER = range(4)
NAMES = ("all-reduce", "broadcast", "all-gather", "barrier")


def tag(operation: int, buffer: np.ndarray) -> int:
    """A number for what a rank does, for the peers to compare."""
    return (len(buffer) * len(DTYPES) + DTYPES.index(buffer.dtype)) * len(NAMES) + operation


class Peers:
    """The other ranks of a region.

    Parameters
    ----------
    flags : ndarray of shape (size * LINE,), int64, shared
    progress : ndarray of shape (PROGRESS_FIELDS,), int64
        This rank's.
    rank : int
    deadline : float
        Seconds to wait for a peer after its last sign of life.

    Attributes
    ----------
    on_sign : callable
        Called with every sign of life for those who wait for this rank elsewhere, while it waits here.
    """

    def __init__(self, flags: np.ndarray, progress: np.ndarray, rank: int, deadline: float):
        self._flags, self._progress, self._rank, self._deadline = flags, progress, rank, deadline
        self._signs = flags[kernels.SIGNS :: kernels.LINE]
        self.on_sign: Callable[[], None] = lambda: None

    def give_sign(self) -> None:
        """Show that this rank is at work."""
        self._signs[self._rank] += 1

    def wait(self, missing: int, operation: int, again: Callable[[], int]) -> None:
        """Call the kernel ``again`` until nobody is missing."""
        silence, seen = Silence(self._deadline), self._signs.copy()
        while missing != kernels.DONE:
            if missing < kernels.DONE:
                raise self._out_of_step(kernels.DONE - 1 - missing)
            for peer in np.flatnonzero(self._signs != seen).tolist():
                seen[peer] = self._signs[peer]
                silence.broken(peer)
                if peer == missing:
                    self.on_sign()
            if silence.to_be_told():
                self.on_sign()
            self._check(missing, silence, operation)
            missing = again()

    def _check(self, missing: int, silence: Silence, operation: int) -> None:
        flags = self._flags[missing * kernels.LINE : (missing + 1) * kernels.LINE]
        pid = int(flags[kernels.PID])
        ended = (
            "has closed the collective or failed"
            if flags[kernels.LEFT]
            else f"died (process {pid})"
            if pid and not is_running(pid)
            else f"was silent for {self._deadline:g} seconds"
            if silence.too_long(missing)
            else None
        )
        # Whoever arrived before it ended has done its part.
        if ended and flags[kernels.ARRIVED] < self._progress[kernels.BARRIERS]:
            raise WorkerLost(f"rank {missing} {ended} while rank {self._rank} waited for it in {NAMES[operation]}")

    def _out_of_step(self, other: int) -> WorkerLost:
        return WorkerLost(
            f"the ranks are out of step: rank {self._rank} is in {self._describe(self._rank)}, rank {other} in "
            f"{self._describe(other)}; every rank must call the same operations in the same order with buffers of the "
            "same length and dtype"
        )

    def _describe(self, rank: int) -> str:
        found = int(self._flags[rank * kernels.LINE + kernels.TAGS + self._progress[kernels.BARRIERS] % 2])
        rest, operation = divmod(found, len(NAMES))
        length, code = divmod(rest, len(DTYPES))
        return f"{NAMES[operation]} of {length} values of {DTYPES[code]}"
