"""The keys of one fit: made by the driver, shipped inside the engine's tasks, never written anywhere else."""

import secrets
from dataclasses import dataclass, field

import zmq

from ..errors import ConfigError


@dataclass(frozen=True)
class FitKeys:
    """What the ranks of one fit share and nobody else knows. The secrets do not appear in ``repr``.

    Attributes
    ----------
    fit : int
        Random number of the fit, in every message's header.
    server, client : (bytes, bytes)
        CurveZMQ key pairs (public, secret) for the end that listens and the end that connects.
    token : str
        Proves membership where the cipher is off.

    Examples
    --------
    >>> keys = FitKeys.generate()
    >>> keys.token in repr(keys)
    False
    """

    fit: int
    server: tuple[bytes, bytes] = field(repr=False)
    client: tuple[bytes, bytes] = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def generate(cls) -> "FitKeys":
        """Make new keys.

        Raises
        ------
        ConfigError
            When this machine's libzmq was built without CURVE.
        """
        if not zmq.has("curve"):
            raise ConfigError(
                f"libzmq {zmq.zmq_version()} was built without CURVE encryption; install pyzmq's own wheel"
            )
        return cls(secrets.randbits(63), zmq.curve_keypair(), zmq.curve_keypair(), secrets.token_hex(32))
