"""The workers of a gang are asked before it starts: whether they are free, and what is installed there."""

import functools
import time
import uuid
from collections.abc import Sequence

import distributed

from dsgd.errors import ConfigError, WorkerLost
from dsgd.train import versions
from dsgd.train.again import RankLost

from . import stopping, worker
from .gang import bounded
from .watching import Watch

SHIP = (
    "Every worker needs the same dsgd (and dask_ext) as the client: install it in the workers' environment, for example"
    " with client.register_plugin(distributed.PipInstall([...])), or in their image."
)


def probe(client: distributed.Client, addresses: Sequence[str], deadline: float, who: str) -> dict[str, worker.Probe]:
    """Ask each worker what it has, which also shows that it has a free thread.

    Parameters
    ----------
    client : distributed.Client
    addresses : sequence of str
    deadline : float
        Seconds.
    who : str
        Whose gang it is for: part of the tasks' names.

    Raises
    ------
    ConfigError
        For a worker that lacks a package, or has another version.
    RankLost
        For a worker that has left meanwhile: another may be there in its place.
    WorkerLost
        For a worker that does not answer.
    """
    asked = {
        address: client.submit(
            worker.probe,
            key=f"dsgd-probe-{who}-{uuid.uuid4().hex}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )
        for address in addresses
    }
    limit = time.monotonic() + deadline
    found: dict[str, worker.Probe] = {}
    watch = Watch(client, addresses)

    def answer(address: str, seconds: float) -> worker.Probe:
        if address in watch.lost():
            raise RankLost(f"the worker {address} has left the cluster, or was killed, before its rank began")
        return asked[address].result(timeout=seconds)

    try:
        for address in asked:
            look = functools.partial(answer, address)
            found[address] = stopping.until(look, max(0.1, limit - time.monotonic()))
    except TimeoutError:
        raise WorkerLost(
            f"the worker {address} had no free thread after {deadline:g} s: it is busy with other tasks, or frozen"
        ) from None
    except ImportError as error:
        raise ConfigError(f"the worker {address} cannot import what a rank needs: {error}. {SHIP}") from error
    finally:
        watch.stop()
        bounded(lambda: client.cancel(list(asked.values())))
    driver = versions.installed()
    for address, one in found.items():
        versions.compare(driver, one.versions, f"the worker {address}", SHIP)
    return found
