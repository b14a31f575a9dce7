"""Which worker holds what: so that a task goes to its rows, and stays there.

Left alone, Dask moves a short task to a worker that is idle, and its rows with it.
"""

from collections.abc import Sequence
from typing import Any

import distributed
from dask.core import get_dependencies
from dask.utils import ensure_dict


def holders(client: distributed.Client, parts: Sequence[Any]) -> list[str | None]:
    """Return for each delayed partition, or future, a worker that has what it is computed from; None if nobody has.

    Parameters
    ----------
    client : distributed.Client
    parts : sequence of Delayed or Future
    """
    graphs: dict[int, dict] = {}
    needs = [_held_keys(client, part, graphs) for part in parts]
    keys = {key for keys in needs for key in keys}
    where = client.who_has([distributed.Future(key, client) for key in keys]) if keys else {}
    return [next((address for key in keys for address in where.get(key, ())), None) for keys in needs]


def _held_keys(client: distributed.Client, part: Any, graphs: dict[int, dict]) -> list[Any]:
    """The results that this client holds already and a partition is computed from, the nearest ones."""
    if isinstance(part, distributed.Future):
        return [part.key]
    # Partitions of one collection share a graph; taking it apart once for each would be quadratic.
    graph = graphs.get(id(part.dask))
    if graph is None:
        graph = graphs[id(part.dask)] = ensure_dict(part.dask)
    found, left, seen = [], [part.key], {part.key}
    while left:
        key = left.pop()
        if key in client.futures and client.futures[key].status == "finished":
            found.append(key)
        elif key in graph:
            more = get_dependencies(graph, key) - seen
            seen |= more
            left += sorted(more, key=str)
    return found
