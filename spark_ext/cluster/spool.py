"""Files of an executor's local disk: the directory that Spark gives it, and a DataFrame's rows in there, a file a share."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


def local_directory() -> str:
    """Where this executor keeps files on local disk."""
    return os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or tempfile.gettempdir()


def spool(name: str, share: int) -> str:
    """Path of a share's file: the rows of one rank, or of one leaf, of the feed ``name``."""
    return os.path.join(local_directory(), f"dsgd-{name}", f"rank-{share}.arrow")


@contextmanager
def unfinished(path: str, mark: object) -> Iterator[BinaryIO]:
    """Give a file to write to, which is at ``path`` when the block has ended well, and nowhere otherwise.

    Parameters
    ----------
    path : str
    mark : object
        Tells the writers of one path apart.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    partial = f"{path}.{mark}"
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)
