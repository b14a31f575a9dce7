"""What is put around the ranks of a fit that is to be disturbed: blocks in files, and a proxy between them.

A rank's wrapper runs in its process. The proxy stands before the address at which the rank listens, and does to the connections
what the process is told by signals.
"""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dsgd.collectives import rendezvous
from dsgd.train import rank, stores
from dsgd.train.engine import RankContext
from dsgd.train.local import LocalEngine
from dsgd.transport.channel import Channel

RESET, DELAY, SILENCE = signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP
HELD = 1.0  # seconds for which bytes are held back
_PIECE, _LOOK = 1 << 16, 0.2


_taken: list[bytearray] = []


async def take_memory(size: int) -> None:
    """Take memory in a Dask worker and keep it; touched, so that it counts."""
    _taken.append(bytearray(b"x") * size)


class DisturbedEngine(LocalEngine):
    """A local engine of processes, whose ranks run in a wrapper; blocks lie in ``files``, or a ``proxy`` stands between."""

    def __init__(self, files: bool, proxy: bool):
        super().__init__(processes=True)
        self._asked = {"files": files, "proxy": proxy}

    def _wrapped(self, function: str, payloads: Sequence[Any]) -> list[Any]:
        return [(function, self._asked, payload) for payload in payloads]

    def launch(self, function, payloads, **keywords):
        """As :meth:`LocalEngine.launch`."""
        return super().launch(f"{__name__}:run_member", self._wrapped(function, payloads), **keywords)

    def crew(self, function, payloads, **keywords):
        """As :meth:`LocalEngine.crew`."""
        return super().crew(f"{__name__}:run_member", self._wrapped(function, payloads), **keywords)


def run_member(context: RankContext, payload: tuple[str, dict[str, bool], Any]) -> bytes:
    """Be a rank that can be disturbed."""
    function, asked, task = payload
    if asked["files"]:
        stores.MEMORY_BYTES = 0
    if asked["proxy"]:
        rendezvous.Channel = Proxied  # type: ignore[misc]
        # Ranks that share a machine share memory, and have no connection that could be disturbed.
        context = replace(context, machine=f"{context.machine}-{context.rank}")
        for number, change in ((RESET, Proxy.reset), (DELAY, Proxy.hold), (SILENCE, Proxy.fall_silent)):
            signal.signal(number, lambda *_, change=change: [change(proxy) for proxy in Proxy.all])
    return rank.find(function)(context, task)


class Proxied(Channel):
    """A channel whose peers are told the address of a proxy."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.address = Proxy(self.address).address


class Proxy:
    """Hands bytes on between whoever connects and ``address`` ("tcp://host:port"); ends with its process."""

    all: "list[Proxy]" = []  # noqa: RUF012 - of the process, which signals reach

    def __init__(self, address: str):
        host, port = address.removeprefix("tcp://").rsplit(":", 1)
        self._target = host, int(port)
        self._pairs: list[socket.socket] = []
        self._until, self._silent = 0.0, False
        self._listener = socket.create_server((host, 0))
        self.address = f"tcp://{host}:{self._listener.getsockname()[1]}"
        Proxy.all.append(self)
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(self._target, timeout=5.0)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True, name="proxied").start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                while (left := self._until - time.monotonic()) > 0:
                    time.sleep(min(left, _LOOK))
                if not self._silent:
                    sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break all connections, as a reset does: without lingering."""
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._pairs.clear()

    def hold(self) -> None:
        """Hold bytes back for a second."""
        self._until = time.monotonic() + HELD

    def fall_silent(self) -> None:
        """Drop all bytes from now on, and keep the connections open."""
        self._silent = True
