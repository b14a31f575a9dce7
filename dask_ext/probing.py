"""The workers of a gang are asked before it starts: whether they are free, and what is installed there."""

import time
import uuid
from collections.abc import Sequence

import distributed

from dsgd.errors import ConfigError, WorkerLost
from dsgd.train import versions

from . import stopping, worker
from .gang import bounded

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
    try:
        for address, future in asked.items():
            found[address] = stopping.result(future, max(0.1, limit - time.monotonic()))
    except TimeoutError:
        raise WorkerLost(
            f"the worker {address} had no free thread after {deadline:g} s: it is busy with other tasks, or frozen"
        ) from None
    except ImportError as error:
        raise ConfigError(f"the worker {address} cannot import what a rank needs: {error}. {SHIP}") from error
    finally:
        bounded(lambda: client.cancel(list(asked.values())))
    driver = versions.installed()
    for address, answer in found.items():
        versions.compare(driver, answer.versions, f"the worker {address}", SHIP)
    return found
