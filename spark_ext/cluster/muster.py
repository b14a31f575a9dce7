"""A crew is mustered: from a function, its payloads and the rows that Spark keeps to members with orders, and to their end.

In comes what :meth:`dsgd.train.engine.Engine.crew` is given; out come the lead's bytes. Payloads travel inside Spark's tasks,
or as its broadcasts where they are large; what a crew has of sockets and broadcasts goes with it.
"""

import contextlib
import logging
import pickle
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dsgd.data.dataset import require_rows
from dsgd.errors import ConfigError
from dsgd.train import crew, versions

from . import member
from .crew import Crew
from .desk import Desk
from .jobs import Member
from .kept import Kept
from .kinds import Classic
from .listening import Listening
from .messages import SHIP
from .presence import Presence
from .reports import Mailbox
from .session import Session

_log = logging.getLogger(__name__)
# Payloads above this many bytes are broadcast.
_LARGE = 1 << 20
# Seconds for which a member waits for an answer of the driver.
PATIENCE = 30.0


def require_classic(session: Session) -> Classic:
    """The session, if executors can reach its driver; ConfigError for Connect."""
    if not isinstance(session, Classic):
        raise ConfigError(
            "parameter servers need a classic SparkSession: the executors cannot reach a Spark Connect client; use"
            " mode=Sync(), or run the driver on the cluster"
        )
    return session


class Muster:
    """What a crew is made of.

    Parameters
    ----------
    session : Classic
    title, fit : str
        What Spark's interface calls the jobs; a name that no other crew has.
    function, payloads, servers
        As in :meth:`dsgd.train.engine.Engine.crew`.
    kept : Kept or None
        The rows of the members that are no servers, a share each.
    """

    def __init__(
        self,
        session: Classic,
        title: str,
        fit: str,
        function: str,
        payloads: Sequence[Any],
        servers: int,
        kept: Kept | None,
    ):
        self._session, self._title, self._fit, self._function = session, title, fit, function
        self._payloads, self._servers, self._kept = payloads, servers, kept
        self._context = session.spark.sparkContext

    def run(
        self,
        listening: Listening,
        deadline: float,
        on_report: Callable[[dict], None],
        restarts: int,
        sweep: Callable[[str], None],
    ) -> bytes:
        """Run it to its end; ``sweep`` is called with its name when members have left something on local disks."""
        stir, presence = threading.Event(), Presence()
        with contextlib.ExitStack() as held:
            held.callback(lambda: sweep(self._fit) if presence.littered() else None)
            desk = Desk(self._session, listening, presence, stir.set)
            held.callback(desk.close)
            members = self._members(desk.mailbox, held)
            roll = crew.Roll(len(members), restarts)
            return Crew(self._session, members, roll, desk, presence, stir).run(deadline, on_report)

    def _members(self, mailbox: Mailbox, held: contextlib.ExitStack) -> list[Member]:
        plain, found = self._context.parallelize([None], 1), versions.installed()
        leaves, cells = self._fed()
        members = []
        for rank, payload in enumerate(self._payloads):
            number = rank - self._servers
            share = member.Share(self._kept.name, number) if self._kept is not None and number >= 0 else None
            orders = member.Orders(
                self._fit,
                rank,
                len(self._payloads),
                self._function,
                self._shipped(payload, held),
                found,
                SHIP,
                mailbox,
                0,
                PATIENCE,
                share,
            )
            members.append(Member(self._name(rank), orders, plain if share is None else leaves, cells))
        return members

    def _fed(self) -> tuple[Any, Any]:
        """The RDDs under the members that are fed: a row a share, and their cells; both with a partition a share."""
        if self._kept is None:
            return None, None
        leaves = self._kept.leaves.rdd
        require_rows(leaves.getNumPartitions(), "the DataFrame")
        return leaves, self._kept.cells.rdd

    def _shipped(self, payload: Any, held: contextlib.ExitStack) -> Any:
        pickled = pickle.dumps(payload, protocol=5)
        if len(pickled) <= _LARGE:
            return pickled
        broadcast = self._context.broadcast(pickled)
        held.callback(_let_go, broadcast)
        return broadcast

    def _name(self, rank: int) -> str:
        if rank < self._servers:
            return f"{self._title}, shard {rank + 1} of {self._servers}"
        return f"{self._title}, worker {rank - self._servers + 1} of {len(self._payloads) - self._servers}"


def _let_go(broadcast: Any) -> None:
    try:
        broadcast.destroy()
    except Exception as error:  # The application is gone, and the broadcast with it.
        _log.debug("could not let go of a broadcast: %s", error)
