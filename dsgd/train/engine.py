"""What an engine is: processes and a meeting place, and nothing numeric.

An engine runs a module-level function of dsgd on ranks. The function is named by its import path, never shipped as
code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ConfigError


@dataclass
class RankContext:
    """What a rank is given by its engine.

    Attributes
    ----------
    rank, size : int
    host : str
        Address under which other ranks reach this one; ranks with the same ``machine`` share memory.
    machine : str
        Identifies the operating system instance (its boot id, say): equal on ranks that can map the same files.
    scratch : str
        A directory on local disk for block stores, unique to this fit and shared by the ranks of one machine; the
        engine removes it when the fit ends, well or badly.
    allgather : callable
        ``allgather(payload: bytes) -> list[bytes]``, in rank order. It may cost a second (Spark): call it once a fit.
    report : callable
        ``report(record: dict) -> None``: best-effort, small, JSON-like messages to the driver while the rank runs.
    threads : int
        Threads this rank may use.
    memory : int, optional
        Resident bytes beyond which the engine begins to act against the rank's process, where it tells.
    fallen : callable
        ``fallen() -> bool``: True once another rank is known to have failed, where the engine can tell. Long
        waits between ranks should ask it, so that a gang falls at once and not at a deadline.

    In an aggregate there is no gang: ``rank`` is the payload's position, ``size`` the number of payloads, ``allgather``
    raises ConfigError, and ``scratch`` stays (on that machine, per worker process) until the engine is closed.
    """

    rank: int
    size: int
    host: str
    machine: str
    scratch: str
    allgather: Callable[[bytes], list[bytes]]
    report: Callable[[dict], None] = field(default=lambda record: None)
    threads: int = 1
    memory: int | None = None
    fallen: Callable[[], bool] = field(default=lambda: False)


def no_gang(payload: bytes) -> list[bytes]:
    """The ``allgather`` of an aggregate's context: there is nobody to meet."""
    raise ConfigError("the tasks of an aggregate cannot meet: allgather needs a gang (Engine.launch)")


class Engine(Protocol):
    """Processes and a meeting place."""

    name: str

    def slots(self) -> int:
        """Ranks that can run at the same time now."""
        ...

    def launch(
        self, function: str, payloads: Sequence[Any], *, deadline: float, on_report: Callable[[dict], None]
    ) -> list[bytes]:
        """Run ``function(context, payload)`` as a gang of ``len(payloads)`` ranks that stand and fall together.

        Parameters
        ----------
        function : str
            ``"package.module:name"`` of a module-level function that takes a RankContext and its payload and returns
            bytes.
        payloads : sequence
            One picklable object a rank.
        deadline : float
            Seconds for the gang to have all its ranks started; training itself is watched by the collective's deadline.
        on_report : callable
            Called in the driver with each report, as far as the engine has a way to bring them.

        Returns
        -------
        list of bytes
            The ranks' results in rank order, of any length.

        Raises
        ------
        ConfigError
            When there are fewer slots than ranks (before anything starts), or a worker lacks dsgd or has another
            version.
        WorkerLost
            When a rank dies. A DSGDError raised inside a rank is raised in the driver as itself, with its message.
        """
        ...

    def aggregate(self, function: str, payloads: Sequence[Any], combine: str, *, depth: int = 2) -> bytes:
        """Run ``function(context, payload) -> bytes`` for every payload and fold the results in payload order.

        ``combine`` names a module-level ``combine(left: bytes, right: bytes) -> bytes``. The shape of the tree is a
        function of the number of payloads and ``depth`` only (``dsgd.train.tree``), so that floats add up alike on
        every engine.
        """
        ...

    def close(self) -> None:
        """Release what the engine itself created (never what the user passed in)."""
        ...
