"""Where a fit keeps its checkpoints, and how often it makes one."""

import os
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError

_SECONDS = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """Keep what a fit needs to go on, and go on from it: the parameter ``checkpoint`` of the estimators.

    A fit that finds checkpoints of itself at ``path`` goes on from the newest that is whole. When it ends, it removes them: the
    model is the caller's to save. With as many ranks as before, synchronous training ends at the same weights, bit for bit, as
    one that was never interrupted; with more or fewer the rest of its epochs are shared out anew.

    Parameters
    ----------
    path : str
        A directory that the driver and all workers can reach, of this machine or by a URI that pyarrow knows (``hdfs://``,
        ``s3://``, ``gs://``); one for each fit.
    seconds : float or None
        At least so many seconds lie between two checkpoints; None to go by ``steps`` alone.
    steps : int or None
        Make one also after so many steps of the optimiser.
    keep : int
        Checkpoints that are kept: older ones serve if a newer one is damaged.
    resume : bool
        Whether to go on from what there is. If False, it is removed when the fit begins.

    Raises
    ------
    ConfigError

    Notes
    -----
    Epochs of many rows are divided into up to 64 parts, by the number of values in them and of weights, and a checkpoint is
    made between two parts, or epochs. Recipes that sum over all rows make one between two such sums.

    Examples
    --------
    >>> Checkpoint("hdfs://namenode/fits/churn", seconds=300)
    Checkpoint(path='hdfs://namenode/fits/churn', seconds=300, steps=None, keep=2, resume=True)
    """

    path: str
    seconds: float | None = _SECONDS
    steps: int | None = None
    keep: int = 2
    resume: bool = True

    def __post_init__(self):
        if isinstance(self.path, os.PathLike):
            object.__setattr__(self, "path", os.fspath(self.path))
        _require(isinstance(self.path, str) and self.path, "path", "a directory or a URI", self.path)
        _require(self.seconds is None or _is_number(self.seconds), "seconds", "a number >= 0 or None", self.seconds)
        _require(self.steps is None or _is_integer(self.steps), "steps", "an integer >= 1 or None", self.steps)
        _require(_is_integer(self.keep), "keep", "an integer >= 1", self.keep)
        _require(isinstance(self.resume, bool), "resume", "True or False", self.resume)
        if self.seconds is None and self.steps is None:
            raise ConfigError("a checkpoint needs seconds or steps to tell when it is made; both are None")


def resolve(value: Any) -> Checkpoint | None:
    """What a user gave as ``checkpoint``: a path alone, a :class:`Checkpoint`, or None.

    Examples
    --------
    >>> resolve("fits/churn").keep, resolve(None)
    (2, None)
    """
    if value is None or isinstance(value, Checkpoint):
        return value
    if isinstance(value, (str, os.PathLike)):
        return Checkpoint(os.fspath(value))
    raise ConfigError(f"checkpoint must be a path, a Checkpoint(...) or None, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _require(holds: Any, name: str, expected: str, value: Any) -> None:
    if not holds:
        raise ConfigError(f"checkpoint's {name} must be {expected}, not {value!r}")
