"""The faults themselves: what is done to a fit that runs, and undone before it is begun again."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from . import members
from .plan import DEADLINE

_SIGNALS = {"reset": members.RESET, "delay": members.DELAY, "silence": members.SILENCE, "kill": signal.SIGKILL}
PAUSE = 0.5
_LITTLE = 1 << 20  # bytes


class Injury:
    """One kind of fault, and the means for it.

    Parameters
    ----------
    fault : str
        A key of ``plan.FAULTS``.
    bench : Local, Dask or Spark
    rows, checkpoints : Path
    random : numpy Generator
        Draws who is hit.

    Attributes
    ----------
    at_start : bool
        Whether it is done before a fit begins.
    of_process : bool
        Whether it is done to a process, all of which must be there.
    """

    def __init__(self, fault: str, bench, rows: Path, checkpoints: Path, random: np.random.Generator):
        self.fault, self._bench, self._rows, self._checkpoints, self._random = fault, bench, rows, checkpoints, random
        self.at_start = fault == "disk, scratch"
        self.of_process = fault not in ("blocks", "parquet", "disk, checkpoint", "disk, scratch")

    def inflict(self) -> None:
        """Do it, once all ranks are there."""
        _METHODS.get(self.fault, Injury._signalled)(self)

    def undo(self) -> None:
        """Mend what a person would have to mend."""
        spare = self._rows.with_suffix(".spare")
        if spare.exists():
            spare.replace(self._rows)
        for place in (self._checkpoints.parent, Path(tempfile.gettempdir())):
            place.joinpath("filler").unlink(missing_ok=True)

    def _one(self) -> psutil.Process:
        victims = self._bench.victims()
        return victims[int(self._random.integers(len(victims)))]

    def _signalled(self) -> None:
        self._one().send_signal(_SIGNALS[self.fault])

    def _stopped(self) -> None:
        one = self._one()
        one.suspend()
        seconds = PAUSE if self.fault == "pause" else 3 * DEADLINE
        later = threading.Timer(seconds, _go_on, [one])
        later.daemon = True
        later.start()

    def _blocks(self) -> None:
        for scratch in Path(tempfile.gettempdir()).glob("dsgd-*"):
            for path in scratch.rglob("*"):
                if path.is_file():
                    path.unlink(missing_ok=True)

    def _cut_short(self) -> None:
        # A copy of half the length takes the file's place: who has the old one open still reads it, as on a network's disk.
        half = self._rows.with_suffix(".half")
        half.write_bytes(self._rows.read_bytes()[: self._rows.stat().st_size // 2])
        shutil.copy(self._rows, self._rows.with_suffix(".spare"))
        half.replace(self._rows)

    def _full(self) -> None:
        place = Path(tempfile.gettempdir()) if self.at_start else self._checkpoints.parent
        with place.joinpath("filler").open("wb", buffering=0) as filler:
            for size in (1 << 16, 512):
                with contextlib.suppress(OSError):  # There is no more room for so much.
                    while True:
                        filler.write(b"\0" * size)

    def _no_memory(self) -> None:
        # Less than it has: every further mapping is refused, as it is to a process that has reached its limit.
        self._one().rlimit(psutil.RLIMIT_AS, (_LITTLE, _LITTLE))

    def _too_much_memory(self) -> None:
        self._bench.take_memory(self._random)


_METHODS: dict[str, Callable[[Injury], None]] = {
    "freeze": Injury._stopped,
    "pause": Injury._stopped,
    "blocks": Injury._blocks,
    "parquet": Injury._cut_short,
    "disk, checkpoint": Injury._full,
    "disk, scratch": Injury._full,
    "memory": Injury._no_memory,
    "memory, Nanny": Injury._too_much_memory,
}


def _go_on(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int):
    """A file system of its own in a directory; False where nothing may be mounted."""
    place.mkdir(exist_ok=True)
    size = f"size={megabytes}m"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        until = time.monotonic() + 10.0
        while os.path.ismount(place) and time.monotonic() < until:
            subprocess.run(["umount", str(place)], capture_output=True, check=False)
            time.sleep(0.1)
