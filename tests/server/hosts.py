"""Shards that listen in threads of this process, the board on which they leave their addresses, and clients of theirs."""

import contextlib
import queue
import socket
import threading
import time

import numpy as np

from dsgd.server import wire
from dsgd.server.address import announcement, place_of
from dsgd.server.client import Client
from dsgd.server.host import ShardHost
from dsgd.server.policy import Policy
from dsgd.server.ranges import Ranges
from dsgd.server.service import Service
from dsgd.server.translate import ALL, LISTED, PULL, PUSH
from dsgd.server.wire import Message

from .crews import new_shard

SIZE = 40
WAIT = 60.0  # seconds, for what ought to take none


class Crew:
    """A board, shards and workers; all of them are closed in the end."""

    def __init__(self, security, workers: int = 2, policy: Policy | None = None, size: int = SIZE):
        self.security, self.workers, self.policy, self.size = security, workers, policy or Policy(), size
        self.board: dict[str, bytes] = {}
        self.over = threading.Event()
        self._stack = contextlib.ExitStack()

    def shard(self, number: int = 0, attempt: int = 0, **more) -> "Server":
        """Start a shard, and leave its address on the board; the first attempt is told at once what it is."""
        server = Server(self, number, attempt, **more)
        self._stack.callback(server.die)
        self.post(number, attempt, server.address)
        return server

    def post(self, number: int, attempt: int, address: str) -> None:
        self.board[place_of(number)] = announcement(address, None, "", attempt)

    def client(self, worker: int = 0, attempt: int = 0, shards=(0,), deadline: float = WAIT, security=None) -> Client:
        client = Client(
            security or self.security, self.board.get, worker, attempt, shards, deadline, self.over.is_set
        )  # fmt: skip
        self._stack.callback(client.close)
        return client

    def enter(self, manager):
        return self._stack.enter_context(manager)

    def close(self) -> None:
        self.over.set()
        self._stack.close()


class Server:
    """A shard in a thread, as a member of a crew hosts it."""

    def __init__(self, crew: Crew, number: int, attempt: int, mute: bool = False):
        self.service = Service(crew.security, "127.0.0.1")
        self.address = self.service.address
        self.host = ShardHost(
            number, attempt, lambda start: new_shard(crew.policy, crew.size), crew.workers, 1e9, patience=5.0
        )
        if attempt == 0:
            self.host.begin(b"this is what you are")
        self.mute = mute
        self._asked: queue.Queue = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.service.serve, args=(self._handle, self._tick), daemon=True)
        self._thread.start()

    def _handle(self, message: Message) -> list[Message]:
        answers = self.host.handle(message)
        return [] if self.mute else answers

    def _tick(self) -> list[Message] | None:
        messages = self.host.tick()
        while not self._asked.empty():
            call, result, sends = self._asked.get()
            found = call(self.host)
            result.put(found)
            messages = messages + (found if sends else [])
        return None if self._stop.is_set() else messages

    def ask(self, call, sends: bool = False):
        """The result of a function of the host, called in the thread of the service; messages, which may be sent."""
        result: queue.Queue = queue.Queue()
        self._asked.put((call, result, sends))
        return result.get(timeout=WAIT)

    def weights(self) -> list[float]:
        return self.ask(lambda host: host.shard.weights.values(None).tolist())

    def applied(self) -> list[int]:
        """Numbers of the pushes that have been applied, each once."""
        values = self.weights()
        assert set(values) <= {0.0, -1.0}, "a push has been applied twice"
        return [number for number, value in enumerate(values) if value]

    def die(self) -> None:
        """Stop in the middle of everything."""
        self._stop.set()
        self._thread.join(WAIT)
        assert not self._thread.is_alive()
        self.service.close(linger=0)


class Proxy:
    """Passes bytes on to an address, until its connections are cut."""

    def __init__(self, address: str):
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._pairs.append((near, far))
                for a, z in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(a, z), daemon=True).start()

    def cut(self) -> int:
        """End all connections; return how many there were."""
        pairs, self._pairs = self._pairs, []
        for end in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):  # ended by the other side
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        return len(pairs)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._listener.close()
        self.cut()


def _pass_on(a: socket.socket, z: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut
        while data := a.recv(1 << 16):
            z.sendall(data)


def wait_for(condition) -> None:
    """Wait until something is so."""
    until = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)


def step(client: Client, clock: int, number: int | None = None, wanted: int | None = None) -> Message:
    """A message that pushes a flag, and pulls all weights."""
    flags, arrays = 0, []
    if number is not None:
        flags |= PUSH | LISTED
        arrays = [np.array([number], np.int32), np.ones(1)]
    if wanted is not None:
        flags |= PULL | ALL
    return Message(wire.STEP, client.worker, client.attempt, clock, wanted or 0, 0, 0, 0, flags, arrays)


def ask(client: Client, message: Message, shard: int = 0) -> Message:
    """The answer to a request."""
    client.request(shard, message)
    return client.answer(shard)


def one_range(size: int = SIZE) -> Ranges:
    return Ranges(np.array([0, size + 1]), outputs=1)
