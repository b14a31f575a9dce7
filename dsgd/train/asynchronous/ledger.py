"""Who works on which rows: a state machine without I/O, in which every lot is done once for every thing that is to be done.

Work comes in rounds: one for each thing that is to be done with every lot (an epoch of training, say). A worker asks and is given
a lot that it has at hand already, if there is one, in the first round that has any, and only then one that another worker has:
to take that over costs reading and encoding its rows. What a lost worker was given is given to others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

PREPARE, MEASURE, TRAIN, VALIDATE = "prepare", "measure", "train", "validate"
_ORDER = (PREPARE, MEASURE, TRAIN, VALIDATE)


class Item(NamedTuple):
    """Something to do with a lot; ``epoch`` counts from 0."""

    kind: str
    epoch: int
    lot: int


@dataclass
class _Round:
    todo: set[int]
    leased: dict[int, int] = field(default_factory=dict)
    reports: dict[int, bytes] = field(default_factory=dict)


class Ledger:
    """The lots of a fit and the workers.

    Parameters
    ----------
    owners : sequence of int
        For each lot the worker that prepares it first.
    bound : bool
        Whether a lot can be worked on by its owner alone.

    Examples
    --------
    >>> ledger = Ledger(owners=[0, 1], bound=False)
    >>> ledger.open(TRAIN, 0)
    >>> ledger.ask(0), ledger.ask(0)
    (Item(kind='train', epoch=0, lot=0), Item(kind='train', epoch=0, lot=1))
    >>> ledger.lose(0)
    >>> ledger.ask(1), ledger.done(1, Item(TRAIN, 0, 1), b""), ledger.complete(TRAIN, 0)
    (Item(kind='train', epoch=0, lot=1), True, False)
    """

    def __init__(self, owners: Sequence[int], bound: bool):
        self._owners, self._bound = list(owners), bound
        self._held: dict[int, set[int]] = {lot: set() for lot in range(len(owners))}
        self._rounds: dict[tuple[str, int], _Round] = {}
        self._present: set[int] = set()

    def open(self, kind: str, epoch: int = 0) -> None:
        """Begin a round; earlier ones come first."""
        if (kind, epoch) not in self._rounds:
            self._rounds[kind, epoch] = _Round(set(range(len(self._owners))))
            self._rounds = dict(sorted(self._rounds.items(), key=lambda item: (item[0][1], _ORDER.index(item[0][0]))))

    def ask(self, worker: int) -> Item | None:
        """Give a worker something to do, or None when there is nothing now."""
        self._present.add(worker)
        for at_hand in (True, False):
            for (kind, epoch), work in self._rounds.items():
                lot = self._choose(worker, work.todo, at_hand)
                if lot is not None:
                    work.todo.discard(lot)
                    work.leased[lot] = worker
                    return Item(kind, epoch, lot)
        return None

    def _choose(self, worker: int, todo: set[int], at_hand: bool) -> int | None:
        mine = [lot for lot in todo if self._near(worker, lot)]
        if at_hand:
            # First those that only this worker has at hand.
            return min(mine, key=lambda lot: (len(self._held[lot]), lot), default=None)
        if self._bound:
            return None
        # Of the worker that has most to do still; one that will take its last lot itself in a moment is left alone.
        load = {lot: self._waiting(lot, todo) for lot in todo if lot not in mine}
        others = [lot for lot in load if load[lot] > 1 or not self._holders(lot) & self._present]
        return max(others, key=lambda lot: (load[lot], -lot), default=None)

    def _near(self, worker: int, lot: int) -> bool:
        held = self._held[lot]
        return worker in held or (not held and self._owners[lot] == worker)

    def _holders(self, lot: int) -> set[int]:
        return self._held[lot] or {self._owners[lot]}

    def _waiting(self, lot: int, todo: set[int]) -> int:
        holders = self._holders(lot)
        return sum(1 for other in todo if holders & self._holders(other))

    def done(self, worker: int, item: Item, report: bytes) -> bool:
        """Note that something is done; False when it was before, or nobody wants it any more."""
        work = self._rounds.get((item.kind, item.epoch))
        if work is None or item.lot in work.reports or item.lot not in self._held:
            return False
        work.todo.discard(item.lot)
        work.leased.pop(item.lot, None)
        work.reports[item.lot] = report
        self._held[item.lot].add(worker)
        return True

    def lose(self, worker: int) -> None:
        """A worker is gone, with all that it had at hand: others may do what it was given."""
        self._present.discard(worker)
        for work in self._rounds.values():
            for lot in [lot for lot, who in work.leased.items() if who == worker]:
                del work.leased[lot]
                work.todo.add(lot)
        for held in self._held.values():
            held.discard(worker)

    def complete(self, kind: str, epoch: int = 0) -> bool:
        """Whether a round has been opened and everything in it is done."""
        work = self._rounds.get((kind, epoch))
        return work is not None and len(work.reports) == len(self._owners)

    def close(self, kind: str, epoch: int = 0) -> list[bytes]:
        """End a round; return the reports in the order of the lots."""
        reports = self._rounds.pop((kind, epoch)).reports
        return [reports[lot] for lot in sorted(reports)]

    def given_out(self, kind: str, epoch: int) -> bool:
        """Whether everything of a round has been given to somebody."""
        work = self._rounds.get((kind, epoch))
        return work is not None and not work.todo

    def snapshot(self) -> list[list[Any]]:
        """The rounds and the reports so far, JSON-ready; what is under way counts as not begun."""
        return [
            [kind, epoch, {str(lot): report.hex() for lot, report in work.reports.items()}]
            for (kind, epoch), work in self._rounds.items()
        ]

    def restore(self, rounds: Sequence[Sequence[Any]]) -> None:
        """Become what :meth:`snapshot` described; nobody has anything at hand until he says so."""
        self._rounds.clear()
        for kind, epoch, reports in rounds:
            done = {int(lot): bytes.fromhex(report) for lot, report in reports.items()}
            todo = set(range(len(self._owners))) - set(done)
            self._rounds[kind, epoch] = _Round(todo, reports=done)
