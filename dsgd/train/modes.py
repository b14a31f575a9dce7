"""How a fit is spread over workers: one small frozen dataclass a mode, with its own knobs only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import ConfigError

Compression = Literal["none", "fp16", "int8", "topk"]


@dataclass(frozen=True)
class Sync:
    """Synchronous data-parallel training.

    Parameters
    ----------
    topology : {"ring", "tree", "engine"}
        Who adds the gradients up. "ring" and "tree": the ranks themselves, through shared memory on one host and over
        the network between hosts. "engine": the engine's own tree-aggregate, one engine job a round.
    local_steps : int or "epoch"
        Optimiser steps between two averagings of the weights; 1 reduces every mini-batch's gradient.
    compression : {"none", "fp16", "int8", "topk"}
        How gradients (or weight deltas) travel; the error of a step is fed back into the next one.
    backup_workers : int
        Workers that a step need not wait for: it is taken with the gradients of the others, and those that come late are
        dropped and counted (Chen et al. 2016). Needs parameter shards, to which the gradients of all go; so these steps are
        neither ring nor tree, and ``n_workers`` must be larger.

    Examples
    --------
    >>> Sync(topology="tree", local_steps=8)
    Sync(topology='tree', local_steps=8, compression='none', backup_workers=0)
    """

    topology: Literal["ring", "tree", "engine"] = "ring"
    local_steps: int | Literal["epoch"] = 1
    compression: Compression = "none"
    backup_workers: int = 0

    def __post_init__(self):
        if self.topology not in ("ring", "tree", "engine"):
            raise ConfigError(f"topology must be 'ring', 'tree' or 'engine', not {self.topology!r}")
        steps = self.local_steps.item() if isinstance(self.local_steps, np.generic) else self.local_steps
        object.__setattr__(self, "local_steps", steps)
        if steps != "epoch" and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
            raise ConfigError(f"local_steps must be an integer >= 1 or 'epoch', not {self.local_steps!r}")
        if self.compression not in ("none", "fp16", "int8", "topk"):
            raise ConfigError(f"compression must be 'none', 'fp16', 'int8' or 'topk', not {self.compression!r}")
        backups = self.backup_workers.item() if isinstance(self.backup_workers, np.generic) else self.backup_workers
        object.__setattr__(self, "backup_workers", backups)
        if not isinstance(backups, int) or isinstance(backups, bool) or backups < 0:
            raise ConfigError(f"backup_workers must be an integer >= 0, not {self.backup_workers!r}")
        if backups and (self.topology == "engine" or steps != 1 or self.compression != "none"):
            raise ConfigError(
                "backup_workers are for steps whose gradients go to a parameter shard: they need local_steps=1, "
                "compression='none', and no topology='engine'"
            )


@dataclass(frozen=True)
class Async:
    """Asynchronous data-parallel training: workers push gradients to parameter shards, and nobody waits for the slowest.

    The rows are divided into lots, which the workers take one after the other, so that a slow one does fewer; a worker or a
    shard that dies is started again, and the fit goes on. Steps are of ``batch_size`` rows; with ``staleness=0`` that is what
    all workers push together.

    Parameters
    ----------
    staleness : int or None
        How many pushes a worker may be ahead of the slowest: 0 for steps that all take together (bulk-synchronous), ``s`` for
        a bound (stale synchronous parallel), None for none.
    shards : int
        Parameter shards, among which the weights are divided.
    local_steps : int or "auto"
        Steps that a worker takes by itself between two exchanges with the shards, on ``threads_per_worker`` threads without
        locks (Hogwild); then it pushes what has changed. 1 pushes every mini-batch's gradient. "auto" takes so many that
        exchanges cost little beside them, where that can be: with "sgd", "adagrad" and "ftrl", whose states add up, without
        ``correction``, and with another staleness than 0; otherwise 1. Of several workers that take their own, an l1 penalty
        may leave weights near zero that 1 leaves at zero.
    correction : {"none", "rate", "delay"}
        What is done about a stale gradient: nothing; its rate is divided by its staleness (Zhang et al. 2016); or it is
        corrected for what the weights have done since (delay compensation, Zheng et al. 2017).
    compensation : float
        Strength of delay compensation.
    snapshot_seconds : float
        Between two snapshots of a shard, which are what a shard that dies comes back from.
    restarts : int
        Deaths of workers and shards after which the next one ends the fit.

    Examples
    --------
    >>> Async(staleness=4).shards
    1
    """

    staleness: int | None = None
    shards: int = 1
    local_steps: int | Literal["auto"] = "auto"
    correction: Literal["none", "rate", "delay"] = "none"
    compensation: float = 1.0
    snapshot_seconds: float = 10.0
    restarts: int = 32

    # As the recipe of small steps knows them.
    topology: ClassVar[Literal["shards"]] = "shards"
    compression: ClassVar[Compression] = "none"
    backup_workers: ClassVar[int] = 0

    def __post_init__(self):
        least = {"staleness": 0, "shards": 1, "local_steps": 1, "restarts": 0}
        instead = {"staleness": (None, "None or "), "local_steps": ("auto", "'auto' or ")}
        for name, low in least.items():
            value = getattr(self, name)
            value = value.item() if isinstance(value, np.generic) else value
            object.__setattr__(self, name, value)
            if name in instead and value == instead[name][0]:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ConfigError(f"{name} must be {instead.get(name, ('', ''))[1]}an integer >= {low}, not {value!r}")
        if self.correction not in ("none", "rate", "delay"):
            raise ConfigError(f"correction must be 'none', 'rate' or 'delay', not {self.correction!r}")
        for name in ("compensation", "snapshot_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
                raise ConfigError(f"{name} must be a number > 0, not {value!r}")
        if self.staleness == 0 and self.correction != "none":
            raise ConfigError(
                f"correction={self.correction!r} is about stale gradients, and with staleness=0 there are none; use 'none'"
            )
        if self.local_steps not in ("auto", 1) and (self.staleness == 0 or self.correction != "none"):
            other = "staleness=0" if self.staleness == 0 else f"correction={self.correction!r}"
            raise ConfigError(
                f"with {other} every mini-batch's gradient is pushed: local_steps must be 1 or 'auto', not {self.local_steps}"
            )


@dataclass(frozen=True)
class Columns:
    """Model-parallel training: every rank has all rows, and a block of the columns with their weights.

    Ranks sum the scores of a mini-batch, which are as many as its rows, however many weights there are. Blocks have about the
    same number of values a row.

    Parameters
    ----------
    topology : {"ring", "tree"}
        Who adds the scores up: as in :class:`Sync`.
    save_to : str, path or URI, optional
        Where the ranks save the model when the fit ends, each its own block, so that no process has all weights: a directory
        that all of them reach, or a URI that pyarrow's filesystems open. The fitted model then reads its weights when they are
        asked for.
    overwrite : bool
        Whether a model at ``save_to`` may be replaced; it is when the new one is whole.

    Examples
    --------
    >>> Columns()
    Columns(topology='ring', save_to=None, overwrite=False)
    """

    topology: Literal["ring", "tree"] = "ring"
    save_to: str | None = None
    overwrite: bool = False

    # Every step is taken together.
    local_steps: ClassVar[int] = 1
    compression: ClassVar[Compression] = "none"
    backup_workers: ClassVar[int] = 0

    def __post_init__(self):
        _check_own_topology(self.topology)
        _check_saving(self)


@dataclass(frozen=True)
class Hybrid:
    """A grid of ranks: the rows are divided among ``rows`` groups of ranks, the columns among the ``columns`` ranks of each.

    Scores are summed along a row of the grid, gradients down a column. ``Hybrid(1, C)`` is :class:`Columns` on C ranks,
    ``Hybrid(R, 1)`` takes the steps of :class:`Sync` on R ranks.

    Parameters
    ----------
    rows, columns : int
        Their product is ``n_workers``, also where an engine would take all of its own if that is not given.
    topology : {"ring", "tree"}
        Who adds scores and gradients up: as in :class:`Sync`.
    save_to : str, path or URI, optional
    overwrite : bool
        As in :class:`Columns`; the ranks of the first row save.

    Examples
    --------
    >>> Hybrid(rows=2, columns=3).columns
    3
    """

    rows: int
    columns: int
    topology: Literal["ring", "tree"] = "ring"
    save_to: str | None = None
    overwrite: bool = False

    local_steps: ClassVar[int] = 1
    compression: ClassVar[Compression] = "none"
    backup_workers: ClassVar[int] = 0

    @property
    def ranks(self) -> int:
        """Of the whole grid."""
        return self.rows * self.columns

    def __post_init__(self):
        for name in ("rows", "columns"):
            value = getattr(self, name)
            value = value.item() if isinstance(value, np.generic) else value
            object.__setattr__(self, name, value)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} of the grid must be an integer >= 1, not {value!r}")
        _check_own_topology(self.topology)
        _check_saving(self)


def _check_own_topology(topology: str) -> None:
    if topology not in ("ring", "tree"):
        raise ConfigError(f"topology must be 'ring' or 'tree' where columns are divided, not {topology!r}")


def _check_saving(mode: Columns | Hybrid) -> None:
    """``save_to`` becomes text."""
    if isinstance(mode.save_to, os.PathLike):
        object.__setattr__(mode, "save_to", os.fspath(mode.save_to))
    if mode.save_to is not None and (not isinstance(mode.save_to, str) or not mode.save_to):
        raise ConfigError(f"save_to must be a path or a URI of a directory, not {mode.save_to!r}")
    if not isinstance(mode.overwrite, bool):
        raise ConfigError(f"overwrite must be True or False, not {mode.overwrite!r}")
    if mode.overwrite and mode.save_to is None:
        raise ConfigError("overwrite=True is about the model at save_to; name that as well, or leave overwrite out")


Mode = Sync | Async | Columns | Hybrid


def by_shards(mode: Mode) -> Async | None:
    """How a fit with parameter shards goes; None for a mode that has none.

    Examples
    --------
    >>> by_shards(Sync()), by_shards(Sync(backup_workers=1)).staleness
    (None, 0)
    """
    if isinstance(mode, Async):
        return mode
    return Async(staleness=0, local_steps=1) if mode.backup_workers else None


def is_gang(mode: Mode) -> bool:
    """Whether a fit is that of ranks which stand and fall together.

    Examples
    --------
    >>> is_gang(Sync()), is_gang(Columns()), is_gang(Sync(topology="engine")), is_gang(Async())
    (True, True, False, False)
    """
    return mode.topology != "engine" and by_shards(mode) is None


def resolve(mode: "str | Mode") -> Mode:
    """Return the mode object for a name or an object.

    Raises
    ------
    ConfigError
        For a name that is unknown or not available in this version.
    """
    if isinstance(mode, Mode):
        return mode
    if isinstance(mode, str) and mode in _NAMES:
        return _NAMES[mode]()
    if mode == "hybrid":
        raise ConfigError("mode='hybrid' needs to know the grid: Hybrid(rows=..., columns=...)")
    if mode == "federated":
        raise ConfigError(
            "mode='federated' is not available in this version; 'sync', 'async', 'columns' and 'hybrid' are"
        )
    raise ConfigError(
        "mode must be 'sync', 'async', 'columns', or a Sync(...), Async(...), Columns(...) or Hybrid(...) object, not "
        f"{mode!r}"
    )


# Those that need no knobs.
_NAMES: dict[str, type[Sync] | type[Async] | type[Columns]] = {"sync": Sync, "async": Async, "columns": Columns}
_KINDS: dict[str, type[Sync] | type[Async] | type[Columns] | type[Hybrid]] = {**_NAMES, "hybrid": Hybrid}


def name_of(mode: Mode) -> str:
    """The name by which a mode is asked for.

    Examples
    --------
    >>> name_of(Sync()), name_of(Hybrid(2, 2))
    ('sync', 'hybrid')
    """
    return next(name for name, kind in _KINDS.items() if isinstance(mode, kind))


def make_mode(name: str, knobs: Mapping[str, Any]) -> Mode:
    """The mode of a name with its knobs, for faces on which these are parameters of their own.

    Raises
    ------
    ConfigError
        For an unknown mode, and for a knob that the mode does not have.

    Examples
    --------
    >>> make_mode("async", {"staleness": 4}).staleness
    4
    """
    if name not in _KINDS or (name == "hybrid" and not {"rows", "columns"} <= set(knobs)):
        return resolve(name)
    for knob in knobs:
        owners = [other for other, kind in _KINDS.items() if knob in {field.name for field in fields(kind)}]
        if name not in owners:
            raise ConfigError(
                f"{knob} must be left out with mode={name!r}; it goes with mode={owners[0] if owners else name!r}"
            )
    return _KINDS[name](**knobs)
