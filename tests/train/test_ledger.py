"""Every lot is done once for every round, whatever becomes of the workers; who gets which, and who takes over from whom."""

import json
from itertools import chain, count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dsgd.train.asynchronous.ledger import MEASURE, PREPARE, TRAIN, VALIDATE, Item, Ledger

WORKERS = 3
workers = st.integers(0, WORKERS - 1)


class Lots(RuleBasedStateMachine):
    """A lead that opens and closes rounds, and workers that ask, do, die and come back, and report late or twice."""

    @initialize(owners=st.lists(workers, max_size=6), bound=st.booleans())
    def begin(self, owners, bound):
        self.owners, self.bound = owners, bound
        self.ledger = Ledger(owners, bound)
        rounds = ((kind, epoch) for epoch in count() for kind in (TRAIN, VALIDATE))
        self.kinds = chain([(PREPARE, 0), (MEASURE, 0)], rounds)
        self.open: list[tuple[str, int]] = []
        # What each worker has been given and has not reported; what it has at hand; what has been reported by round and lot.
        self.given: dict[int, Item] = {}
        self.held: dict[int, set[int]] = {worker: set() for worker in range(WORKERS)}
        self.present: set[int] = set()
        self.reports: dict[tuple[str, int], dict[int, bytes]] = {}
        self.said: list[tuple[int, Item, bytes]] = []
        self.kept = self.ledger.snapshot(), {}
        self.open_next()

    def open_next(self):
        self.open.append(next(self.kinds))
        self.ledger.open(*self.open[-1])
        self.ledger.open(*self.open[-1])  # which changes nothing
        self.reports.setdefault(self.open[-1], {})

    @rule()
    def ahead(self):
        """The next round begins before this one ends."""
        if len(self.open) < 2:
            self.open_next()

    @rule(worker=workers)
    def ask(self, worker):
        item = self.ledger.ask(worker)
        self.present.add(worker)
        if worker in self.given:
            assert item == self.given[worker], "it was not told what it had been given, and must hear it again"
            return
        todo = self.todo()
        if item is None:
            mine = [lot for lot in todo if worker in self.near(lot[2])]
            assert not mine
            assert self.bound or all(self.will_be_taken(lot, todo) for lot in todo)
            return
        assert item in todo
        near = [other for other in todo if worker in self.near(other.lot)]
        if near:  # what is at hand, of the earliest round that has any
            assert item in near
            assert self.open.index(item[:2]) == min(self.open.index(other[:2]) for other in near)
        else:
            assert not self.bound, "a lot was given to one who has no way to its rows"
        self.given[worker] = item

    def near(self, lot: int) -> set[int]:
        """Who has a lot at hand; its owner as long as nobody has."""
        return {worker for worker in range(WORKERS) if lot in self.held[worker]} or {self.owners[lot]}

    def todo(self) -> list[Item]:
        """What is neither done nor given to anybody."""
        return [
            Item(kind, epoch, lot)
            for kind, epoch in self.open
            for lot in range(len(self.owners))
            if lot not in self.reports[kind, epoch] and Item(kind, epoch, lot) not in self.given.values()
        ]

    def will_be_taken(self, item: Item, todo: list[Item]) -> bool:
        """Whether somebody who has asked before has this lot at hand, and no other of the round."""
        near = self.near(item.lot)
        others = [other for other in todo if other[:2] == item[:2] and near & self.near(other.lot)]
        return others == [item] and bool(near & self.present)

    @rule(worker=workers, report=st.binary(max_size=3))
    def finish(self, worker, report):
        item = self.given.pop(worker, None)
        if item is not None:
            self.say(worker, item, report)

    def say(self, worker: int, item: Item, report: bytes):
        """A worker reports; whether that counts is known beforehand."""
        wanted = item[:2] in self.open and item.lot not in self.reports[item[:2]]
        assert self.ledger.done(worker, item, report) == wanted
        if wanted:
            self.reports[item[:2]][item.lot] = report
            self.held[worker].add(item.lot)
            # Whoever else was given it has done it for nothing.
            self.given = {who: other for who, other in self.given.items() if other != item}
        self.said.append((worker, item, report))

    @rule(data=st.data())
    def report_again(self, data):
        """A report that was not confirmed is said again, however late."""
        if self.said:
            worker, item, report = data.draw(st.sampled_from(self.said))
            if not self.bound or self.owners[item.lot] == worker:
                self.say(worker, item, report)

    @rule(worker=workers, goes_on=st.booleans())
    def lose(self, worker, goes_on):
        """A worker is given up; it may be alive, finish what it was given, and report it."""
        self.ledger.lose(worker)
        item = self.given.pop(worker, None)
        self.held[worker].clear()
        self.present.discard(worker)
        if item is not None and goes_on:
            self.say(worker, item, b"late")

    @rule()
    def keep(self):
        kept = json.loads(json.dumps(self.ledger.snapshot()))
        self.kept = kept, {key: dict(self.reports[key]) for key in self.open}

    @rule()
    def restart(self):
        """The lead dies, and goes on from what was kept."""
        rounds, reports = self.kept
        self.ledger.restore(rounds)
        self.reports |= {key: dict(found) for key, found in reports.items()}
        self.open = list(reports)
        self.given.clear()
        self.present.clear()
        for held in self.held.values():
            held.clear()
        if not self.open:
            self.open_next()

    @invariant()
    def what_is_done_is_what_has_been_reported(self):
        for key in self.open:
            done = len(self.reports[key]) == len(self.owners)
            assert self.ledger.complete(*key) == done
            given = [item.lot for item in self.given.values() if item[:2] == key]
            assert len(set(given)) == len(given), "a lot was given to two at once"
            assert self.ledger.given_out(*key) == (len(self.reports[key]) + len(given) == len(self.owners))

    @rule()
    def close(self):
        """A round that is complete is ended, and another begins."""
        key = self.open[0]
        if self.ledger.complete(*key):
            found = self.reports[key]
            assert self.ledger.close(*key) == [found[lot] for lot in range(len(self.owners))]
            assert not self.ledger.complete(*key)
            del self.open[0]
            if not self.open:
                self.open_next()

    def teardown(self):
        """Workers that go on asking and doing come to the end of every round."""
        if not hasattr(self, "ledger"):
            return
        for _ in range(4 * len(self.owners) + 2):
            for worker in range(WORKERS):
                self.ask(worker)
                self.finish(worker, b"done")
        assert all(self.ledger.complete(*key) for key in self.open)


TestLots = Lots.TestCase
TestLots.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


def all_of(ledger: Ledger, worker: int) -> list[Item]:
    """What a worker that does everything at once is given."""
    items = []
    while (item := ledger.ask(worker)) is not None:
        items.append(item)
        assert ledger.done(worker, item, b"")
    return items


def test_a_worker_takes_its_own_first_and_then_of_who_has_most_to_do():
    ledger = Ledger([0, 0, 1, 2, 2, 2], bound=False)
    ledger.open(PREPARE)
    assert ledger.ask(2) == Item(PREPARE, 0, 3)
    assert ledger.ask(1) == Item(PREPARE, 0, 2)
    # Of worker 2, not of the one whose lot is done; and the last one is left to the worker that will come for it.
    assert [item.lot for item in all_of(ledger, 0)] == [0, 1, 4]
    assert not ledger.given_out(PREPARE, 0)


def test_who_has_most_to_do_is_helped_first():
    ledger = Ledger([0, 1, 1, 2, 2, 2], bound=False)
    ledger.open(PREPARE)
    assert [item.lot for item in all_of(ledger, 0)] == [0, 3, 1, 4, 2, 5]


def test_the_last_lot_of_one_who_is_there_is_left_to_him():
    ledger = Ledger([0, 1, 1], bound=False)
    ledger.open(TRAIN)
    assert ledger.ask(1) == Item(TRAIN, 0, 1)
    assert [item.lot for item in all_of(ledger, 0)] == [0]
    ledger.lose(1)
    assert [item.lot for item in all_of(ledger, 0)] == [1, 2]


@pytest.mark.parametrize("how", ["lost", "the lead lost", "both"])
def test_what_was_taken_over_is_the_owners_again_when_the_other_is_lost(how):
    ledger = Ledger([0, 0, 1], bound=False)
    ledger.open(PREPARE)
    assert [item.lot for item in all_of(ledger, 1)] == [2, 0, 1]
    ledger.close(PREPARE)
    ledger.open(TRAIN)
    if how != "the lead lost":
        ledger.lose(1)
    if how != "lost":
        ledger.restore(ledger.snapshot())
    assert [ledger.ask(worker).lot for worker in (1, 0)] == [2, 0]
    assert ledger.done(1, Item(TRAIN, 0, 2), b"")
    assert ledger.ask(1) is None, "the last lot of one who is there"


class Timed:
    """Two workers with three lots each, which take each of them so long to read, and as long to train on once."""

    def __init__(self, *seconds: float):
        self.ledger, self.seconds, self.now = Ledger([0, 0, 0, 1, 1, 1], bound=False), seconds, 0.0
        for kind in (PREPARE, TRAIN):
            self.ledger.open(kind)
            for worker in (0, 1):
                self.do(worker, 3)
            self.ledger.close(kind)
        self.ledger.open(TRAIN, 1)

    def ask(self, worker: int) -> int | None:
        item = self.ledger.ask(worker, self.now)
        return None if item is None else item.lot

    def do(self, worker: int, times: int) -> list[int]:
        """The lots that a worker does one after the other."""
        lots = []
        for _ in range(times):
            item = self.ledger.ask(worker, self.now)
            self.now += self.seconds[worker]
            assert self.ledger.done(worker, item, b"", self.now)
            lots.append(item.lot)
        return lots


@pytest.mark.parametrize(("mine", "theirs", "taken"), [(1.0, 4.0, 4), (1.0, 1.0, 4), (1.5, 1.0, None)])
def test_who_would_have_done_it_sooner_himself_is_left_alone(mine, theirs, taken):
    """Two lots are left, which the other does in twice his time; to read one and to do it takes this one twice his own."""
    run = Timed(mine, theirs)
    assert run.do(0, 3) == [0, 1, 2]
    assert run.ask(1) == 3
    assert run.ask(0) == taken
    if taken is None:
        run.ledger.cheap = True
        assert run.ask(0) == 4, "it need not be read"


def test_a_lot_that_two_have_at_hand_is_taken_after_those_of_one():
    ledger = Ledger([0, 0, 1], bound=False)
    ledger.open(PREPARE)
    assert ledger.ask(1) == Item(PREPARE, 0, 2)
    assert [item.lot for item in all_of(ledger, 0)] == [0, 1]
    assert ledger.done(1, Item(PREPARE, 0, 2), b"")
    ledger.close(PREPARE)
    ledger.open(MEASURE)
    assert [item.lot for item in all_of(ledger, 1)] == [2, 0]
    assert [item.lot for item in all_of(ledger, 0)] == [1]
    ledger.open(TRAIN)
    assert [item.lot for item in all_of(ledger, 0)][:2] == [1, 0]


def test_earlier_rounds_come_first_and_later_ones_are_no_reason_to_wait():
    ledger = Ledger([0, 1, 1], bound=True)
    ledger.open(VALIDATE, 0)
    ledger.open(TRAIN, 1)
    ledger.open(TRAIN, 0)
    assert all_of(ledger, 0) == [Item(TRAIN, 0, 0), Item(VALIDATE, 0, 0), Item(TRAIN, 1, 0)]
    assert ledger.ask(1) == Item(TRAIN, 0, 1)


@pytest.mark.parametrize(
    ("worker", "item"),
    [(1, Item(TRAIN, 0, 0)), (0, Item(TRAIN, 0, 7)), (0, Item(TRAIN, 3, 0)), (0, Item("dance", 0, 0))],
)
def test_what_cannot_have_been_done_is_not_noted(worker, item):
    """By another than who has the rows, of a lot or a round that is not there."""
    ledger = Ledger([0, 1], bound=True)
    ledger.open(TRAIN)
    assert not ledger.done(worker, item, b"")
    assert ledger.ask(0) == Item(TRAIN, 0, 0)


def test_no_lots_are_done_at_once():
    ledger = Ledger([], bound=False)
    ledger.open(TRAIN)
    assert ledger.complete(TRAIN)
    assert ledger.close(TRAIN) == []


@settings(deadline=None)
@given(owners=st.lists(workers, max_size=6), reports=st.dictionaries(st.integers(0, 5), st.binary(max_size=4)))
def test_snapshots_are_what_json_can_say(owners, reports):
    ledger = Ledger(owners, bound=False)
    ledger.open(TRAIN, 2)
    for lot, report in reports.items():
        ledger.done(0, Item(TRAIN, 2, lot), report)
    other = Ledger(owners, bound=False)
    other.restore(json.loads(json.dumps(ledger.snapshot())))
    assert other.snapshot() == ledger.snapshot()
    assert other.complete(TRAIN, 2) == ledger.complete(TRAIN, 2)
