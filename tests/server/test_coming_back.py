"""Connections that break and shards that die: what has not been answered is asked again, and nothing is done twice."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from dsgd.server import client as clients
from dsgd.server import host as hosts
from dsgd.server import wire
from dsgd.server.policy import Policy
from dsgd.server.wire import Message

from .hosts import WAIT, Proxy, ask, step, wait_for


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Addresses are tried again soon."""
    monkeypatch.setattr(clients, "_RETRY", 0.2)


def held(client, shard: int) -> int:
    """The version of a shard of which a client holds a snapshot."""
    return client._lines[shard].offering(wire.OFFER).version


def hand_out(server, *to) -> None:
    """Let the shard hand its snapshot to clients, one after the other."""

    def keep(host, worker: int) -> list[Message]:
        host._keeper = worker - 1
        return host.keep()

    def has_it(client, version: int) -> bool:
        client._lines[server.host.number].drain()
        return held(client, server.host.number) == version

    for client in to:
        (sent,) = server.ask(partial(keep, worker=client.worker), sends=True)
        wait_for(partial(has_it, client, sent.version))


@pytest.fixture
def cut_crew(new_crew):
    """Two workers that step together, and a shard behind a proxy."""
    crew = new_crew(policy=Policy(0))
    server = crew.shard()
    proxy = crew.enter(Proxy(server.address))
    crew.post(0, 0, proxy.address)
    return crew, server, proxy


@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_that_breaks_while_an_answer_is_waited_for(cut_crew, times):
    """The shard has had the push, and holds the pull: it answers it once, by the new connection."""
    crew, server, proxy = cut_crew
    first, second = crew.client(0), crew.client(1)
    first.join()
    second.join()
    first.request(0, step(first, 0, 1, 1))
    wait_for(lambda: server.ask(lambda host: host.shard.waiting()))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(first.answer, 0)
        for time in range(1, times + 1):
            assert proxy.cut()
            wait_for(lambda time=time: server.ask(lambda host: host.shard.repeated) == time)
        assert ask(second, step(second, 0, 2, 1)).clock == 1
        assert answer.result(WAIT).clock == 1
    # Nothing is left over that would be taken for the next answer.
    for worker, other, number in ((first, second, 3), (second, first, 5)):
        other.request(0, step(other, number // 2, number, number // 2 + 1))
        assert ask(worker, step(worker, number // 2, number + 1, number // 2 + 1)).clock == number // 2 + 1
        assert other.answer(0).clock == number // 2 + 1
    assert server.applied() == [1, 2, 3, 4, 5, 6]
    assert server.ask(lambda host: host.shard.version) == 3


def test_a_connection_that_breaks_before_anything_is_asked(cut_crew):
    crew, server, proxy = cut_crew
    client = crew.client()
    client.join()
    proxy.cut()
    assert ask(client, step(client, 0, 1, 1)).clock == 1
    proxy.cut()
    client.leave()  # which must not get lost: others would wait for this worker
    assert server.applied() == [1]
    assert ask(crew.client(1), step(client, 1, 2, 2)._replace(worker=1)).clock == 2


def test_an_earlier_connection_has_nothing_more_to_say(new_crew):
    """What was sent by it and is found late was sent again by the later one, and is answered there."""
    crew = new_crew()
    server, client = crew.shard(), crew.client()
    client.join()
    early = client._lines[0]._dealer
    client._lines[0]._dealer = None
    client._lines[0].connect(server.address, 0, None)
    assert ask(client, step(client, 0, 1, 1)).clock == 1
    early.send(step(client, 1, 2, 2))
    client.request(0, step(client, 1, 3, 2))
    assert client.answer(0).clock == 2
    assert ask(client, step(client, 2, 4, 3)).clock == 3
    assert server.applied() == [1, 3, 4]
    assert early.receive(0.0) is None
    early.close()


def test_a_shard_that_dies_goes_on_from_the_newest_snapshot(new_crew):
    crew = new_crew()
    server, first, second = crew.shard(), crew.client(0), crew.client(1)
    first.join()
    second.join()
    assert ask(first, step(first, 0, 1, 1)).version == 1
    hand_out(server, first)
    assert ask(second, step(second, 0, 2, 1)).version == 2
    hand_out(server, second)
    assert (held(first, 0), held(second, 0)) == (1, 2)
    # After the snapshot a push is applied and answered, another applied and not answered, and one does not arrive.
    assert ask(first, step(first, 1, 3, 2)).version == 3
    server.mute = True
    second.request(0, step(second, 1, 4, 2))
    wait_for(lambda: server.applied() == [1, 2, 3, 4])
    server.die()
    first.request(0, step(first, 2, 5, 3))
    again = crew.shard(attempt=1)
    assert again.address != server.address
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(client.answer, 0) for client in (first, second)]
        assert [answer.result(WAIT).clock for answer in answers] == [3, 2]
    # What was pushed after the snapshot and answered is lost; what was not answered is there, once.
    assert again.applied() == [1, 2, 4, 5]
    assert again.ask(lambda host: host.shard.version) == 4
    assert ask(first, step(first, 3, 6, 4)).version == 5
    assert first.join() == 4


def test_a_push_that_is_in_the_snapshot_and_was_not_answered_is_not_applied_again(new_crew):
    crew = new_crew(workers=1)
    server, client = crew.shard(), crew.client()
    client.join()
    server.mute = True
    client.request(0, step(client, 0, 1, 1))
    wait_for(lambda: server.applied() == [1])
    hand_out(server, client)
    server.die()
    again = crew.shard(attempt=1)
    assert client.answer(0).clock == 1
    assert again.applied() == [1]
    assert again.ask(lambda host: (host.shard.version, host.shard.repeated)) == (1, 1)


def test_steps_that_all_take_together_go_on_together(new_crew):
    """Those whose pushes are said again are waited for: the first of them does not take the step alone."""
    crew = new_crew(policy=Policy(0))
    server, first, second = crew.shard(), crew.client(0), crew.client(1)
    first.join()
    second.join()
    hand_out(server, first, second)
    server.mute = True
    for client, number in ((first, 1), (second, 2)):
        client.request(0, step(client, 0, number, 1))
    wait_for(lambda: server.applied() == [1, 2])
    server.die()
    again = crew.shard(attempt=1)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(client.answer, 0) for client in (first, second)]
        assert [answer.result(WAIT).version for answer in answers] == [1, 1]
    assert again.applied() == [1, 2]
    assert again.ask(lambda host: host.shard.dropped) == 0


def test_who_waits_elsewhere_hands_over_what_it_holds(new_crew):
    """A worker that waits for one shard looks after the others: the one that has died needs its snapshot."""
    crew = new_crew(policy=Policy(0))
    crew.shard(0)
    server, first, second = crew.shard(1), crew.client(0, shards=(0, 1)), crew.client(1, shards=(0, 1))
    first.join()
    second.join()
    for client, number in ((first, 1), (second, 2)):
        client.request(1, step(client, 0, number, 1))
    assert [client.answer(1).version for client in (first, second)] == [1, 1]
    hand_out(server, first)
    first.request(0, step(first, 0, 1, 1))
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(first.answer, 0)
        server.die()
        again = crew.shard(1, attempt=1)
        # The other has nothing, and would have the shard begin anew.
        assert ask(second, step(second, 1, wanted=1), shard=1).version == 1
        assert not waits.done()
        assert ask(second, step(second, 0, 2, 1)).clock == waits.result(WAIT).clock == 1
    assert again.applied() == [1, 2]


def test_without_a_snapshot_it_begins_anew_when_it_has_been_told_what_it_is(new_crew):
    crew = new_crew(workers=1)
    server, client, lead = crew.shard(), crew.client(), crew.client(0xFFFFFFFF)
    client.join()
    ask(client, step(client, 0, 1, 1))
    start = np.frombuffer(b"this is what you are", np.uint8)
    lead.on_new = lambda shard: Message(wire.START, lead.worker, 0, arrays=[start])
    lead.visit()
    server.die()
    again = crew.shard(attempt=1)
    client.request(0, step(client, 1, 2, 2))
    wait_for(lambda: lead.visit() or again.host.start is not None)
    assert client.answer(0).clock == 2
    assert again.applied() == [2]
    # The lead holds nothing, and is no worker that could be waited for.
    assert ask(lead, Message(wire.STATE, lead.worker, 0)).version == 1


def test_a_later_attempt_is_found_while_the_earlier_one_still_runs(new_crew, monkeypatch):
    """An engine may take a shard for dead that is not."""
    monkeypatch.setattr(clients, "_BOARD", 0.1)
    monkeypatch.setattr(hosts, "_COME_BACK", 0.1)
    crew = new_crew()
    old, client = crew.shard(), crew.client()
    client.join()
    hand_out(old, client)
    new = crew.shard(attempt=1)

    # Each answer may still be of the old one; the first push goes to the new one.
    wait_for(lambda: ask(client, step(client, 0, wanted=0)) and client._lines[0].reached == 1)
    assert ask(client, step(client, 7, 7, 8)).clock == 8
    assert new.applied() == [7]
    assert old.applied() == []
