"""How long a parameter server that does not answer is waited for, and what ends a wait before."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dsgd.errors import WorkerLost
from dsgd.server import client as clients
from dsgd.server import host as hosts
from dsgd.server.client import CrewOver
from dsgd.server.policy import Policy
from dsgd.transport import FitKeys, Security

from .hosts import WAIT, ask, step, wait_for


def test_a_shard_that_never_answers_is_named_at_the_deadline(new_crew):
    crew = new_crew()
    server, client = crew.shard(1, mute=True), crew.client(3, shards=(1,), deadline=0.4)
    words = rf"parameter shard 1 at {server.address} has not answered, and worker 3 has tried for .* s; it may be overloaded"
    with pytest.raises(WorkerLost, match=words):
        client.join()


def test_a_shard_that_is_nowhere_is_named_at_the_deadline(new_crew):
    client = new_crew().client(shards=(2,), deadline=0.3)
    client.tell(2, step(client, 0, 1))  # is lost, and nobody waits
    with pytest.raises(WorkerLost, match="parameter shard 2 has not been started, and worker 0 has tried for"):
        client.join()


@pytest.mark.parametrize("listens", [True, False])
def test_an_address_where_no_shard_is_is_named_at_the_deadline(new_crew, listens):
    crew, deadline = new_crew(), 0.4
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        if not listens:
            other.close()
        crew.post(0, 0, address)
        client = crew.client(deadline=deadline)
        with pytest.raises(WorkerLost, match=f"parameter shard 0 at {address} .*, and worker 0 has tried for"):
            client.join()


def test_keys_of_another_fit_find_nobody(new_crew, security):
    crew = new_crew()
    crew.shard()
    client = crew.client(deadline=1.5, security=Security(FitKeys.generate(), security.encrypt))
    with pytest.raises(
        WorkerLost, match=r"refused the connection: it died, has the keys of another fit, or only one side"
    ):
        client.join()


def test_a_shard_that_waits_for_others_says_so(new_crew, monkeypatch):
    """Whoever is told so waits on past the deadline, but not for ever."""
    monkeypatch.setattr(hosts, "_SIGN", 0.1)
    crew = new_crew(policy=Policy(0))
    crew.shard()
    fast, slow = crew.client(0, deadline=2.0), crew.client(1)
    fast.join()
    slow.join()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(ask, fast, step(fast, 0, 1, 1))
        time.sleep(3.0)
        assert not waits.done()
        assert ask(slow, step(slow, 0, 2, 1)).clock == waits.result(WAIT).clock == 1
    monkeypatch.setattr(clients, "_LONGEST", 0)
    fast._deadline = 0.4
    with pytest.raises(
        WorkerLost, match="waits for workers that are alive and push nothing, and worker 0 has tried for"
    ):
        ask(fast, step(fast, 1, 3, 2))


def test_the_end_of_the_crew_ends_all_waits(new_crew):
    crew = new_crew()
    crew.shard(0, mute=True)
    clients = [crew.client(0), crew.client(1, shards=(5,))]
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(client.join) for client in clients]
        time.sleep(0.2)
        crew.over.set()
        for wait in waits:
            with pytest.raises(CrewOver, match="stops: the crew is over"):
                wait.result(WAIT)


def test_a_board_that_is_gone_is_waited_for_like_its_shards(new_crew):
    crew = new_crew()
    client = crew.client(deadline=0.3)

    def gone(name):
        raise WorkerLost("the board is gone")

    client._read = gone
    with pytest.raises(WorkerLost, match="parameter shard 0 has not been started"):
        client.join()
    crew.over.set()
    with pytest.raises(CrewOver):
        client.join()


@pytest.mark.parametrize("waits", [True, False])
def test_an_attempt_that_has_been_overtaken_is_told(new_crew, waits):
    crew = new_crew(policy=Policy(0))
    server = crew.shard()
    old, new, other = crew.client(0, 0), crew.client(0, 1), crew.client(1)
    old.join()
    other.join()
    if waits:
        old.request(0, step(old, 0, 1, 1))
        wait_for(lambda: server.ask(lambda host: host.shard.waiting()))
    new.join()
    if not waits:
        old.request(0, step(old, 0, 1, 1))
    with pytest.raises(CrewOver, match="worker 0 has been started again: attempt 1 has taken its place"):
        old.answer(0)
    assert server.ask(lambda host: host.shard.dropped + host.shard.repeated) == 0
