"""How a fit is spread over workers: one small frozen dataclass a mode, with its own knobs only."""

from dataclasses import dataclass
from typing import Literal

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
        Ranks that a step need not wait for. Not available yet: anything but 0 raises ConfigError.

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
        if self.backup_workers != 0:
            raise ConfigError(
                "backup_workers needs the quorum of parameter shards, which this version does not have; use 0"
            )


def resolve(mode: "str | Sync") -> Sync:
    """Return the mode object for a name or an object.

    Raises
    ------
    ConfigError
        For a name that is unknown or not available in this version.
    """
    if isinstance(mode, Sync):
        return mode
    if mode == "sync":
        return Sync()
    if mode in ("async", "columns", "hybrid", "federated"):
        raise ConfigError(f"mode={mode!r} is not available in this version; mode='sync' is")
    raise ConfigError(f"mode must be 'sync' or a Sync(...) object, not {mode!r}")
