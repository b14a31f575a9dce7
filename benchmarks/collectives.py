"""What an all-reduce costs between two processes of this machine: ``python -m benchmarks.collectives``.

Every way is measured in turns with the others and with two yardsticks of the same minute: the same exchange over bare TCP
sockets, and a copy in memory. Rates are all-reduces a second at d = 100 float32, and bytes of the vector a second at one
million float32. On a machine that does other work too, the ratios to the yardsticks tell more than the rates.
"""

import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import SimpleNamespace

import numpy as np

from dsgd.collectives import connect
from dsgd.transport import FitKeys

SHORT, LONG = 100, 1_000_000
WAYS: dict[str, dict] = {
    "shared memory": {"machines": 1},
    "ring": {"machines": 2, "encrypt": False},
    "ring, encrypted": {"machines": 2, "encrypt": True},
    "tree": {"machines": 2, "encrypt": False, "topology": "tree"},
}
SOCKETS, COPY = "bare sockets", "copy in memory"


def measure(rounds: int = 7, short_repeats: int = 2000, long_repeats: int = 20) -> dict[str, list[tuple[float, float]]]:
    """Measure every way in turns.

    Returns
    -------
    dict
        For each way and each round the rates: short all-reduces a second, and bytes a second of the long one.
    """
    keys = FitKeys.generate()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        ends = [spawn.Pipe() for _ in range(2)]
        plan = (rounds, short_repeats, long_repeats)
        ranks = [
            spawn.Process(target=_rank, args=(rank, ends[rank][1], keys, scratch, plan), daemon=True)
            for rank in range(2)
        ]
        for process in ranks:
            process.start()
        try:
            return _serve([end[0] for end in ends])
        finally:
            for process in ranks:
                process.join(20)
                process.kill()


def summary(samples: list[tuple[float, float]]) -> dict:
    """Medians and best rounds."""
    rates, bandwidths = zip(*samples, strict=True)
    return {
        "allreduces_per_second": round(statistics.median(rates)),
        "gigabytes_per_second": round(statistics.median(bandwidths) / 1e9, 3),
        "best_allreduces_per_second": round(max(rates)),
        "best_gigabytes_per_second": round(max(bandwidths) / 1e9, 3),
    }


def _serve(ends: list[Connection]) -> dict:
    """Be the ranks' meeting place until they send their samples."""
    while True:
        received = []
        for end in ends:
            if not end.poll(300):
                raise TimeoutError("a rank of the benchmark did not answer within 300 seconds")
            received.append(end.recv_bytes())
        if received[0].startswith(b"{"):
            return json.loads(received[0])
        for end in ends:
            for payload in received:
                end.send_bytes(payload)


def _rank(rank: int, end: Connection, keys: FitKeys, scratch: str, plan: tuple[int, int, int]) -> None:
    def allgather(payload: bytes) -> list[bytes]:
        end.send_bytes(b"." + payload)
        return [end.recv_bytes()[1:] for _ in range(2)]

    rounds, short_repeats, long_repeats = plan
    collectives = [_connect(rank, way, keys, scratch, allgather) for way in WAYS.values()]
    sides: dict[str, Callable[[np.ndarray], None]] = {
        name: collective.allreduce for name, collective in zip(WAYS, collectives, strict=True)
    }
    sides[SOCKETS] = _Sockets(rank, allgather).allreduce
    target = np.full(LONG, 0.0, np.float32)
    sides[COPY] = lambda buffer: np.copyto(target[: len(buffer)], buffer)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            rate = _rate(side, SHORT, short_repeats if turn else 10)
            bandwidth = _rate(side, LONG, long_repeats if turn else 2) * LONG * 4
            if turn:  # the first round compiles and warms up
                samples[name].append((rate, bandwidth))
            allgather(b"")  # nobody starts the next way early
    for collective in collectives:
        collective.close()
    end.send_bytes(json.dumps(samples).encode())


def _connect(rank: int, way: dict, keys: FitKeys, scratch: str, allgather: Callable[[bytes], list[bytes]]):
    options = {name: value for name, value in way.items() if name != "machines"}
    context = SimpleNamespace(
        rank=rank,
        size=2,
        host="127.0.0.1",
        machine=f"benchmark {rank % way['machines']}",
        scratch=scratch,
        allgather=allgather,
    )
    return connect(context, max_bytes=4 * LONG, keys=keys, **options)


def _rate(allreduce: Callable[[np.ndarray], None], length: int, repeats: int) -> float:
    buffer = np.full(length, 0.0, np.float32)  # zeros would leave the pages to be mapped while the clock runs
    start = time.perf_counter()
    for _ in range(repeats):
        allreduce(buffer)
    return repeats / (time.perf_counter() - start)


class _Sockets:
    """The two-rank ring over bare TCP: halves are exchanged, added, and exchanged back."""

    def __init__(self, rank: int, allgather: Callable[[bytes], list[bytes]]):
        self.rank = rank
        listener = socket.create_server(("127.0.0.1", 0))
        port = int(allgather(str(listener.getsockname()[1]).encode())[0])
        if rank == 0:
            self._peer = listener.accept()[0]
        else:
            self._peer = socket.create_connection(("127.0.0.1", port))
        listener.close()
        self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = np.empty(LONG, np.float32)

    def allreduce(self, buffer: np.ndarray) -> None:
        middle = len(buffer) // 2 if len(buffer) > SHORT else len(buffer)
        halves = buffer[:middle], buffer[middle:]
        if middle == len(buffer):
            buffer += self._exchange(buffer, middle)
            return
        mine, theirs = halves[self.rank], halves[1 - self.rank]
        mine += self._exchange(theirs, len(mine))
        theirs[:] = self._exchange(mine, len(theirs))

    def _exchange(self, sent: np.ndarray, length: int) -> np.ndarray:
        """One after the other: both sending at once would fill the buffers and stop."""
        received = self._received[:length]
        for turn in range(2):
            if turn == self.rank:
                self._peer.sendall(sent)
            else:
                self._receive(memoryview(received).cast("B"))
        return received

    def _receive(self, target: memoryview) -> None:
        while target:
            target = target[self._peer.recv_into(target) :]


def main() -> dict:
    """Print and return the measurements."""
    results = {way: summary(found) for way, found in measure().items()}
    print(json.dumps(results, indent=2))
    return results


if __name__ == "__main__":
    main()
