"""Metrics of Dask collections: each partition's sums, made where its rows are, and added up at the caller."""

import uuid
from typing import Any

import dask
import distributed
import numpy as np
import pyarrow as pa

from dsgd.errors import ConfigError
from dsgd.fitted import LinearModel
from dsgd.metrics import Metrics

from . import pieces
from .align import sort_out
from .collect import Tasks
from .pieces import GIVEN


def measure(client: distributed.Client | None, model: LinearModel, X: Any, beside: dict[str, Any], who: str) -> Metrics:
    """Return the metrics of a collection.

    Parameters
    ----------
    client : distributed.Client or None
        None computes in this process, by Dask's threads.
    model : LinearModel
    X, beside : as in :func:`dask_ext.collect.collect`
    who : str
        Whose tasks these are, for Dask's dashboard.

    Raises
    ------
    ConfigError, DataError, WorkerLost
    """
    parts, given = sort_out(X, beside)
    tasks = Tasks(client, who) if client is not None else None
    shipped = dask.delayed(model, name=f"dsgd-model-{who}-{uuid.uuid4().hex}")
    if not given.loose:
        roles = list(given.paired)
        sums = dask.delayed(_sums_of_part, pure=False)
        lazy = [
            sums(shipped, given.named, i, part, roles, *(given.paired[role][i] for role in roles), **_named(who))
            for i, part in enumerate(parts)
        ]
        found = dask.compute(*lazy) if tasks is None else tasks.gather(tasks.client.compute(lazy))
    elif tasks is None:
        raise ConfigError(
            "y is cut otherwise than X, and lining them up needs a cluster: open a distributed.Client first"
        )
    else:
        joined = tasks.join(tasks.encode(parts, given), given.loose)
        found = tasks.ask("score", _sums_of_piece, joined, given.named, tasks.client.scatter(model, hash=False))
    return model.metrics().from_vector(sum(found))


def _named(who: str) -> dict[str, str]:
    return {"dask_key_name": f"dsgd-score-{who}-{uuid.uuid4().hex}"}


def _sums_of_part(
    model: LinearModel, named: dict[str, str], number: int, part: Any, roles: list[str], *columns: Any
) -> np.ndarray:
    return _sums_of_piece(number, pieces.encode(number, part, roles, *columns), named, model)


def _sums_of_piece(number: int, piece: pieces.Piece, named: dict[str, str], model: LinearModel) -> np.ndarray:
    if not pieces.count(piece):
        return model.metrics().to_vector()
    roles = {**named, **pieces.names_beside(piece)}
    X = piece if isinstance(piece, pa.Table) else piece[0]
    columns = roles if isinstance(piece, pa.Table) else piece[1]
    return model.measure(X, *(columns.get(role) for role in GIVEN)).to_vector()
