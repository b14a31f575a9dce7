"""Where a shard is found: what it leaves on the board, and what is read there.

A shard listens to the network, and in a directory for those of its own machine: that way is faster and need not be encrypted.
"""

import json
import os
from collections.abc import Callable

from ..errors import WorkerLost
from ..foreign import is_count, read_object

# Bytes of a path at which a socket can be, at most: 108 with the zero that ends it, on Linux; less elsewhere.
_LONGEST_PATH = 100


def place_of(shard: int) -> str:
    """The name under which a shard's address is on the board."""
    return f"shard-{shard}"


def announcement(address: str, near: str | None, machine: str, attempt: int) -> bytes:
    """What a shard leaves on the board.

    Parameters
    ----------
    address : str
        For all.
    near : str or None
        For those on the same ``machine``.
    machine : str
        Identifies the operating system instance.
    attempt : int
    """
    return json.dumps({"address": address, "near": near, "machine": machine, "attempt": attempt}).encode()


def address_on(read: Callable[[str], bytes | None], shard: int, machine: str) -> tuple[str, int] | None:
    """Address and attempt of a shard, if it has been started; for one on ``machine`` that can see its directory, the near one.

    Raises
    ------
    WorkerLost
        When what is on the board is no address.

    Examples
    --------
    >>> board = {"shard-0": announcement("tcp://10.0.0.7:4000", None, "m", 2)}
    >>> address_on(board.get, 0, "m"), address_on(board.get, 1, "m")
    (('tcp://10.0.0.7:4000', 2), None)
    """
    value = read(place_of(shard))
    if value is None:
        return None
    source = f"what parameter shard {shard} has left on the board"
    found = read_object(value, source, WorkerLost)
    near = found.get("near")
    texts = (found.get("address"), found.get("machine"), "" if near is None else near)
    if not all(isinstance(text, str) for text in texts) or not is_count(found.get("attempt")):
        raise WorkerLost(f"{source} is damaged: it does not say where it is")
    # In another container of the machine the directory is not there.
    close = near is not None and found["machine"] == machine and os.path.exists(near.removeprefix("ipc://"))
    return str(near if close else found["address"]), int(found["attempt"])


def near_address(directory: str, name: str) -> str | None:
    """An address in a directory; None where its path would be too long for a socket, or others than this user may enter.

    Nothing is encrypted there, and the token of the fit is shown to whoever listens.
    """
    path = os.path.join(os.path.abspath(directory), name)
    about = os.stat(directory)
    private = about.st_uid == os.getuid() and not about.st_mode & 0o077 if hasattr(os, "getuid") else False
    return f"ipc://{path}" if private and len(os.fsencode(path)) <= _LONGEST_PATH else None
