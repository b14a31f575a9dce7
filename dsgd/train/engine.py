"""What an engine is: processes and a meeting place, and nothing numeric.

An engine runs a module-level function of dsgd on ranks: as a gang, which stands and falls together, or as a crew, whose
members live and die one by one. The function is named by its import path, never shipped as code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ConfigError


class Board(Protocol):
    """Where the members of a crew leave word for each other: small values by name, which outlive who wrote them."""

    def post(self, name: str, value: bytes) -> None:
        """Write a value of at most 64 KiB under a name; the latest write counts. WorkerLost when the board is gone."""
        ...

    def read(self, name: str) -> bytes | None:
        """The latest value under a name, or None; takes milliseconds, never waits for anybody. WorkerLost as above."""
        ...


class _NoBoard:
    """The board of a rank that is no member of a crew."""

    def post(self, name: str, value: bytes) -> None:
        raise ConfigError("there is no board outside a crew (Engine.crew)")

    def read(self, name: str) -> bytes | None:
        raise ConfigError("there is no board outside a crew (Engine.crew)")


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
    leave : callable or None
        ``leave(name: str, data: bytes or None) -> None``: leave a file with the driver for the case that the gang is lost; a
        later one of that name takes its place, None removes it. OSError when it cannot be left. None where the driver keeps
        nothing.
    threads : int
        Threads this rank may use.
    memory : int, optional
        Resident bytes beyond which the engine begins to act against the rank's process, where it tells.
    fallen : callable
        ``fallen() -> bool``: True once another rank is known to have failed, where the engine can tell. Long
        waits between ranks should ask it, so that a gang falls at once and not at a deadline. To a member of a crew it says
        that the crew is over.
    attempt : int
        How often this member of a crew has been started before: 0, then 1 after its first death, and so on.
    board : Board
        Of a crew.

    In a crew and in an aggregate there is no gang: ``rank`` is the payload's position, ``size`` the number of payloads, and
    ``allgather`` raises ConfigError. In an aggregate ``scratch`` stays (on that machine, per worker process) until the engine
    is closed; a crew's is removed when the crew ends, and a member that is started again may find itself elsewhere.
    """

    rank: int
    size: int
    host: str
    machine: str
    scratch: str
    allgather: Callable[[bytes], list[bytes]]
    report: Callable[[dict], None] = field(default=lambda record: None)
    leave: Callable[[str, bytes | None], None] | None = None
    threads: int = 1
    memory: int | None = None
    fallen: Callable[[], bool] = field(default=lambda: False)
    attempt: int = 0
    board: Board = field(default_factory=_NoBoard)


def no_gang(payload: bytes) -> list[bytes]:
    """The ``allgather`` of a context without a gang: there is nobody to meet."""
    raise ConfigError("the tasks of an aggregate or a crew cannot meet: allgather needs a gang (Engine.launch)")


class Engine(Protocol):
    """Processes and a meeting place."""

    name: str

    def slots(self) -> int:
        """Ranks that can run at the same time now."""
        ...

    def launch(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        deadline: float,
        on_report: Callable[[dict], None],
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

        An engine whose gangs begin again when they lose a rank (:mod:`dsgd.train.again`) also takes ``left``, a dict or None:
        when the gang is lost, it has been brought up to date with what ranks have left by ``context.leave``, which is None
        where it is not given.

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

    def crew(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        servers: int,
        deadline: float,
        on_report: Callable[[dict], None],
        restarts: int = 32,
    ) -> bytes:
        """Run ``function(context, payload)`` as members that live and die one by one; return the first one's bytes.

        The first member leads: when it returns, the crew is over, and ``context.fallen()`` tells the others, which are stopped
        when they have not returned a few seconds later. A member that dies (it is killed, its machine goes, the engine loses
        it) is started again with the same payload and the next ``context.attempt``, the lead too, while the others go on; one
        that has died may still run somewhere, so members tell each other their attempts. A member other than the lead that
        returns has done its part.

        Parameters
        ----------
        function : str
            As in :meth:`launch`.
        payloads : sequence
            One picklable object a member.
        servers : int
            The first so many members mostly wait for messages of the others: an engine may run them beside the others rather
            than in slots of their own.
        deadline : float
            Seconds for all members to be started at first.
        on_report : callable
            As in :meth:`launch`.
        restarts : int
            Deaths of members, all together, after which the next one ends the crew.

        Raises
        ------
        ConfigError
            When there are fewer slots than members that need one, before anything starts.
        WorkerLost
            When more members have died than may be started again, or one cannot be. An exception that ends a member ends the
            crew, and is raised as from :meth:`launch`.
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
