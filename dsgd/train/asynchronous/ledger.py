"""Who works on which rows: a state machine without I/O, in which every lot is done once for every thing that is to be done.

Work comes in rounds: one for each thing that is to be done with every lot (an epoch of training, say). A worker asks and is given
a lot that it has at hand already, if there is one, in the first round that has any, and only then one that another worker has:
to take that over costs reading and encoding its rows. It has one lot at a time: one that asks before it has done what it was
given has not been told. What a lost worker was given is given to others.
"""

from collections import Counter
from collections.abc import Collection, Sequence
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
    # Who was given a lot, and when.
    leased: dict[int, tuple[int, float]] = field(default_factory=dict)
    reports: dict[int, bytes] = field(default_factory=dict)


class Ledger:
    """The lots of a fit and the workers.

    Parameters
    ----------
    owners : sequence of int
        For each lot the worker that prepares it first.
    bound : bool
        Whether a lot can be worked on by its owner alone.

    Attributes
    ----------
    cheap : bool
        Whether lots can be taken over without reading and encoding them.

    Examples
    --------
    >>> ledger = Ledger(owners=[0, 1], bound=False)
    >>> ledger.open(TRAIN, 0)
    >>> ledger.ask(0), ledger.ask(1), ledger.ask(1)
    (Item(kind='train', epoch=0, lot=0), Item(kind='train', epoch=0, lot=1), Item(kind='train', epoch=0, lot=1))
    >>> ledger.lose(0)
    >>> ledger.done(1, Item(TRAIN, 0, 1), b""), ledger.ask(1), ledger.complete(TRAIN, 0)
    (True, Item(kind='train', epoch=0, lot=0), False)
    """

    def __init__(self, owners: Sequence[int], bound: bool):
        self._owners, self._bound, self.cheap = list(owners), bound, False
        self._held: dict[int, set[int]] = {lot: set() for lot in range(len(owners))}
        self._rounds: dict[tuple[str, int], _Round] = {}
        self._present: set[int] = set()
        # Seconds that a worker last took for a thing.
        self._took: dict[tuple[int, str], float] = {}

    def open(self, kind: str, epoch: int = 0) -> None:
        """Begin a round; earlier ones come first."""
        if (kind, epoch) not in self._rounds:
            self._rounds[kind, epoch] = _Round(set(range(len(self._owners))))
            self._rounds = dict(sorted(self._rounds.items(), key=lambda item: (item[0][1], _ORDER.index(item[0][0]))))

    def ask(self, worker: int, now: float = 0.0) -> Item | None:
        """Give a worker something to do, or None when there is nothing now; the same again until it is done.

        ``now`` is the time in seconds, by which the ledger learns how long things take.
        """
        self._present.add(worker)
        for (kind, epoch), work in self._rounds.items():
            for lot, (who, _) in work.leased.items():
                if who == worker:
                    return Item(kind, epoch, lot)
        for choose in (self._at_hand, self._elsewhere):
            for (kind, epoch), work in self._rounds.items():
                chosen = choose(worker, kind, work.todo)
                if chosen is not None:
                    work.todo.discard(chosen)
                    work.leased[chosen] = worker, now
                    return Item(kind, epoch, chosen)
        return None

    def _at_hand(self, worker: int, _kind: str, todo: set[int]) -> int | None:
        """Of the lots that a worker has, first one that nobody else has."""
        mine = [lot for lot in todo if worker in self._holders(lot)]
        return min(mine, key=lambda lot: (len(self._held[lot]), lot), default=None)

    def _elsewhere(self, worker: int, kind: str, todo: set[int]) -> int | None:
        """Of the lots that a worker does not have, one of the worker that has most to do still."""
        if self._bound:
            return None
        load = Counter(who for lot in todo for who in self._holders(lot))
        others = {lot: max(load[who] for who in self._holders(lot)) for lot in todo if worker not in self._holders(lot)}
        free = [lot for lot in others if others[lot] > 1 or self._present.isdisjoint(self._holders(lot))]
        chosen = max(free, key=lambda lot: (others[lot], -lot), default=None)
        if chosen is None or self._present.isdisjoint(self._holders(chosen)):
            return chosen
        # One that will have done its lots itself before this worker has read one of them is left alone.
        wait = max(load[who] * self._took.get((who, kind), 0.0) for who in self._holders(chosen))
        cost = self._took.get((worker, kind), 0.0) + (0.0 if self.cheap else self._took.get((worker, PREPARE), 0.0))
        return chosen if wait >= cost or not wait else None

    def _holders(self, lot: int) -> Collection[int]:
        """Who has a lot at hand, or will when it is first given out."""
        return self._held[lot] or (self._owners[lot],)

    def done(self, worker: int, item: Item, report: bytes, now: float = 0.0) -> bool:
        """Note that something is done; False when it was before, nobody wants it any more, or it was not this worker's to do."""
        work = self._rounds.get((item.kind, item.epoch))
        if work is None or item.lot in work.reports or item.lot not in self._held:
            return False
        if self._bound and self._owners[item.lot] != worker:
            return False
        work.todo.discard(item.lot)
        who, begun = work.leased.pop(item.lot, (None, now))
        if who == worker:
            self._took[worker, item.kind] = now - begun
        work.reports[item.lot] = report
        self._held[item.lot].add(worker)
        return True

    def lose(self, worker: int) -> None:
        """A worker is gone, with all that it had at hand: others may do what it was given."""
        self._present.discard(worker)
        for work in self._rounds.values():
            for lot in [lot for lot, (who, _) in work.leased.items() if who == worker]:
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

    def drop(self, kind: str) -> None:
        """Forget the first round of a kind, if there is one: nobody wants it any more."""
        self._rounds.pop((kind, 0), None)

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
        self._held = {lot: set() for lot in self._held}
        self._present.clear()
        for kind, epoch, reports in rounds:
            done = {int(lot): bytes.fromhex(report) for lot, report in reports.items()}
            todo = set(range(len(self._owners))) - set(done)
            self._rounds[kind, epoch] = _Round(todo, reports=done)
