"""A rank's place in the grid, and its two circles of ranks: along its row, and down its column."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...collectives import connect
from ...collectives.base import Collective
from ...transport.keys import FitKeys
from ..config import FitConfig
from ..engine import RankContext

# Buffers up to this size are reduced in one piece.
_MAX_BUFFER = 64 << 20


@dataclass(frozen=True)
class Place:
    """Where a rank is in a grid of ``rows`` x ``columns`` ranks, which are numbered row by row.

    Examples
    --------
    >>> place = Place(rank=4, rows=2, columns=3)
    >>> place.row, place.column, place.along, place.down
    (1, 1, [3, 4, 5], [1, 4])
    """

    rank: int
    rows: int
    columns: int

    @property
    def row(self) -> int:
        """Which part of the rows it has."""
        return self.rank // self.columns

    @property
    def column(self) -> int:
        """Which block of the columns it has."""
        return self.rank % self.columns

    @property
    def along(self) -> list[int]:
        """The ranks with the same rows."""
        return [self.row * self.columns + column for column in range(self.columns)]

    @property
    def down(self) -> list[int]:
        """The ranks with the same columns."""
        return [row * self.columns + self.column for row in range(self.rows)]


@contextlib.contextmanager
def joined(
    context: RankContext, place: Place, config: FitConfig, keys: FitKeys | None, weights: int
) -> Iterator[tuple[Collective, Collective, Callable[[], None]]]:
    """Meet the other ranks: yields the collectives along and down, and what says "at work" to both.

    Parameters
    ----------
    context : RankContext
        Of the whole gang.
    place : Place
    config : FitConfig
    keys : FitKeys or None
    weights : int
        Of the rank's block: as long are the gradients that go down.
    """
    with contextlib.ExitStack() as stack:
        # Who connects where is the same for all ranks, so all take part in both all-gathers.
        sizes = (min(_MAX_BUFFER, 1 << 20), min(_MAX_BUFFER, (weights + 2) * 8))
        circles = []
        for members, largest in zip((place.along, place.down), sizes, strict=True):
            circle = connect(
                _circle(context, members),
                "tree" if config.mode.topology == "tree" else "ring",
                largest,
                keys=keys,
                encrypt=config.encrypt,
                deadline=config.deadline,
                port_range=config.port_range,
                interface=config.interface,
            )
            stack.callback(circle.close)
            circles.append(circle)
        moved = [stack.enter_context(circle.working()) for circle in circles]

        def at_work() -> None:
            for say in moved:
                say()

        yield circles[0], circles[1], at_work


def _circle(context: RankContext, members: Sequence[int]) -> RankContext:
    """The gang's context as if these members were all."""

    def allgather(payload: bytes) -> list[bytes]:
        everyone = context.allgather(payload)
        return [everyone[member] for member in members]

    return replace(context, rank=members.index(context.rank), size=len(members), allgather=allgather)
