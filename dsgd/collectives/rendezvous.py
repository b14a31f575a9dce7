"""From an engine's ranks to a collective, with one call of the engine's all-gather.

Every rank listens before the all-gather, because afterwards there is no second one to say where. What it publishes is
small and public: address, machine and settings; the keys came inside the engine's task.

Examples
--------
>>> from types import SimpleNamespace
>>> alone = SimpleNamespace(rank=0, size=1, host="127.0.0.1", machine="m", scratch="/tmp", allgather=lambda b: [b])
>>> connect(alone).allgather(b"x")
[b'x']
"""

import json
import secrets
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from ..errors import ConfigError, WorkerLost
from ..foreign import read_object
from ..transport.channel import Channel
from ..transport.endpoint import Security
from ..transport.keys import FitKeys
from .base import Collective
from .network import NetworkCollective
from .region import memory_identity, open_shared
from .ring import Ring
from .single import SingleProcess
from .tree import Tree
from .twolevel import TwoLevel

Topology = Literal["ring", "tree"]
_TOPOLOGIES: dict[str, type[NetworkCollective]] = {"ring": Ring, "tree": Tree}


class Context(Protocol):
    """What is needed of a rank's context; see :class:`dsgd.train.engine.RankContext`."""

    rank: int
    size: int
    host: str
    machine: str
    scratch: str

    def allgather(self, payload: bytes, /) -> list[bytes]: ...


@dataclass(frozen=True)
class _Card:
    """What a rank tells the others about itself."""

    address: str
    machine: str
    name: str
    settings: list

    @classmethod
    def read(cls, payload: bytes, rank: int) -> "_Card":
        """The card of a rank; WorkerLost when it is none."""
        source = f"what rank {rank} tells of itself"
        found = read_object(payload, source, WorkerLost)
        texts = all(isinstance(found.get(name), str) for name in ("address", "machine", "name"))
        if not texts or not isinstance(found.get("settings"), list) or not found["name"].isalnum():
            raise WorkerLost(f"{source} is damaged: it does not say where it is")
        return cls(*(found[name] for name in ("address", "machine", "name", "settings")))


def connect(
    context: Context,
    topology: Topology = "ring",
    max_bytes: int = 1 << 20,
    *,
    keys: FitKeys | None = None,
    encrypt: bool = True,
    deadline: float = 30.0,
    port_range: tuple[int, int] | None = None,
    interface: str | None = None,
    attempt: int = 0,
) -> Collective:
    """Connect the ranks of a gang; called by all of them, once.

    Ranks of one machine reduce through shared memory; with several machines, one rank of each then reduces over the
    network.

    Parameters
    ----------
    context : RankContext
        Its ``allgather`` is called once, or not at all when there is one rank.
    topology : {"ring", "tree"}
        How the machines reduce. A ring moves the fewest bytes; a tree takes the fewest steps.
    max_bytes : int
        Length of the longest buffer that will usually be reduced; sizes the shared memory, longer ones pass in pieces.
    keys : FitKeys
        Made by the driver (``FitKeys.generate()``), the same for all ranks.
    encrypt : bool
        Encrypt what crosses the network. Without, peers still prove that they hold the fit's token.
    deadline : float
        Seconds that an operation waits for a peer after its last sign of life. Who computes for longer between two
        operations does so inside of ``working()``.
    port_range : (int, int) or None
        First and last port to listen at; None lets the system choose.
    interface : str or None
        Address, or name of a network interface, of this machine at which to listen and be reached; None is ``context.host``.
    attempt : int
        Number of the attempt at this fit; ranks of another attempt are fenced off.

    Raises
    ------
    ConfigError
        When keys are missing, no port is free, or the ranks were given different settings.
    WorkerLost
        When a peer cannot be reached within the deadline.
    """
    _check_arguments(topology, deadline)
    if context.size == 1:
        return SingleProcess()
    if keys is None:
        raise ConfigError("ranks need the keys of their fit: FitKeys.generate() in the driver, shipped with the task")
    security = Security(keys, encrypt)
    host = interface or context.host
    channel = Channel(context.rank, security, host=host, port_range=port_range, deadline=deadline, attempt=attempt)
    try:
        cards = _exchange(context, channel, [topology, max_bytes, encrypt, keys.fit, attempt])
        return _assemble(context, channel, cards, topology, max_bytes, deadline)
    except BaseException:
        channel.close()
        raise


def _check_arguments(topology: str, deadline: float) -> None:
    if topology not in _TOPOLOGIES:
        raise ConfigError(f"topology must be 'ring' or 'tree' here, not {topology!r}")
    if not deadline > 0:
        raise ConfigError(f"deadline must be a positive number of seconds, not {deadline!r}")


def _exchange(context: Context, channel: Channel, settings: list) -> list[_Card]:
    """Every rank's card, by the one all-gather that there is."""
    machine = f"{context.machine}/{memory_identity()}"
    card = _Card(channel.address, machine, secrets.token_hex(8), settings)
    payloads = context.allgather(json.dumps(asdict(card)).encode())
    cards = [_Card.read(payload, rank) for rank, payload in enumerate(payloads)]
    _check_settings(cards)
    return cards


def _check_settings(cards: list[_Card]) -> None:
    for rank, card in enumerate(cards):
        if card.settings != cards[0].settings:
            raise ConfigError(
                "ranks must be given the same topology, max_bytes, encrypt, keys and attempt: rank 0 has "
                f"{cards[0].settings[:3]}, rank {rank} has {card.settings[:3]}"
            )


def _assemble(
    context: Context, channel: Channel, cards: list[_Card], topology: str, max_bytes: int, deadline: float
) -> Collective:
    by_machine: dict[str, list[int]] = {}
    for rank, card in enumerate(cards):
        by_machine.setdefault(card.machine, []).append(rank)
    machines = list(by_machine.values())
    here = by_machine[cards[context.rank].machine]
    leaders = [ranks[0] for ranks in machines]
    if len(machines) == 1 or context.rank not in leaders:
        channel.close()
    network = _network(channel, topology, leaders, cards) if len(machines) > 1 and context.rank in leaders else None
    if network is not None and len(machines) == context.size:
        return network
    try:
        local = open_shared(
            cards[here[0]].name,
            here.index(context.rank),
            len(here),
            max_bytes,
            scratch=context.scratch,
            deadline=deadline,
        )
    except BaseException:
        if network is not None:
            network.close()
        raise
    return local if len(machines) == 1 else TwoLevel(local, network, machines, context.rank)


def _network(channel: Channel, topology: str, leaders: list[int], cards: list[_Card]) -> NetworkCollective:
    kind = _TOPOLOGIES[topology]
    rank, size = leaders.index(channel.rank), len(leaders)
    peers = [leaders[peer] for peer in sorted(kind.peers_of(rank, size))]
    channel.connect({peer: cards[peer].address for peer in peers})
    return kind(channel, rank, size, leaders)
