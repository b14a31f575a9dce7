"""The all-to-all exchange: everybody's payload for everybody, of any length; and what becomes of it when a rank is lost."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsgd.collectives import exchange as exchanges
from dsgd.collectives.exchange import exchanging
from dsgd.errors import ConfigError, WorkerLost
from dsgd.transport import FitKeys


class Meeting:
    """The all-gather and the barrier of threads, which are all that an exchange wants of a collective."""

    def __init__(self, size: int):
        self.size = size
        self.waiting, self._cards = threading.Barrier(size), [b""] * size

    def member(self, rank: int):
        meeting = self

        class Member:
            size = meeting.size

            def allgather(self, payload: bytes) -> list[bytes]:
                meeting._cards[rank] = payload
                self.barrier()
                return list(meeting._cards)

            def barrier(self) -> None:
                try:
                    meeting.waiting.wait(60)
                except threading.BrokenBarrierError as error:
                    raise WorkerLost("another rank has failed") from error

        member = Member()
        member.rank = rank
        return member


def run(size: int, check, *, deadline: float = 60.0, encrypt: bool = True) -> list:
    """What ``check(exchange)`` returns on every rank, or the exception that it ended with."""
    meeting, keys = Meeting(size), FitKeys.generate()

    def be(rank: int):
        options = {"host": "127.0.0.1", "keys": keys, "encrypt": encrypt, "deadline": deadline}
        try:
            with exchanging(meeting.member(rank), **options) as exchange:
                return check(exchange)
        except BaseException:
            meeting.waiting.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(be, rank) for rank in range(size)]
        return [future.exception(90) or future.result() for future in futures]


def payload(source: int, target: int, round_: int) -> np.ndarray:
    """Of a length of its own, from nothing to more than a message."""
    length = [0, 1, 5000, 700_000, 1_300_000][(source + 2 * target + round_) % 5]
    return np.random.default_rng([source, target, round_]).integers(0, 256, length, np.uint8)


@pytest.mark.parametrize(("size", "encrypt"), [(2, True), (3, False), (5, True)])
def test_everybody_has_what_was_for_it(size, encrypt):
    def rounds(exchange):
        rank = exchange.rank
        for k in range(4):
            arrived = exchange.swap([payload(rank, target, k) for target in range(size)])
            for source, found in enumerate(arrived):
                np.testing.assert_array_equal(found, payload(source, rank, k))
        return "well"

    assert run(size, rounds, encrypt=encrypt) == ["well"] * size


def test_a_rank_that_gives_up_ends_the_others_and_says_why():
    def first_gives_up(exchange):
        exchange.swap([np.zeros(10, np.uint8)] * 3)
        if exchange.rank == 0:
            raise ValueError("a row was no row")
        exchange.swap([np.zeros(10, np.uint8)] * 3)

    found = run(3, first_gives_up)
    assert isinstance(found[0], ValueError)
    assert all(isinstance(error, WorkerLost) for error in found[1:])
    assert any("a row was no row" in str(error) for error in found[1:])


def test_a_silent_rank_is_lost_by_the_deadline():
    over = threading.Event()

    def second_is_silent(exchange):
        if exchange.rank == 1:
            assert over.wait(60)
            return None
        try:
            return exchange.swap([np.zeros(10, np.uint8)] * 2)
        finally:
            over.set()

    assert "was silent for 0.5 seconds" in str(run(2, second_is_silent, deadline=0.5)[0])


def test_a_rank_at_work_is_waited_for_longer_than_the_deadline():
    """Until the other has waited for three deadlines."""
    waited = threading.Event()

    def second_works(exchange):
        if exchange.rank == 0:
            threading.Timer(1.5, waited.set).start()
            return exchange.swap([np.zeros(1, np.uint8)] * 2)[1].tolist()
        with exchange.working():
            assert waited.wait(60)
        return exchange.swap([np.ones(1, np.uint8)] * 2)[0].tolist()

    assert run(2, second_works, deadline=0.5) == [[1], [0]]


def test_unusable_payloads_are_refused_and_do_no_harm(monkeypatch):
    monkeypatch.setattr(exchanges, "LONGEST", 100)

    def refused(exchange):
        for payloads in ([np.zeros(1, np.uint8)], [np.zeros(1)] * 2):
            with pytest.raises(ConfigError, match="an exchange of 2 ranks takes so many arrays of bytes"):
                exchange.swap(payloads)
        with pytest.raises(ConfigError, match="a payload of 101 bytes is too long"):
            exchange.swap([np.zeros(101, np.uint8)] * 2)
        return [len(found) for found in exchange.swap([np.zeros(100, np.uint8)] * 2)]

    assert run(2, refused) == [[100, 100]] * 2


def test_no_more_is_received_than_may_be_sent(monkeypatch):
    def sends_more(exchange):
        if exchange.rank == 1:
            return exchange._channel.send(0, exchanges.frames.EXCHANGE, np.array([101], np.int64))
        monkeypatch.setattr(exchanges, "LONGEST", 100)
        return exchange.swap([np.zeros(1, np.uint8)] * 2)

    assert "announced a payload of 101 bytes" in str(run(2, sends_more)[0])
