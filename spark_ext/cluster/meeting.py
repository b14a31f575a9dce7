"""How the ranks of a barrier stage meet: through files where they share a machine, else by Spark's own all-gather.

Spark's all-gather polls once a second, which is half of a short fit. Ranks of one executor know without asking that they
share its local directory; others ask once where all are, and meet through files after that when it is one machine.
"""

import base64
import json
import os
import queue
import threading
import time
from pathlib import Path

from pyspark import BarrierTaskContext

from dsgd.errors import WorkerLost
from dsgd.train import place

_LOOK = 0.005


class Meeting:
    """The other ranks, as one rank sees them.

    Parameters
    ----------
    task : BarrierTaskContext
    deadline : float
        Seconds to wait for the others, each time.
    directory : str
        The scratch directory that this rank proposes; the first rank of a machine has its way.
    first_deadline : float, optional
        Seconds to wait for the others now, where Spark may run the stage again: what a rank of the stage's former attempt
        has left in the directory must not be met.

    Attributes
    ----------
    directory : str
        The scratch directory of this machine's ranks.
    here : list of int
        Ranks on this machine.
    host, machine : str
        As in RankContext.
    """

    def __init__(self, task: BarrierTaskContext, deadline: float, directory: str, first_deadline: float | None = None):
        self._task = task
        self._deadline = deadline
        self._round = 0
        self._rank = task.partitionId()
        self.machine = place.machine()
        addresses = [info.address for info in task.getTaskInfos()]
        if first_deadline is None and len(set(addresses)) == 1:
            self._found([[self.machine, directory]] * len(addresses))
            return
        met = [json.loads(peer) for peer in self._barrier(json.dumps([self.machine, directory]), first_deadline)]
        self._found(met, _host(addresses[self._rank]))

    def _found(self, met: list[list[str]], host: str = "127.0.0.1") -> None:
        self._size = len(met)
        self.here = [rank for rank, (machine, _) in enumerate(met) if machine == self.machine]
        self.directory = met[self.here[0]][1]
        self._together = len(self.here) == self._size
        self.host = "127.0.0.1" if self._together else host

    def allgather(self, payload: bytes) -> list[bytes]:
        """Everybody's payload, in rank order."""
        self._round += 1
        if self._together:
            return self._by_files(bytes(payload))
        return [base64.b64decode(text) for text in self._barrier(base64.b64encode(payload).decode())]

    def _barrier(self, text: str, deadline: float | None = None) -> list[str]:
        """Spark's all-gather, which has no deadline of its own, in a thread that is left behind when it is late."""
        deadline = deadline or self._deadline
        box: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

        def body() -> None:
            try:
                box.put(self._task.allGather(text))
            except Exception as error:  # Whatever it is belongs to the thread that waits.
                box.put(error)

        threading.Thread(target=body, daemon=True, name="dsgd-meeting").start()
        try:
            answer = box.get(timeout=deadline)
        except queue.Empty:
            raise WorkerLost(f"rank {self._rank} waited {deadline:g} s for the others at Spark's barrier") from None
        if isinstance(answer, Exception):
            raise WorkerLost(f"rank {self._rank} lost the others at Spark's barrier: {answer}") from answer
        return answer

    def _by_files(self, payload: bytes) -> list[bytes]:
        limit = time.monotonic() + self._deadline
        mine = self._file(self._rank)
        partial = mine.with_suffix(".partial")
        partial.write_bytes(payload)
        os.replace(partial, mine)
        return [self._read(rank, limit) for rank in range(self._size)]

    def _read(self, rank: int, limit: float) -> bytes:
        while time.monotonic() < limit:
            try:
                return self._file(rank).read_bytes()
            except FileNotFoundError:
                time.sleep(_LOOK)
        raise WorkerLost(f"rank {self._rank} waited {self._deadline:g} s for rank {rank}")

    def _file(self, rank: int) -> Path:
        return Path(self.directory, f".met-{self._round}-{rank}")


def _host(address: str) -> str:
    """Take the port off an address.

    Examples
    --------
    >>> _host("10.0.0.1:7077"), _host("[::1]:7077"), _host("node-1")
    ('10.0.0.1', '::1', 'node-1')
    """
    host, colon, port = address.rpartition(":")
    return (host if colon and port.isdigit() else address).strip("[]")
