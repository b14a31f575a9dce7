"""Which worker runs which rank, and what each rank is told."""

import collections
import os
import uuid
from collections.abc import Sequence

from dsgd.errors import ConfigError

from . import worker
from .orders import Orders


def place(size: int, threads: dict[str, int]) -> tuple[list[str], dict[str, int]]:
    """Choose the worker of every rank, in turns over the workers while they have threads, and each rank's threads.

    Examples
    --------
    >>> place(3, {"a": 4, "b": 1})
    (['a', 'a', 'b'], {'a': 2, 'b': 1})
    """
    most = sum(threads.values())
    if not 1 <= size <= most:
        raise ConfigError(
            f"the cluster runs 1 to {most} ranks ({len(threads)} workers with {most} threads), not {size}; lower"
            " n_workers, or add workers"
        )
    taken: collections.Counter[str] = collections.Counter()
    while taken.total() < size:
        for address, most in threads.items():
            if taken.total() < size and taken[address] < most:
                taken[address] += 1
    addresses = [address for address in threads for _ in range(taken[address])]
    return addresses, {address: threads[address] // count for address, count in taken.items() if count}


def place_crew(size: int, servers: int, threads: dict[str, int]) -> tuple[list[str], dict[str, int]]:
    """Choose the worker of every member of a crew, the servers first, and the threads of a member there.

    Those that are no servers are placed as ranks are. Servers take no thread of a worker's from its tasks: they are spread
    over the workers, those first that have the smallest part of their threads taken.

    Examples
    --------
    >>> place_crew(4, 2, {"a": 4, "b": 4, "c": 1})
    (['c', 'a', 'a', 'b'], {'a': 4, 'b': 4, 'c': 1})
    """
    if not threads:
        raise ConfigError("the cluster has no workers; start some, or wait for them (client.wait_for_workers)")
    others, share = place(size - servers, threads) if size > servers else ([], {})
    hosts = sorted(threads, key=lambda address: others.count(address) / threads[address])
    chosen = [hosts[rank % len(hosts)] for rank in range(servers)]
    return chosen + others, {address: share.get(address, threads[address]) for address in sorted({*chosen, *others})}


def orders(
    function: str,
    addresses: Sequence[str],
    probes: dict[str, worker.Probe],
    threads: dict[str, int],
    deadline: float,
    topic: str,
    who: str = "fit",
    leaves: bool = False,
) -> list[Orders]:
    """Write the orders of every rank of a new fit, once the workers have said what they are."""
    fit = uuid.uuid4().hex
    here = collections.defaultdict(list)
    for rank, address in enumerate(addresses):
        here[probes[address].machine].append(rank)
    result = []
    for rank, address in enumerate(addresses):
        neighbours = here[probes[address].machine]
        # The ranks of a machine share the directory of the first of them.
        directory = os.path.join(probes[addresses[neighbours[0]]].directory, f"dsgd-{fit}")
        result.append(
            Orders(
                fit,
                rank,
                len(addresses),
                function,
                probes[address].process,
                directory,
                tuple(neighbours),
                threads[address],
                deadline,
                topic,
                who,
                leaves,
            )
        )
    return result
