"""Listening and connecting: who may talk to a rank, at which address, and how its sockets are configured."""

import logging
import socket
from dataclasses import dataclass, replace

import zmq
from zmq.auth.thread import ThreadAuthenticator

from ..errors import ConfigError
from .frames import CHUNK, HEADER_BYTES, INLINE
from .keys import FitKeys

logger = logging.getLogger("dsgd.transport")

_DOMAIN = "dsgd"
_USER = "rank"
_CIPHER_BYTES = 64  # room for what CURVE adds to a frame


class _DoorLog(logging.LoggerAdapter):
    """The authenticator's log, without its details: there pyzmq writes down the passwords that it has been shown."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return level > logging.DEBUG and super().isEnabledFor(level)


@dataclass(frozen=True)
class Security:
    """How the peers of a fit recognise each other.

    Parameters
    ----------
    keys : FitKeys
    encrypt : bool
        True: CurveZMQ, which authenticates and encrypts. False: the fit's token is checked when a peer connects and
        travels in the clear, as do the data; this keeps strangers out, but not whoever can listen to the network.
    """

    keys: FitKeys
    encrypt: bool = True

    def authenticator(self, context: zmq.Context, near: bool = False) -> ThreadAuthenticator:
        """Start the thread that checks every connection to a listening socket of ``context``; those of ``near()``, too."""
        authenticator = ThreadAuthenticator(context, log=_DoorLog(logger, {}))
        authenticator.start()
        if self.encrypt:
            authenticator.configure_curve_callback(_DOMAIN, credentials_provider=self)
        if near or not self.encrypt:
            authenticator.configure_plain(_DOMAIN, {_USER: self.keys.token})
        return authenticator

    def near(self) -> "Security":
        """For peers that meet in a directory which nobody else may enter: the token is checked, and nothing encrypted."""
        return replace(self, encrypt=False)

    def callback(self, domain: str, key: bytes) -> bool:
        """Say whether the holder of a public key may connect (called by the authenticator)."""
        return key == self.keys.client[0]

    def secure_listener(self, listener: zmq.Socket) -> None:
        """Configure a socket that will bind."""
        listener.zap_domain = _DOMAIN.encode()
        listener.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        if self.encrypt:
            listener.curve_server = True
            listener.curve_publickey, listener.curve_secretkey = self.keys.server
        else:
            listener.plain_server = True

    def secure_sender(self, sender: zmq.Socket) -> None:
        """Configure a socket that will connect."""
        if self.encrypt:
            sender.curve_serverkey = self.keys.server[0]
            sender.curve_publickey, sender.curve_secretkey = self.keys.client
        else:
            sender.plain_username, sender.plain_password = _USER.encode(), self.keys.token.encode()


def configure(endpoint: zmq.Socket) -> None:
    """Options of every socket.

    Queues have no limit of their own, because ranks in step bound what is under way to one operation's buffers. A
    frame that is longer than any of ours is refused by libzmq before memory is allocated for it. A connection that
    breaks is not made again: what was lost with it could not be told from what was late.
    """
    endpoint.set(zmq.RCVHWM, 0)
    endpoint.set(zmq.SNDHWM, 0)
    endpoint.set(zmq.MAXMSGSIZE, max(CHUNK, INLINE + HEADER_BYTES) + _CIPHER_BYTES)
    endpoint.set(zmq.RECONNECT_IVL, -1)
    endpoint.set(zmq.LINGER, 0)


def listen(listener: zmq.Socket, host: str, port_range: tuple[int, int] | None) -> str:
    """Bind to ``host``'s own interface, at a free port of the range (both ends included), and return the address.

    Parameters
    ----------
    listener : zmq.Socket
    host : str
        An address or a name of this machine, or the name of one of its network interfaces.
    port_range : (int, int) or None

    Raises
    ------
    ConfigError
        When the host is not an address of this machine, or no port of the range is free.
    """
    interfaces = [name for _, name in socket.if_nameindex()]
    address = host if host in interfaces else _resolve(host)  # ZeroMQ knows the interfaces' addresses
    if ":" in address:
        listener.set(zmq.IPV6, 1)
        address = f"[{address}]"
    if port_range is not None and not 0 < port_range[0] <= port_range[1] < 65536:
        raise ConfigError(f"port_range must be (first, last) with 0 < first <= last < 65536, not {port_range}")
    ports = ["*"] if port_range is None else [str(port) for port in range(port_range[0], port_range[1] + 1)]
    for port in ports:
        try:
            listener.bind(f"tcp://{address}:{port}")
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                continue
            raise ConfigError(
                f"cannot listen at {host} ({address}, port {port}): {error}; the host must be an address of "
                "this machine that the other ranks can reach"
            ) from error
        return str(listener.get_string(zmq.LAST_ENDPOINT))
    raise ConfigError(
        f"no port from {ports[0]} to {ports[-1]} is free at {host}; every rank on a host needs one: widen port_range"
    )


def _resolve(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigError(
            f"{host!r} does not resolve on this machine, and is none of its network interfaces: {error}; give an address"
        ) from error
