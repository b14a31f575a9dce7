"""Parameter servers on real sockets: what is pushed and pulled by any number of workers is what the shards alone would give."""

import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dsgd.errors import ConfigError
from dsgd.kernels.steps import Penalty
from dsgd.optim.rules import AdaGrad
from dsgd.optim.schedules import Constant
from dsgd.server import wire
from dsgd.server.exchange import Exchange, Update
from dsgd.server.policy import Policy
from dsgd.server.pushed import Pushed
from dsgd.server.ranges import Ranges, cut
from dsgd.server.service import Service
from dsgd.server.shard import ParameterShard
from dsgd.server.weights import RangeWeights
from dsgd.server.wire import BadMessage
from dsgd.transport import Security

from .hosts import SIZE, ask, one_range, step


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def security(request, keys):
    return Security(keys, request.param)


def adagrad(params: np.ndarray, sparse: bool) -> RangeWeights:
    strengths = Penalty(0.01, 0.1, True)
    return RangeWeights(AdaGrad(), Constant(0.3), strengths, 1, params, np.zeros_like(params), None, sparse=sparse)


@pytest.mark.parametrize("sparse", [True, False], ids=["listed", "all"])
def test_what_is_pulled_is_what_the_shards_alone_would_give(new_crew, monkeypatch, sparse):
    """In messages of one frame, and of several."""
    monkeypatch.setattr(wire, "CHUNK", 1 << 12)
    monkeypatch.setattr(wire, "INLINE", 1 << 10)
    random, size = np.random.default_rng(0), 9000
    ranges = Ranges(cut(np.ones(size), 2), 1)
    starts = ranges.parts(random.normal(size=size))
    crew = new_crew(workers=1)
    servers = [crew.shard(number) for number in (0, 1)]
    for server, start in zip(servers, starts, strict=True):
        server.ask(lambda host, start=start: setattr(host, "shard", ParameterShard(adagrad(start, sparse), Policy(0))))
    alone = adagrad(np.concatenate([starts[0][:-1], starts[1]]), sparse)
    client = crew.client(shards=(0, 1))
    exchange, params, clock = Exchange(client, ranges), np.zeros(size), client.join()
    for count in (5, 7000, 0, 300):
        indices = np.sort(random.choice(size, count, replace=False)).astype(np.int32) if sparse else None
        exchange.send(None, clock, indices)
        received = exchange.receive(params)
        assert received.clock == clock
        gradient = random.normal(size=count if sparse else size)
        exchange.push(Update(clock, received.versions, indices, [gradient], 4))
        alone.apply(Pushed(indices, gradient, 4))
        clock += 1
    exchange.send(None, clock, None)
    assert exchange.receive(params).steps == [4, 4]
    np.testing.assert_array_equal(params, alone.values(None))


@pytest.mark.parametrize("staleness", [0, 2, None], ids=["together", "bounded", "asynchronous"])
def test_every_push_of_every_worker_is_applied_once(new_crew, staleness):
    crew = new_crew(workers=3, policy=Policy(staleness))
    servers = [crew.shard(number) for number in (0, 1)]

    def work(worker: int) -> int:
        client = crew.client(worker, shards=(0, 1))
        clock, pushes = client.join(), range(worker, SIZE, 3)
        for number in pushes:
            for shard in (0, 1):
                client.request(shard, step(client, clock, number, clock + 1))
            clock = max(client.answer(shard).clock for shard in (0, 1))
        client.leave()
        return len(pushes)

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(3))) == SIZE
    for server in servers:
        assert server.applied() == list(range(SIZE))
        # Who begins later begins where the others are.
        assert staleness is not None or server.ask(lambda host: host.shard.version) == SIZE


def test_who_leaves_is_not_waited_for(new_crew):
    crew = new_crew(policy=Policy(0))
    server = crew.shard()
    first, second = crew.client(0), crew.client(1)
    assert (first.join(), second.join()) == (0, 0)
    first.request(0, step(first, 0, 1, 1))
    server.ask(lambda host: host.shard.waiting())
    second.leave()
    assert first.answer(0).clock == 1
    second.join()
    first.request(0, step(first, 1, 2, 2))
    assert ask(second, step(second, 1, 3, 2)).clock == 2
    assert first.answer(0).clock == 2
    assert server.applied() == [1, 2, 3]


def test_a_push_alone_is_confirmed(new_crew):
    crew = new_crew()
    server = crew.shard()
    client = crew.client()
    exchange = Exchange(client, one_range())
    exchange.push(Update(client.join(), [0], np.array([3], np.int32), [np.ones(1)], 0))
    assert server.applied() == [3]


def test_ports_come_from_the_range_and_closing_may_be_repeated(security):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    service = Service(security, "127.0.0.1", (port, min(port + 50, 65535)))
    assert port <= int(service.address.rpartition(":")[2]) <= port + 50
    service.close()
    service.close()
    with pytest.raises(ConfigError, match=r"cannot listen at 192\.0\.2\.1"):
        Service(security, "192.0.2.1")


def test_what_a_handler_refuses_is_dropped_and_what_it_breaks_on_is_not_hidden(new_crew, security):
    """A mistake of ours ends the member, with its words."""
    service = Service(security, "127.0.0.1")
    crew = new_crew()
    crew.post(0, 0, service.address)
    client = crew.client()
    seen = []

    def handle(message):
        seen.append(message.kind)
        if len(seen) == 1:
            raise BadMessage("no such thing")
        raise ZeroDivisionError

    client.request(0, step(client, 0, 1, 1))
    try:
        with pytest.raises(ZeroDivisionError):
            service.serve(handle, lambda: [] if len(seen) < 2 else None)
    finally:
        service.close(linger=0)
    assert seen == [wire.OFFER, wire.STEP]
