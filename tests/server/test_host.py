"""How a shard comes back, without a network: whom it waits for, whom it asks, and what becomes of what was said meanwhile."""

import numpy as np
import pytest

from dsgd.server import wire
from dsgd.server.host import NOTHING_KEPT, ShardHost
from dsgd.server.policy import Policy
from dsgd.server.translate import ALL, LISTED, PULL, PUSH
from dsgd.server.wire import BadMessage, Message

from .crews import new_shard

START = b"what it is"
LEAD = 0xFFFFFFFF
ASYNCHRONOUS, TOGETHER = Policy(), Policy(0)


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A host, its clock, and what it has been made from."""

    def __init__(self, attempt=0, workers=3, policy=ASYNCHRONOUS, **more):
        self.clock, self.starts = Clock(), []
        self.host = ShardHost(2, attempt, self.make(policy), workers, 10.0, clock=self.clock, patience=20.0, **more)

    def make(self, policy):
        def made(start):
            self.starts.append(start)
            return new_shard(policy, 20)

        return made

    def say(self, kind, worker=0, attempt=0, **more) -> list[tuple]:
        """What is sent in answer: kind, worker, attempt."""
        return brief(self.host.handle(Message(kind, worker, attempt, **more)))

    def offer(self, worker, version=NOTHING_KEPT, attempt=0) -> list[tuple]:
        return self.say(wire.OFFER, worker, attempt, version=version)

    def step(self, worker, clock, number, wanted, attempt=0) -> list[tuple]:
        arrays = [np.array([number], np.int32), np.ones(1)]
        return self.say(
            wire.STEP, worker, attempt, clock=clock, wanted=wanted, flags=PUSH | LISTED | PULL | ALL, arrays=arrays
        )  # fmt: skip

    def wait(self, seconds) -> list[tuple]:
        self.clock.now += seconds
        return brief(self.host.tick())

    def applied(self) -> list[int]:
        return np.flatnonzero(self.host.shard.weights.values(None)).tolist()


def brief(messages) -> list[tuple]:
    return [
        (wire.KINDS[message.kind], message.worker, message.attempt) for message in messages if message.kind != wire.WAIT
    ]


def snapshot(*numbers: int) -> Message:
    """What a worker holds of a shard that has had these pushes of worker 0, as it hands it over."""
    bench = Bench(extra=lambda: {"epoch": 4})
    bench.host.begin(START)
    bench.offer(0)
    for clock, number in enumerate(numbers):
        bench.step(0, clock, number, clock + 1)
    (message,) = bench.host.keep()
    return message._replace(kind=wire.RESTORE)


def test_what_is_said_before_the_start_is_answered_after_it():
    bench = Bench()
    assert bench.offer(0) == bench.say(wire.JOIN) == bench.step(0, 0, 5, 1) == []
    assert brief(bench.host.handle(Message(wire.START, LEAD, arrays=[np.frombuffer(START, np.uint8)]))) == [
        ("welcome", 0, 0), ("weights", 0, 0),
    ]  # fmt: skip
    assert (bench.starts, bench.applied(), bench.host.recovered) == ([START], [5], {})
    assert bench.host.begin(b"something else") == []
    assert bench.starts == [START]


def test_snapshots_go_round_every_so_often():
    bench = Bench()
    bench.host.begin(START)
    assert bench.wait(30) == []  # nobody is there
    bench.offer(1, attempt=3)
    bench.offer(0)
    bench.offer(0, attempt=2)
    bench.offer(0, attempt=1)  # which has been overtaken
    assert [bench.wait(seconds) for seconds in (0, 9, 1, 10, 10)] == [
        [("keep", 0, 2)], [], [("keep", 1, 3)], [("keep", 0, 2)], [("keep", 1, 3)],
    ]  # fmt: skip


def test_when_all_have_come_back_the_newest_snapshot_is_asked_for():
    bench = Bench(attempt=1)
    assert bench.host.recovering
    assert bench.offer(1, version=1) == bench.offer(LEAD) == bench.offer(2, attempt=1) == []
    assert bench.offer(0, version=2) == [("restore", 0, 0)]
    assert bench.step(0, 2, 7, 3) == []
    assert bench.host.recovering
    assert brief(bench.host.handle(snapshot(5, 6))) == [("weights", 0, 0)]
    assert (bench.starts, bench.applied(), bench.host.recovered) == ([START], [5, 6, 7], {"epoch": 4})
    assert bench.host.shard.version == 3
    assert bench.host.handle(snapshot(5)) == []  # which comes late
    assert bench.applied() == [5, 6, 7]


def test_after_a_while_those_who_are_there_are_enough():
    bench = Bench(attempt=1)
    bench.host.begin(b"as the lead has it")
    assert bench.offer(1, version=1) == []
    assert bench.wait(4.9) == []
    assert bench.wait(0.2) == [("restore", 1, 0)]
    bench.host.handle(snapshot(5)._replace(worker=1))
    assert (bench.starts, bench.applied()) == ([START], [5])


def test_it_begins_anew_only_when_nobody_has_anything_or_comes():
    bench = Bench(attempt=1)
    assert bench.host.begin(START) == bench.offer(0) == bench.offer(1) == []
    assert bench.say(wire.JOIN, version=NOTHING_KEPT) == []
    assert bench.wait(19) == []  # the third may hold one
    assert bench.wait(2) == [("welcome", 0, 0), ("keep", 0, 0)]
    assert bench.host.recovered == {}

    other = Bench(attempt=1)
    other.host.begin(START)
    assert other.wait(1000) == []  # nobody has come: nothing is lost by waiting
    assert other.host.recovering
    assert other.offer(0) == other.offer(1) == []
    assert not other.host.recovering

    third = Bench(attempt=1)
    third.host.begin(START)
    assert [third.offer(worker) for worker in range(3)] == [[], [], []]
    assert not third.host.recovering


def test_another_is_asked_when_the_first_is_silent_and_the_first_may_be_late():
    bench = Bench(attempt=1)
    bench.offer(0, version=9)
    bench.offer(1, version=8)
    assert bench.offer(2) == [("restore", 0, 0)]
    assert bench.wait(19) == []
    assert bench.wait(2) == [("restore", 1, 0)]
    bench.host.handle(snapshot(5))
    assert bench.applied() == [5]


@pytest.mark.parametrize(("back", "asked"), [((9, 0), ("restore", 0, 0)), ((NOTHING_KEPT, 1), ("restore", 1, 0))])
def test_one_that_connects_again_is_asked_again_and_one_that_has_died_is_not(back, asked):
    bench = Bench(attempt=1)
    bench.offer(0, version=9)
    bench.offer(1, version=8)
    assert bench.offer(2) == [("restore", 0, 0)]
    version, attempt = back
    assert bench.offer(0, version, attempt) == [asked]


def test_snapshots_that_nobody_asked_for_and_damaged_ones_are_not_taken():
    bench = Bench(attempt=1, workers=2)
    bench.offer(0, version=1)
    good = snapshot(5)
    assert bench.host.handle(good) == []
    assert bench.offer(1, version=0) == [("restore", 0, 0)]
    for data in (good.arrays[0][:100], good.arrays[0][:-200], np.zeros(500, np.uint8)):
        with pytest.raises(BadMessage):
            bench.host.handle(good._replace(arrays=[data]))
    assert bench.host.handle(good._replace(arrays=[])) == []
    assert bench.host.handle(good._replace(worker=1)) == []
    assert bench.host.recovering
    bench.host.handle(good)
    assert bench.applied() == [5]


def test_what_is_said_again_while_it_comes_back_is_heard_once():
    bench = Bench(attempt=1, workers=1)
    for _ in range(3):
        bench.offer(0, version=1)
        bench.step(0, 1, 7, 2)
    assert brief(bench.host.handle(snapshot(5))) == [("weights", 0, 0)]
    assert bench.host.shard.repeated == 0


def test_what_cannot_be_is_dropped_and_the_others_are_heard(caplog):
    bench = Bench(attempt=1, workers=2)
    bench.offer(0, version=1)
    bench.step(0, 1, 99, 2)
    bench.offer(1)
    bench.step(1, 0, 7, 1)
    assert brief(bench.host.handle(snapshot(5))) == [("weights", 1, 0)]
    assert "parameter shard 2 dropped a message of worker 0: its features are not ascending from 0 to 20" in caplog.text


def test_steps_are_not_taken_without_those_whose_pushes_wait():
    bench = Bench(attempt=1, workers=2, policy=TOGETHER)
    bench.offer(0, version=0)
    bench.offer(1)
    kept = Bench(policy=TOGETHER, workers=2)
    kept.host.begin(START)
    for worker in (0, 1):
        kept.offer(worker)
        kept.say(wire.JOIN, worker)
    bench.step(0, 0, 5, 1)
    bench.step(1, 0, 6, 1)
    held = kept.host.keep()[0]._replace(kind=wire.RESTORE)
    assert brief(bench.host.handle(held)) == [("weights", 0, 0), ("weights", 1, 0)]
    assert (bench.applied(), bench.host.shard.version, bench.host.shard.dropped) == ([5, 6], 1, 0)


def signs(bench, seconds=0.5) -> list[tuple[int, int]]:
    bench.clock.now += seconds
    return [(message.worker, message.attempt) for message in bench.host.tick() if message.kind == wire.WAIT]


def test_who_waits_is_told_that_somebody_is_there():
    bench = Bench(policy=TOGETHER)
    bench.host.begin(START)
    bench.say(wire.JOIN, 0, 4)
    bench.say(wire.JOIN, 1)
    assert signs(bench) == []
    bench.step(0, 0, 5, 1, attempt=4)
    assert signs(bench) == signs(bench) == [(0, 4)]
    assert signs(bench, 0.1) == []
    bench.step(1, 0, 6, 1)
    assert signs(bench) == []


def test_who_waits_for_a_shard_to_be_there_is_told_so_for_a_while():
    bench = Bench(attempt=1)
    bench.say(wire.JOIN, 1, 2)
    assert signs(bench) == signs(bench, 30) == [(1, 2)]
    assert signs(bench, 30) == []  # then deadlines count


def test_answers_to_what_is_no_pull():
    bench = Bench()
    bench.host.begin(START)
    assert bench.say(wire.JOIN) == [("welcome", 0, 0)]
    assert bench.say(wire.STEP, flags=PUSH | LISTED, arrays=[np.zeros(0, np.int32), np.zeros(0)]) == [("noted", 0, 0)]
    assert bench.say(wire.REST) == [("noted", 0, 0)]
    assert bench.say(wire.LEAVE) == []
    assert bench.say(wire.STATE, LEAD) == [("state", LEAD, 0)]
    assert bench.say(wire.JOIN, attempt=1) == [("welcome", 0, 1)]
    assert bench.say(wire.JOIN, attempt=0) == [("refused", 0, 0)]
