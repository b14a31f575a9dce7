"""What a push and a pull cost: two workers and one parameter shard, each a process of this machine.

Comes in: a number of rounds. Goes out: for every way the seconds of a round trip, which is a push of a dense gradient and the
pull of all weights that answers it, as asynchronous workers make them. Two round trips are under way at a time, or four where
each worker asks for the weights one push ahead. The processes of all ways are there from the beginning, and take turns.
"""

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from dsgd.kernels.steps import Penalty
from dsgd.optim.rules import SGD
from dsgd.optim.schedules import Constant
from dsgd.server.address import announcement
from dsgd.server.client import Client
from dsgd.server.exchange import Exchange, Update
from dsgd.server.host import ShardHost
from dsgd.server.policy import Policy
from dsgd.server.ranges import Ranges
from dsgd.server.service import Service
from dsgd.server.shard import ParameterShard
from dsgd.server.weights import RangeWeights
from dsgd.transport import FitKeys, Security

from ..measure import Sample

WORKERS = 2
SHORT, LONG = 256, 1_000_000
# Round trips of each worker in a turn, of the short and of the long vectors.
_SHORT_TRIPS, _LONG_TRIPS = 2000, 50
# Seconds: for an answer, for a process to be there or to have done its turn, and for it to end.
_ANSWER, _TURN, _END = 30.0, 120.0, 10.0
_MACHINE = "benchmark"


@dataclass(frozen=True)
class Way:
    """How weights travel.

    Attributes
    ----------
    size : int
        Weights, float32.
    trips : int
        Round trips of each worker in a turn.
    ahead : int
        Pulls that are asked for before the push that they would belong to.
    encrypt : bool
    near : bool
        Whether they meet in a directory of the machine, and not over TCP.
    """

    size: int
    trips: int
    ahead: int = 0
    encrypt: bool = False
    near: bool = False


WAYS = {
    "short": Way(SHORT, _SHORT_TRIPS),
    "short, ahead": Way(SHORT, _SHORT_TRIPS, ahead=1),
    "long": Way(LONG, _LONG_TRIPS),
    "long, encrypted": Way(LONG, _LONG_TRIPS, encrypt=True),
    "long, directory": Way(LONG, _LONG_TRIPS, near=True),
}


def measure(rounds: int, ways: dict[str, Way] = WAYS) -> dict[str, list[Sample]]:
    """Let all ways take turns; return their samples, the seconds of which are those of one round trip."""
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    with contextlib.ExitStack() as stack:
        crews = {name: stack.enter_context(crew(way)) for name, way in ways.items()}
        for turn in range(rounds + 1):
            for name, ends in crews.items():
                seconds = _turn(ends) / (WORKERS * ways[name].trips)
                if turn:  # the first round compiles and warms up
                    samples[name].append(Sample(seconds))
    return samples


@contextlib.contextmanager
def crew(way: Way) -> Iterator[list[Connection]]:
    """The processes of one way; yields the ends of the workers' pipes, and ends all processes."""
    spawn, keys = multiprocessing.get_context("spawn"), FitKeys.generate()
    pipes = [spawn.Pipe() for _ in range(1 + WORKERS)]
    with tempfile.TemporaryDirectory(prefix="dsgd-trips-") as directory:
        bodies: list[tuple[Any, tuple]] = [(_serve, (directory if way.near else None,))]
        bodies += [(_work, (number,)) for number in range(WORKERS)]
        processes = [
            spawn.Process(target=body, args=(pipe[1], way, Security(keys, way.encrypt), *more), daemon=True)
            for (body, more), pipe in zip(bodies, pipes, strict=True)
        ]
        try:
            for process, pipe in zip(processes, pipes, strict=True):
                process.start()
                pipe[1].close()  # so that the process's own end is the only one, and its death is noticed
            address = _hear(pipes[0][0])
            for here, _ in pipes[1:]:
                here.send(address)
            yield [here for here, _ in pipes[1:]]
        finally:
            for here, _ in pipes:
                here.close()
            for process in processes:
                if process.pid is not None:
                    process.join(_END)
                    process.kill()


def _hear(end: Connection) -> Any:
    """What the other end says; EOFError when it has been closed."""
    if not end.poll(_TURN):
        raise TimeoutError(f"the other end of a pipe has said nothing for {_TURN:.0f} s")
    return end.recv()


def _turn(ends: list[Connection]) -> float:
    """Seconds from when the first worker begins to when the last one is done."""
    for end in ends:
        end.send(b"")
    begun, done = zip(*map(_hear, ends), strict=True)
    return max(done) - min(begun)


def _serve(end: Connection, way: Way, security: Security, directory: str | None) -> None:
    """Be the shard until the other end of the pipe is closed."""
    service = Service(security, "127.0.0.1", directory=directory)
    host = ShardHost(0, 0, lambda start: _shard(way.size), WORKERS, snapshot_seconds=3600.0)
    host.begin(b"anything")
    end.send(announcement(service.address, service.near, _MACHINE, 0))
    try:
        service.serve(host.handle, lambda: None if end.poll() else host.tick())
    finally:
        service.close()


def _shard(size: int) -> ParameterShard:
    zero, rate = np.float32(0), np.float32(0.1)
    weights = RangeWeights(
        SGD(), Constant(rate), Penalty(zero, zero, False), 1, np.zeros(size, np.float32), None, None, sparse=False
    )
    return ParameterShard(weights, Policy())


def _work(end: Connection, way: Way, security: Security, number: int) -> None:
    """Be a worker: make the round trips of a turn whenever told to, until the other end of the pipe is closed."""
    address = _hear(end)
    client = Client(security, lambda name: address, number, 0, [0], _ANSWER, lambda: False, _MACHINE)
    try:
        trips = _Trips(client, way)
        # The pipe is closed when there are no more turns.
        with contextlib.suppress(EOFError):
            while True:
                _hear(end)
                begun = time.perf_counter()
                trips.turn()
                end.send((begun, time.perf_counter()))
    finally:
        client.close()


class _Trips:
    """A worker's pushes and pulls, turn after turn."""

    def __init__(self, client: Client, way: Way):
        self._way, self._clock = way, client.join()
        self._exchange = Exchange(client, Ranges(np.array([0, way.size]), 1))
        self._params, self._gradient = np.zeros(way.size, np.float32), np.ones(way.size, np.float32)
        self._exchange.send(None, self._clock, None)
        self._versions = self._exchange.receive(self._params).versions

    def turn(self) -> None:
        for _ in range(self._way.ahead):
            self._exchange.send(None, self._clock, None)
        for _ in range(self._way.trips):
            update = Update(self._clock, self._versions, None, [self._gradient], 1)
            self._clock += 1
            self._exchange.send(update, self._clock, None)
            self._versions = self._exchange.receive(self._params).versions
        for _ in range(self._way.ahead):
            self._exchange.receive(self._params)
