"""A rank's part in its fit's checkpoints: found when it begins, made when they are due, by all ranks together.

The first rank decides when; a rank that has weights that no other rank writes, or state of its own, writes them; the first
writes the header when all others have. Between two checkpoints ranks exchange one number at each place where one could be made.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa

from ...collectives.base import Collective
from ...errors import CheckpointError, ConfigError
from ..engine import RankContext
from .folder import Folder
from .identity import alike
from .kept import Kept, Orders
from .storage import MOST_CARRIED, Carried
from .weights import Held, carried

_VECTOR, _ARRAY, _OWN, _POSITIONS = "vector ", "array ", "own ", "positions"
# Rows of a part of an epoch, and parts at most: between two of them ranks meet, and lazy penalties are settled.
_ROWS, _MOST_PARTS = 2_000_000, 64
# What is left with the driver unasked may take this part of the time.
_PART = 0.02
_log = logging.getLogger(__name__)


class TakenOver(ConfigError):
    """The directory is not, or no longer, that of this beginning of the fit."""


class Keeper:
    """Keeps the checkpoints of a fit, as one rank of it.

    Parameters
    ----------
    orders : Orders
    circles : sequence of Collective
        Together they reach all ranks: what the first member of each circle knows, circle after circle, is what the first rank
        knows. One circle for a gang; along and down a grid.
    rank : int
        The rank's number in all.
    ranges : tuple of (int, int)
        Of the weights of all columns, the rank's own.
    writes : bool
        Whether its vectors are written: of ranks with the same weights, one's.
    leave : callable, optional
        ``leave(name, data)``, of the rank's context, where the files are left with the driver.

    Raises
    ------
    ConfigError
        When the directory is not the one that the driver sees.
    """

    on = True

    def __init__(
        self,
        orders: Orders,
        circles: Sequence[Collective],
        rank: int,
        ranges: tuple[tuple[int, int], ...],
        writes: bool,
        leave: Callable[[str, bytes | None], None] | None = None,
    ):
        self._orders, self._circles, self._rank, self._writes = orders, circles, rank, writes
        self._size = int(np.prod([circle.size for circle in circles]))
        # Unasked: a fit is none the worse without.
        self._unasked = orders.found is not None
        storage = None
        if orders.found is not None:
            assert leave is not None
            storage = Carried(orders.found, leave)
        self._folder = Folder(orders.settings.path, storage)
        self._cost, self._over = 0.0, False
        self._held, self._outputs, self._rows = Held(ranges), 1, 0
        self._moments: list[list[float]] = []
        self._digest = ""
        self._check_owner()
        self._header: dict[str, Any] | None = None
        self._sources: list[tuple[Held, dict[str, np.ndarray]]] = []
        self._own: dict[str, np.ndarray] = {}
        self._number = 0
        self._find()
        # A directory that takes no first checkpoint is a mistake, and the user's to know of; later it is a disk that is full.
        self._proven = self._header is not None
        self._last = time.monotonic(), 0 if self._header is None else int(self._header["step"])

    # ---- going on

    def places(self) -> np.ndarray:
        """Places, among all weights, of those that the checkpoint found has, where it does not simply have all; int64."""
        parts = [held.places() for held, _ in self._sources if held.positions is not None]
        return np.concatenate([np.arange(0), *parts])

    def hold(self, positions: np.ndarray | None, outputs: int, digest: str = "") -> None:
        """Say which of the rank's weights its vectors are of (see :class:`Held`), of how many outputs, and by which rows."""
        self._held, self._outputs, self._digest = Held(self._held.ranges, positions), outputs, digest

    @property
    def rows(self) -> int | None:
        """Rows of the fit that made the checkpoint found."""
        return None if self._header is None else self._header["rows"]

    def check_rows(self, rows: int, moments: list[list[float]]) -> None:
        """Raise CheckpointError when the data is not what the checkpoint was made with; ``moments`` as of :func:`moments_of`."""
        self._rows, self._moments = rows, moments
        if self._header is None:
            return
        what = f"is of a fit of {self.rows} rows, and there are {rows} now" if self.rows != rows else ""
        if not what and not alike(self._header.get("moments", moments), moments):
            what = "is of a fit of other rows, whose labels or columns have other means or variances"
        if what and self._unasked:
            # Rows that were made a second time need not be the same.
            self._header = None
        elif what:
            raise CheckpointError(
                f"checkpoint={self._folder.uri!r} {what}: the data has changed. Name another directory, or begin anew with "
                "Checkpoint(..., resume=False)"
            )

    def take_up(self, recipe: str) -> tuple[str, Kept] | None:
        """The recipe that a checkpoint was made by, and what it kept; None without one. It is given once."""
        if self._header is None:
            return None
        header, self._header = self._header, None
        first = self._sources[0][1]
        names = [name for name in first if name.startswith(_VECTOR)]
        own = header["size"] == self._size and any(held.same_as(self._held) for held, _ in self._sources)
        rows = own and header["digests"][self._rank] == self._digest
        # Blocks of columns may be cut alike for one rank and not for another, and all must go on from the same place.
        exact, same_rows = (all(answers) for answers in zip(*self._gathered([own, rows]), strict=True))
        kept = Kept(
            {name.removeprefix(_VECTOR): self._vector(name) for name in names},
            meta=header["meta"],
            exact=exact,
            same_rows=same_rows,
            progress=header["progress"],
        )
        if exact:
            kept.arrays = {n.removeprefix(_ARRAY): a for n, a in first.items() if n.startswith(_ARRAY)}
            kept.own_arrays = {n.removeprefix(_OWN): a for n, a in self._own.items() if n.startswith(_OWN)}
            kept.own = header["own"][self._rank]
        self._sources, self._own = [], {}
        if self._rank == 0:
            _log.info("the fit goes on after step %d, from %s", header["step"], self._folder.uri)
        return header["recipe"], kept

    def _vector(self, name: str) -> np.ndarray:
        vector = carried([(held, arrays.pop(name)) for held, arrays in self._sources], self._held, self._outputs)
        size = sum(stop - start for start, stop in self._held.ranges)
        if self._held.positions is not None:
            size = len(self._held.positions)
        if len(vector) != (size + 1) * self._outputs:
            raise CheckpointError(
                f"{self._folder.uri}: {name} has {len(vector)} values; the checkpoint is of another fit"
            )
        return vector

    # ---- keeping

    def parts(self, rows: int, steps: int) -> int:
        """Parts that an epoch of so many rows and steps is divided into; alike on all ranks."""
        every = self._orders.settings.steps
        if self._unasked:
            return 1
        return int(np.clip(rows // _ROWS if every is None else -(-steps // every), 1, _MOST_PARTS))

    def due(self, step: int) -> bool:
        """Whether all ranks are to make a checkpoint now; all ask at the same places."""
        seconds, steps = self._orders.settings.seconds, self._orders.settings.steps
        now, (then, before) = time.monotonic(), self._last
        due = (seconds is not None and now - then >= seconds) or (steps is not None and step - before >= steps)
        if self._unasked:
            due = due and not self._over and now - then >= self._cost / _PART
        flag = np.array([float(due)])
        for circle in self._circles:
            circle.broadcast(flag)
        return bool(flag[0])

    def save(self, recipe: str, step: int, kept: Kept) -> None:
        """Make a checkpoint; all ranks do so at the same places.

        Raises
        ------
        ConfigError
            When another beginning of the same fit has taken the directory over, or the first one cannot be written. That a
            later one cannot is a warning: training is none the worse for it.
        """
        arrays = {_OWN + name: array for name, array in kept.own_arrays.items()}
        if self._writes:
            arrays |= {_VECTOR + name: array for name, array in kept.vectors.items()}
            if self._held.positions is not None:
                arrays[_POSITIONS] = np.asarray(self._held.positions, np.int64)
        if self._rank == 0:
            arrays |= {_ARRAY + name: array for name, array in kept.arrays.items()}
        began, number, problem, taken, records = time.monotonic(), self._number + 1, "", "", []
        if self._unasked and sum(self._gathered(sum(a.nbytes for a in arrays.values()))) > MOST_CARRIED:
            self._over = True
            return
        try:
            self._check_owner()
            records = self._folder.write_part(number, self._rank, arrays) if arrays else []
        except TakenOver as error:
            taken = str(error)
        except (OSError, pa.ArrowException, ConfigError) as error:
            # Told to all: none may wait for one that has failed.
            problem = f"rank {self._rank}: {error}"
        ranges = [list(pair) for pair in self._held.ranges] if self._writes else None
        entry = {"parts": records, "own": kept.own, "ranges": ranges, "digests": self._digest}
        found = self._gathered({**entry, "problem": problem, "taken": taken})
        if other := next((entry["taken"] for entry in found if entry["taken"]), ""):
            raise ConfigError(other)
        failed = next((entry["problem"] for entry in found if entry["problem"]), "")
        if failed and not self._proven and not self._unasked:
            raise ConfigError(f"checkpoint={self._folder.uri!r} cannot be written: {failed}")
        if self._rank == 0 and not failed:
            header = {
                "step": step, "recipe": recipe, "rows": self._rows, "size": self._size, "meta": kept.meta,
                "progress": kept.progress, "token": self._orders.token, "moments": self._moments,
                **{name: [entry[name] for entry in found] for name in entry},
            }  # fmt: skip
            failed = self._finish(number, header)
        if failed and self._rank == 0:
            _log.warning("no checkpoint in %s could be made after step %d: %s", self._folder.uri, step, failed)
        now = time.monotonic()
        self._number, self._last, self._proven, self._cost = number, (now, step), True, now - began

    def _finish(self, number: int, header: dict[str, Any]) -> str:
        """Make a checkpoint of its parts; what went wrong."""
        try:
            self._check_owner()
            self._folder.finish(number, header, self._orders.settings.keep)
        except TakenOver:
            raise
        except (OSError, pa.ArrowException, ConfigError) as error:
            if not self._proven and not self._unasked:
                raise ConfigError(f"checkpoint={self._folder.uri!r} cannot be written: {error}") from error
            return str(error)
        return ""

    # ---- together

    def _gathered(self, entry: Any) -> list[Any]:
        """Everybody's entry, by rank."""
        entries = {self._rank: entry}
        for circle in reversed(self._circles):
            parts = circle.allgather(json.dumps(entries).encode())
            entries = {int(rank): value for part in parts for rank, value in json.loads(part).items()}
        return [entries[rank] for rank in sorted(entries)]

    def _find(self) -> None:
        """Look for the newest checkpoint that all ranks can read."""
        numbers = self._gathered(self._folder.numbers() if self._rank == 0 else None)[0]
        self._number = max(numbers, default=0)
        for number in numbers:
            try:
                problem = self._read(number)
            except (CheckpointError, OSError) as error:
                problem = f"{error}"
            problems = [text for text in self._gathered(problem) if text]
            if not problems:
                return
            self._header, self._sources, self._own = None, [], {}
            if self._rank == 0:
                _log.warning("a checkpoint is not used, an older one is looked for: %s", problems[0])

    def _read(self, number: int) -> str:
        header = self._folder.header(number)
        try:
            ranges, parts = header["ranges"], header["parts"]
            for rank, pairs in enumerate(ranges):
                own = rank == self._rank and header["size"] == self._size
                theirs = tuple((int(a), int(z)) for a, z in pairs or ())
                if not own and (pairs is None or not _meet(theirs, self._held.ranges)):
                    continue
                arrays = self._folder.part(number, parts[rank])
                if own:
                    self._own = {name: array for name, array in arrays.items() if name.startswith(_OWN)}
                if pairs is not None and _meet(theirs, self._held.ranges):
                    self._sources.append((Held(theirs, arrays.pop(_POSITIONS, None)), arrays))
            if not self._sources or f"{_VECTOR}params" not in self._sources[0][1]:
                return "a checkpoint has no weights"
            for name in ("step", "recipe", "rows", "size", "meta", "progress", "own", "digests"):
                header[name]
        except (KeyError, TypeError, ValueError) as error:
            return f"a checkpoint of {self._folder.uri} is damaged: {error!r}"
        self._header = header
        return ""

    def _check_owner(self) -> None:
        if self._unasked:
            return
        try:
            owner: Mapping[str, Any] = self._folder.owner() or {}
        except CheckpointError as error:
            raise ConfigError(str(error)) from error
        if owner.get("token") != self._orders.token:
            raise TakenOver(
                f"checkpoint={self._folder.uri!r} is not the directory that the driver sees there, or another fit has taken it "
                "over; name one that the driver and all workers share, one for each fit"
            )


def keeps(orders: Orders | None, context: RankContext) -> TypeGuard[Orders]:
    """Whether a rank has something to keep its fit's checkpoints in."""
    return orders is not None and (orders.found is None or context.leave is not None)


def _meet(ranges: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> bool:
    """Whether two sets of weights have any in common."""
    return any(max(a, b) < min(y, z) for a, y in ranges for b, z in others)
