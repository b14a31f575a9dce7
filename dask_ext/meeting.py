"""How the ranks of a gang meet, and talk to the driver: through the scheduler, which all workers reach."""

import time
from collections.abc import Callable
from typing import Any

import distributed
from distributed.core import Status

from dsgd.errors import WorkerLost

from .orders import Orders

# A rank looks this often, in seconds, whether its gang has fallen while it waits for the others.
_LOOK = 1.0
# Seconds for the scheduler to take a file.
_SET = 10
# Of a record that is no report: the name of a file that a rank has left.
LEFT = "left"
_FALLEN = "rank {rank} stops: another rank has failed, or the driver has left"


class Link:
    """How a rank meets the others and talks to the driver: through the scheduler."""

    def __init__(self, orders: Orders, worker: distributed.Worker):
        self._orders = orders
        self._worker = worker
        self._round = 0
        self._inbox: distributed.Queue | None = None
        self.sent = 0

    def report(self, record: dict) -> None:
        """Send a record to the driver, as an event; WorkerLost when nobody waits for this gang any more."""
        if self.fallen():
            raise WorkerLost(_FALLEN.format(rank=self._orders.rank))
        self.sent += 1
        self._worker.log_event(self._orders.topic, {"fit": self._orders.fit, "record": record})

    def leave(self, name: str, data: bytes | None) -> None:
        """Leave a file with the driver: a variable on the scheduler, which holds the latest only, and word of it."""
        if self.fallen():
            raise WorkerLost(_FALLEN.format(rank=self._orders.rank))
        # The word first: the driver removes what it has word of.
        self.sent += 1
        record = {LEFT: name, "there": data is not None}
        self._worker.log_event(self._orders.topic, {"fit": self._orders.fit, "record": record})
        variable = distributed.Variable(left(self._orders.fit, name), client=distributed.get_client())
        if data is None:
            variable.delete()
        else:
            variable.set(data, timeout=f"{_SET} seconds")

    def fallen(self) -> bool:
        """Whether the driver has cancelled this task, or is gone (the scheduler then withdraws it), or the worker leaves."""
        if self._worker.status not in (Status.running, Status.paused):
            return True
        task = self._worker.state.tasks.get(self._orders.key)
        return task is None or task.state != "executing"

    def allgather(self, payload: bytes) -> list[bytes]:
        """Meet the others: all put into one queue, rank 0 collects and publishes."""
        self._round += 1
        client = distributed.get_client(timeout=self._orders.deadline)
        limit = time.monotonic() + self._orders.deadline
        inbox = self._inbox = self._inbox or distributed.Queue(meeting(self._orders.fit), client=client)
        board = distributed.Variable(meeting(self._orders.fit), client=client)
        inbox.put([self._orders.rank, bytes(payload)], timeout=self._orders.deadline)
        if self._orders.rank == 0:
            arrived: dict[int, bytes] = {}
            while len(arrived) < self._orders.size:
                rank, part = self._patiently(inbox.get, limit)
                arrived[rank] = part
            board.set([self._round, [arrived[rank] for rank in range(self._orders.size)]])
        while True:
            number, parts = self._patiently(board.get, limit)
            if number == self._round:
                return [bytes(part) for part in parts]
            self._check(limit)
            time.sleep(0.02)  # It still shows the previous meeting.

    def close(self) -> None:
        """Let go of the queue: the scheduler forgets it when all ranks have.

        The driver removes the board, unless it is gone, or was quicker to give up than rank 0 was to write.
        """
        if self._inbox is None:
            return
        self._inbox.close()
        if self._orders.rank == 0 and self.fallen():
            distributed.Variable(meeting(self._orders.fit), client=distributed.get_client()).delete()

    def _patiently(self, get: Callable[..., Any], limit: float) -> Any:
        while True:
            try:
                return get(timeout=_LOOK)
            except TimeoutError:
                self._check(limit)

    def _check(self, limit: float) -> None:
        if self.fallen():
            raise WorkerLost(_FALLEN.format(rank=self._orders.rank))
        if time.monotonic() > limit:
            raise WorkerLost(
                f"rank {self._orders.rank} waited {self._orders.deadline:g} s for the others; are their workers busy?"
            )


def meeting(fit: str) -> str:
    """Name of the queue and of the variable through which the ranks of a fit meet."""
    return f"dsgd-meeting-{fit}"


def left(fit: str, name: str) -> str:
    """Name of the variable that has a file which a rank of the fit has left with the driver."""
    return f"dsgd-left-{fit}-{name}"
