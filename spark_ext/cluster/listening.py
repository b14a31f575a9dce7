"""Where the driver listens to its executors: a socket with keys of its own, at the address by which Spark knows the driver.

In come Spark's two addresses of the driver and the fit's settings; out come a bound socket and the address to connect to. What
is received there is :mod:`spark_ext.cluster.post`'s matter for a gang, :mod:`spark_ext.cluster.desk`'s for a crew.
"""

import contextlib
from dataclasses import dataclass

import zmq

from dsgd.errors import ConfigError
from dsgd.transport import FitKeys, Security
from dsgd.transport.endpoint import configure, listen

from .reports import Mailbox
from .session import Session


@dataclass(frozen=True)
class Listening:
    """How the driver listens: the ranks' own settings, as far as they are about its machine."""

    encrypt: bool = True
    port_range: tuple[int, int] | None = None
    interface: str | None = None


class Listener:
    """A socket that only who has its keys can talk to.

    Parameters
    ----------
    kind : int
        ZeroMQ's kind of socket.
    session : Session
    listening : Listening
    **options
        Of the socket, by ZeroMQ's names.

    Attributes
    ----------
    socket : zmq.Socket
    mailbox : Mailbox
        Its address and its keys, for who connects.

    Raises
    ------
    ConfigError
        When it cannot listen there.
    """

    def __init__(self, kind: int, session: Session, listening: Listening, **options: int):
        host = session.setting("spark.driver.host", "127.0.0.1")
        bind = session.setting("spark.driver.bindAddress", host)
        security = Security(FitKeys.generate(), listening.encrypt)
        self._context = zmq.Context()
        self._authenticator = security.authenticator(self._context)
        self.socket = self._context.socket(kind)
        try:
            configure(self.socket)
            for name, value in options.items():
                self.socket.set(getattr(zmq, name), value)
            security.secure_listener(self.socket)
            found, port = self._listen(host, bind, listening)
        except BaseException:
            self.close()
            raise
        self.mailbox = Mailbox(f"tcp://{found}:{port}", security)

    def _listen(self, host: str, bind: str, listening: Listening) -> tuple[str, str]:
        """Where executors reach the driver: at the ranks' interface if it is this machine's too, else where Spark says."""
        if listening.interface is not None:
            with contextlib.suppress(ConfigError):
                at = listen(self.socket, listening.interface, listening.port_range)
                found, _, port = at.removeprefix("tcp://").rpartition(":")
                return found, port
        port = listen(self.socket, bind, listening.port_range).rpartition(":")[2]
        return f"[{host}]" if ":" in host else host, port

    def close(self) -> None:
        """Listen no more."""
        self.socket.close(linger=0)
        self._authenticator.stop()
        self._context.destroy(linger=0)
