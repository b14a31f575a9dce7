"""Where a command writes: checked before any work starts, and a file is whole or absent.

In: the path that the user named; out: a ConfigError, or a context manager whose target is a temporary name beside the path.
A file that was there before stays until the new one is complete, and stays for good when writing fails. A model is a
directory, which :func:`dsgd.fitted.save` writes whole by itself.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from dsgd import ConfigError
from dsgd.fitted.place import Place


def check_file(path: Path, force: bool = False) -> None:
    """Raise when a file cannot be written to ``path``, or what is there may not be replaced.

    Parameters
    ----------
    path : Path
    force : bool
        Whether what is there may be replaced. A directory never is.

    Raises
    ------
    ConfigError
        See above.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a directory, and a file is to be written; name a place in it")
    if path.exists() and not force:
        raise ConfigError(_TAKEN.format(path))
    _check_folder(path.absolute().parent)


def check_model(out: str, force: bool = False) -> None:
    """Raise when a model cannot be saved to ``out``, or what is there may not be replaced.

    Parameters
    ----------
    out : str
        A directory to be made, or a URI that pyarrow can open.
    force : bool
        Whether a model that is there may be replaced. Other directories and files never are, whatever the user says: a slip
        in a path must not cost a home directory.

    Raises
    ------
    ConfigError
        See above.
    """
    place = Place.of(out)
    if place.taken and not force:
        raise ConfigError(_TAKEN.format(out))
    if place.taken and not place.holds_model:
        raise ConfigError(f"{out} is no model that dsgd has saved; name another place, or remove it yourself")
    if "://" not in out:
        _check_folder(Path(out).absolute().parent)


_TAKEN = "{} exists already; name another place, or give --force to replace it"


def _check_folder(folder: Path) -> None:
    """Make a file there and remove it, which no look at permissions can stand for."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a directory; make it first")
    probe = folder / f".dsgd.{uuid.uuid4().hex[:8]}.unfinished"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"nothing can be written to {folder}: {error.strerror}; name another place") from error


@contextlib.contextmanager
def whole(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, and rename it to ``path`` when the block ends well.

    The parameters are those of :func:`check_file`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole(folder / "answer") as unfinished:
    ...     _ = unfinished.write_text("42")
    >>> [(entry.name, entry.read_text()) for entry in folder.iterdir()]
    [('answer', '42')]
    """
    check_file(path, force)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
