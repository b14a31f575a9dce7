"""Outputs that are whole or absent: written beside their place under another name, then renamed.

In: the path that the user named; out: a context manager whose target is the temporary name. What was there before stays
until the new output is complete, and stays for good when writing fails.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from dsgd import ConfigError


def check_free(path: Path, force: bool = False, marker: str | None = None) -> None:
    """Raise, before any work starts, when ``path`` cannot be written or may not be replaced.

    Parameters
    ----------
    path : Path
    force : bool
        Whether what is there may be replaced.
    marker : str, optional
        A file by which a directory shows that it is an earlier output of ours. Other directories are never replaced,
        whatever the user says: a slip in a path must not cost a home directory.

    Raises
    ------
    ConfigError
        See above.
    """
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; name another place, or give --force to replace it")
    if path.is_dir() and not (marker and (path / marker).is_file()):
        raise ConfigError(f"{path} is a directory that dsgd did not make; name another place, or remove it yourself")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path.absolute().parent} is not a directory; make it first")


@contextlib.contextmanager
def whole(path: Path, force: bool = False, marker: str | None = None) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, and rename it to ``path`` when the block ends well.

    The parameters are those of :func:`check_free`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole(folder / "answer") as unfinished:
    ...     _ = unfinished.write_text("42")
    >>> [(entry.name, entry.read_text()) for entry in folder.iterdir()]
    [('answer', '42')]
    """
    check_free(path, force, marker)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        yield unfinished
        _replace(unfinished, path)
    finally:
        remove(unfinished)


def remove(path: Path) -> None:
    """Delete a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _replace(source: Path, target: Path) -> None:
    """Rename; a directory cannot be renamed over another one that has files, so the old one steps aside first."""
    if not target.is_dir():
        os.replace(source, target)
        return
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except OSError:
        os.replace(aside, target)
        raise
    remove(aside)
