"""From Dask's collections to a dataset of partitions: computed once, described on their workers, never brought to the client.

In come frames, arrays or lists of delayed partitions, with labels, weights and offsets inside them or beside them, in the same
partitions or in others. Rows stay where they are computed; columns that are cut otherwise travel to them.
"""

import contextlib
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import dask
import distributed
import numpy as np

from dsgd.data.elements import joined
from dsgd.data.matrices import COLUMN
from dsgd.data.resolve import Options, Roles
from dsgd.data.sources import NO_NAMES, refuse_options
from dsgd.errors import DataError, WorkerLost

from . import pieces
from .align import Beside, cuts, sort_out
from .holding import holders
from .kinds import is_array
from .partitions import Partition, PartitionsDataset
from .pieces import GIVEN
from .watching import cancelled, wait

# Partitions whose first rows tell how often elements are used.
_LOOKED_AT = 8


def collect(
    client: distributed.Client,
    X: Any,
    beside: dict[str, Any],
    features: dict[str, Any],
    places: Sequence[str],
    who: str = "fit",
) -> PartitionsDataset:
    """Compute a collection's partitions on the workers and return them as a dataset.

    Parameters
    ----------
    client : distributed.Client
    X : dask.dataframe.DataFrame, dask.array.Array, or list of Delayed or Future
    beside : dict
        By role ("label", "weight", "offset") a column's name, a Dask Series or Array, delayed partitions, an array in memory,
        or None.
    features : dict
        Options about the columns of a frame; an array takes ``missing`` only.
    places : sequence of str
        The worker of each rank.
    who : str
        Whose tasks these are, for Dask's dashboard.

    Raises
    ------
    ConfigError, DataError
        For collections that do not fit together, unknown columns and wrong types.
    WorkerLost
        For rows that were lost with their worker and cannot be had again.
    """
    if is_array(X):
        refuse_options(Options(**features), NO_NAMES, but="missing")
    parts, given = sort_out(X, beside)
    tasks = Tasks(client, who)
    futures = tasks.encode(parts, given)
    if given.loose:
        futures = tasks.join(futures, given.loose)
    described = tasks.ask("inspect", pieces.describe, futures, given.named, features)
    holders = client.who_has(futures)
    partitions = [
        Partition(future, found.rows, tuple(holders.get(future.key, ())))
        for future, found in zip(futures, described, strict=True)
    ]
    return PartitionsDataset(partitions, *_agreed(described), places)


def look(client: distributed.Client, dataset: PartitionsDataset, who: str = "fit") -> None:
    """Have a dataset know about how often the elements of its sparse vectors are used, from a few rows of some partitions."""
    names = [vector.name for vector in dataset.spec.sparse_vectors]
    some = [partition.data for partition in dataset.partitions if partition.rows][:_LOOKED_AT] if names else []
    found = Tasks(client, who).ask("sample", pieces.samples, some, dataset.spec)
    dataset.samples = {name: joined([own[name] for own in found]) for name in names}


def _agreed(described: Sequence[pieces.Described]) -> tuple[Roles, Any]:
    """What the partitions that have rows say of their columns."""
    full = [(number, found) for number, found in enumerate(described) if found.rows]
    if not full:
        raise DataError("the Dask collection has no rows; a fit needs at least one")
    first, found = full[0]
    for number, other in full:
        if other.roles != found.roles:
            raise DataError(
                f"partition {number} has {_said(other.roles)} and partition {first} has {_said(found.roles)}; all partitions "
                "need the same"
            )
        refuse_other_columns(number, other.spec, first, found.spec)
    if "label" not in found.roles:
        raise DataError("the partitions have no labels; give y, or make each partition a tuple (X, y)")
    return Roles(**found.roles), found.spec


def refuse_other_columns(number: int, other: Any, first: int, spec: Any) -> None:
    """Raise DataError when one partition has a column that another has not: it would be left out, or missed by a rank.

    Parameters
    ----------
    number, first : int
        Of the partitions.
    other, spec : FeatureSpec
        What was found in them.
    """
    if spec.columns == other.columns == (COLUMN,) and spec.layout.size != other.layout.size:
        raise DataError(
            f"partition {number} has {other.layout.size} columns and partition {first} has {spec.layout.size}; all partitions "
            "need the same"
        )
    for at, own, elsewhere, its in ((number, other, first, spec), (first, spec, number, other)):
        lacking = [name for name in its.columns if name not in own.columns]
        if lacking:
            raise DataError(
                f"partition {at} has no column {lacking[0]!r}, which partition {elsewhere} has; all partitions need the same"
            )


def _said(roles: dict[str, str]) -> str:
    return " and ".join(GIVEN[role] for role in GIVEN if role in roles) or "no y"


class Tasks:
    """The tasks of one collection, named so that the dashboard tells what they do and for whom."""

    def __init__(self, client: distributed.Client, who: str):
        self.client, self._who, self._token = client, who, uuid.uuid4().hex

    def _key(self, what: str, number: int) -> str:
        return f"dsgd-{what}-{self._who}-{self._token}-{number}"

    def encode(self, parts: Sequence[Any], given: Beside) -> list[distributed.Future]:
        """Compute the partitions, with the columns that are paired with them."""
        roles = list(given.paired)
        encode = dask.delayed(pieces.encode, pure=False)
        tasks = [
            encode(i, part, roles, *(given.paired[role][i] for role in roles), dask_key_name=self._key("encode", i))
            for i, part in enumerate(parts)
        ]
        where = holders(self.client, parts)
        futures: dict[int, distributed.Future] = {}
        for address in dict.fromkeys(where):
            here = [i for i, held in enumerate(where) if held == address]
            pinned = {} if address is None else {"workers": [address], "allow_other_workers": False}
            futures.update(zip(here, self.client.compute([tasks[i] for i in here], **pinned), strict=True))
        encoded = [futures[i] for i in range(len(parts))]
        self.wait(encoded, {address for address in where if address})
        return encoded

    def ask(self, what: str, function: Callable[..., Any], futures: Sequence[distributed.Future], *more: Any) -> list:
        """Ask every partition something, where it is."""
        answers = self._pinned(what, function, futures, [more] * len(futures))
        return self.gather(answers)

    def _pinned(
        self,
        what: str,
        function: Callable[..., Any],
        futures: Sequence[distributed.Future],
        more: Sequence[Sequence[Any]],
    ) -> list[distributed.Future]:
        """Submit ``function(number, piece, *more)`` to the worker that has the piece, and wait."""
        where = holders(self.client, futures)
        answers = [
            self.client.submit(
                function, i, future, *own, key=self._key(what, i), workers=address, allow_other_workers=False
            )
            for i, (future, own, address) in enumerate(zip(futures, more, where, strict=True))
        ]
        self.wait(answers, {address for address in where if address})
        return answers

    def join(self, futures: Sequence[distributed.Future], loose: dict[str, Any]) -> list[distributed.Future]:
        """Put columns that are cut otherwise beside the partitions, by position."""
        wanted = self.ask("count", _count, futures)
        ranges: list[dict[str, list]] = [{} for _ in futures]
        for role, values in loose.items():
            source = self._source(role, values)
            for own, found in zip(ranges, cuts(wanted, [rows for _, rows in source], GIVEN[role]), strict=True):
                own[role] = [_part(source[piece][0], start, stop) for piece, start, stop in found]
        return self._pinned("join", pieces.join, futures, [(own,) for own in ranges])

    def _source(self, role: str, values: Any) -> list[tuple[Any, int]]:
        """Pieces of a column and their lengths."""
        if isinstance(values, np.ndarray):
            return [(values, len(values))]
        found = self.client.compute(list(values))
        self.wait(found)
        return list(zip(found, self.ask(f"count-{role}", _count, found), strict=True))

    def wait(self, futures: Sequence[distributed.Future], pinned: Collection[str] = ()) -> None:
        """Wait for the futures to end; those of ``pinned`` workers would wait for ever when these leave."""
        with self._said():
            wait(self.client, futures, pinned=pinned)

    def gather(self, futures: Sequence[distributed.Future]) -> list[Any]:
        """Wait for the futures' results."""
        with self._said():
            wait(self.client, futures)
            return self.client.gather(list(futures))

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Say in the words of a user what ends a wait."""
        try:
            yield
        except distributed.KilledWorker as error:
            raise WorkerLost(f"the workers that computed a partition died, several times: {error}") from error
        except distributed.CancelledError as error:
            raise cancelled(
                self.client,
                error,
                "partitions were cancelled, or lost with the worker that held them, and Dask cannot make them again; make the "
                "collection again (persist), and fit again",
            ) from error


def _part(values: Any, start: int, stop: int) -> tuple[Any, int, int]:
    """A range of a piece; of an array in memory only what is needed travels."""
    return (values[start:stop], 0, stop - start) if isinstance(values, np.ndarray) else (values, start, stop)


def _count(number: int, piece: Any) -> int:
    return pieces.count(piece)
