"""What runs on Dask's workers: the probe before a gang, the rank itself, and the two tasks of an aggregate.

Everything here is a module-level function, so that it travels by its name. A worker needs to reach the scheduler
and, if the rank's collective so wants, its peers; nothing needs to reach the client.
"""

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import Any

import distributed
from distributed.comm import get_address_host

from dsgd.train import place, scratch, versions
from dsgd.train import rank as ranks
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.rank import LOST, Failure

from .crew_orders import MemberOrders
from .directories import kept, removed_if_swept
from .meeting import Link
from .orders import Orders
from .shipping import unpack

# The latest ranks that ran here; a task is not run again long after its fit.
_MOST_RAN = 10_000
_ran: dict[str, None] = {}
_ran_lock = threading.Lock()


@dataclass(frozen=True)
class Probe:
    """What a worker says of itself before a gang starts.

    ``process`` tells a worker from its successor at the same address.
    """

    process: str
    host: str
    machine: str
    directory: str
    versions: dict[str, str]


def probe() -> Probe:
    """Describe this worker."""
    worker = distributed.get_worker()
    return Probe(process(), host(worker), place.machine(), worker.local_directory, versions.installed())


def process() -> str:
    """Name this worker's process, which is another one when the worker was restarted."""
    return f"{os.getpid()}-{distributed.get_worker().id}"


def host(worker: distributed.Worker) -> str:
    """Address under which the workers of other machines reach this one's."""
    # Workers inside the client's own process have no address in a network.
    return "127.0.0.1" if worker.address.startswith("inproc:") else get_address_host(worker.address)


def run_rank(orders: Orders, payload: bytes, found: list[Any]) -> tuple[bytes | Failure, int]:
    """Be one rank, with the data of its payload's futures; return its result or its failure, and how many reports it sent."""
    refused = refuse(orders)
    if refused:
        return Failure(orders.rank, LOST, f"rank {orders.rank} {refused}"), 0
    worker = distributed.get_worker()
    with (
        contextlib.closing(Link(orders, worker)) as link,
        removed_if_swept(orders.scratch),
        scratch.shared(orders.scratch, orders.rank, orders.here) as directory,
        place.limit_threads(orders.threads),
    ):
        context = RankContext(
            orders.rank,
            orders.size,
            host=host(worker),
            machine=place.machine(),
            scratch=directory,
            allgather=link.allgather,
            report=link.report,
            leave=link.leave if orders.leaves else None,
            threads=orders.threads,
            memory=memory(worker),
            fallen=link.fallen,
        )
        return ranks.run(orders.rank, "dask_ext.worker:call", orders.function, context, payload, found), link.sent


def memory(worker: distributed.Worker) -> int | None:
    """Resident bytes beyond which Dask begins to spill or pauses the worker; None without a limit."""
    manager = worker.memory_manager
    fractions = [part for part in (manager.memory_spill_fraction, manager.memory_pause_fraction) if part]
    return int(manager.memory_limit * min(fractions, default=1.0)) if manager.memory_limit else None


def call(function: str, context: RankContext, payload: bytes, found: list[Any]) -> bytes:
    """Unpack the payload and call the function, so that an error in either is the rank's."""
    return ranks.find(function)(context, unpack(payload, found))


def refuse(orders: Orders | MemberOrders) -> str | None:
    """Why this task must not run: Dask runs a task again elsewhere, or later, when a worker has died."""
    if process() != orders.process:
        return "was moved: its worker has died and come back"
    with _ran_lock:
        if orders.key in _ran:
            return "was started a second time: its result was lost"
        _ran[orders.key] = None
        if len(_ran) > _MOST_RAN:
            del _ran[next(iter(_ran))]
    return None


def run_leaf(
    function: str, payloads: bytes, found: list[Any], place_in: int, index: int, size: int, name: str, threads: int
) -> bytes | Failure:
    """Be one leaf of an aggregate."""
    worker = distributed.get_worker()
    directory = kept(worker.local_directory, name)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    context = RankContext(
        index,
        size,
        host=host(worker),
        machine=place.machine(),
        scratch=directory,
        allgather=no_gang,
        threads=threads,
        memory=memory(worker),
    )
    with place.limit_threads(threads):
        return ranks.run(index, "dask_ext.worker:call_one", function, context, payloads, found, place_in)


def call_one(function: str, context: RankContext, payloads: bytes, found: list[Any], place_in: int) -> bytes:
    """Unpack all payloads, which share what they have in common, and call the function with this leaf's."""
    return ranks.find(function)(context, unpack(payloads, found)[place_in])
