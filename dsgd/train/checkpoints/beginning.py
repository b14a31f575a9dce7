"""The driver's side: whose checkpoints these are, before any work starts; and their end."""

import contextlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ...data.dataset import Dataset
from ...errors import CheckpointError, ConfigError
from ..again import Carry, RankLost, tokens
from ..config import FitConfig, TrainedLinear
from .folder import Folder
from .identity import identity_of, refuse_other
from .kept import Orders
from .settings import Checkpoint

_log = logging.getLogger(__name__)
# Seconds between two epochs at least, whose state is left with the driver.
_CARRIED = 2.0


@contextlib.contextmanager
def checkpointed(
    dataset: Dataset, config: FitConfig, validation: Dataset | None, initial: TrainedLinear | None
) -> Iterator[Orders | None]:
    """Have a fit's directory claimed, and its checkpoints removed when the fit has ended well.

    Raises
    ------
    CheckpointError
        When there are checkpoints of another fit, or they are damaged beyond telling.
    ConfigError
        When the directory holds something else, or cannot be written.
    """
    settings = config.checkpoint
    if settings is None:
        yield None
        return
    folder, ours = Folder(settings.path), identity_of(dataset, config, validation, initial)
    owner = _owner(folder, settings)
    if owner is not None:
        refuse_other(ours, owner.get("identity"), settings.path)
    # Workers may have another directory that relative paths begin at.
    orders = Orders(replace(settings, path=folder.everywhere), secrets.token_hex(16))
    folder.claim({"identity": ours, "token": orders.token})
    try:
        yield orders
    except RankLost:
        tokens().add(orders.token)
        raise
    try:
        # Another beginning of the same fit, which has taken the directory over, has its own there.
        if (folder.owner() or {}).get("token") == orders.token:
            folder.clear()
    except (OSError, pa.ArrowException, CheckpointError, ConfigError) as error:
        _log.warning("the fit has ended, and its checkpoints in %s could not be removed: %s", settings.path, error)


def carried_on(config: FitConfig, carry: Carry) -> tuple[FitConfig, Orders]:
    """A fit without checkpoints, which goes on from what its ranks have left with the driver: its configuration, and orders."""
    carry.seed = config.seed if carry.seed is None else carry.seed
    # The mapping that the ranks are sent is of this moment; they are told again in another attempt.
    orders = Orders(Checkpoint("-", seconds=_CARRIED, keep=1), "", dict(carry.left))
    return replace(config, seed=carry.seed), orders


def _owner(folder: Folder, settings: Checkpoint) -> dict[str, Any] | None:
    """Whose the checkpoints are; those that are not to be gone on from are removed first."""
    owner = folder.owner()
    if settings.resume or (owner or {}).get("token") in tokens():
        return owner
    folder.clear()  # If what is there is not a fit's, the owner has been refused.
    return folder.owner()


def seed_of_earlier(settings: Checkpoint | None, drawn: bool = True) -> int | None:
    """The seed of the fit whose checkpoints there are: a fit whose seed is drawn goes on with that which was drawn first.

    One with a generator of its own (``drawn=False``) does so only where this process has lost a rank of it: it draws the same
    number in another process, and another one the second time in this.
    """
    if settings is None or not ((settings.resume and drawn) or tokens()):
        return None
    owner = Folder(settings.path).owner()
    if not (settings.resume and drawn) and (owner or {}).get("token") not in tokens():
        return None
    identity = None if owner is None else owner.get("identity")
    seed = identity.get("seed") if isinstance(identity, dict) else None
    return seed if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None


def refuse_checkpoints(settings: Checkpoint | None, what: str) -> None:
    """Raise ConfigError where no checkpoints are made."""
    if settings is not None:
        raise ConfigError(f"checkpoint is for a single fit, and {what}; leave it out")
