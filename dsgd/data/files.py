"""Which files a path means: a file, a list, a directory, a glob or a URI, on any of pyarrow's filesystems."""

import fnmatch
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from ..errors import DataError

_WILD = "*?["


def list_files(path: Any, filesystem: pafs.FileSystem | None = None) -> tuple[pafs.FileSystem, list[str], str]:
    """Return the filesystem, the data files in sorted order, and the directory below which Hive partitions begin.

    Parameters
    ----------
    path : str, os.PathLike, or an iterable of them
        Directories are searched through, leaving out names that begin with "_" or "."; ``*``, ``?`` and ``[...]`` are wild,
        but that in a URI, ``file://`` apart, a question mark begins what it says of the filesystem.
    filesystem : pyarrow.fs.FileSystem, optional
        An fsspec filesystem is wrapped. By default URIs choose theirs and other paths are local.

    Raises
    ------
    DataError
        When there is no such file, or a directory has none.
    """
    if isinstance(path, str | os.PathLike):
        return _list_one(os.fspath(path), filesystem)
    if not isinstance(path, Iterable):
        raise DataError(f"a path or a list of paths was expected, not {type(path).__name__}")
    found = [_list_one(os.fspath(item), filesystem) for item in path]
    if not found:
        raise DataError("an empty list of paths was given; name at least one file")
    if any(item[0] != found[0][0] for item in found):
        raise DataError("the paths of one dataset must be on one filesystem")
    files = [file for item in found for file in item[1]]
    if len(set(files)) < len(files):
        raise DataError("a file is named twice in the list of paths")
    base = found[0][2] if len(found) == 1 else os.path.commonpath([item[2] or "/" for item in found])
    return found[0][0], files, base


def _list_one(path: str, filesystem) -> tuple[pafs.FileSystem, list[str], str]:
    system, plain = _filesystem(path, filesystem)
    if any(character in plain for character in _WILD) and system.get_file_info(plain).type == pafs.FileType.NotFound:
        return system, _glob(system, plain, path), _fixed_part(plain)
    info = system.get_file_info(plain)
    if info.type == pafs.FileType.NotFound:
        raise DataError(f"there is no file or directory {path!r}")
    if info.type == pafs.FileType.File:
        return system, [plain], os.path.dirname(plain)
    files = _walk(system, plain)
    if not files:
        raise DataError(f"the directory {path!r} has no data files")
    return system, files, plain


def _filesystem(path: str, filesystem) -> tuple[pafs.FileSystem, str]:
    if filesystem is not None:
        if not isinstance(filesystem, pafs.FileSystem):
            filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
        return filesystem, path.split("://", 1)[-1]
    if "://" not in path:
        return pafs.LocalFileSystem(), os.path.abspath(os.path.expanduser(path))
    # What a URI says after a question mark is about the filesystem. It may not hold the characters of a glob either, so that
    # the filesystem is found from the part before them.
    address, mark, options = (path, "", "") if path.startswith("file:") else path.partition("?")
    fixed = _fixed_part(address) if any(character in address for character in _WILD) else address
    try:
        system, plain = pafs.FileSystem.from_uri(fixed + mark + options)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path!r} cannot be opened: {error}") from error
    return system, plain.rstrip("/") + address[len(fixed.rstrip("/")) :]


def _fixed_part(pattern: str) -> str:
    """The directory part before the first wild character."""
    first = min(pattern.index(character) for character in _WILD if character in pattern)
    return os.path.dirname(pattern[:first])


def _walk(system: pafs.FileSystem, root: str) -> list[str]:
    infos = system.get_file_info(pafs.FileSelector(root, recursive=True))
    files = [info.path for info in infos if info.type == pafs.FileType.File]
    return sorted(file for file in files if not _is_hidden(file[len(root.rstrip("/")) :]))


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) and "=" not in part for part in relative.split("/") if part)


def _glob(system: pafs.FileSystem, pattern: str, given: str) -> list[str]:
    root = _fixed_part(pattern)
    infos = system.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
    files: set[str] = set()
    for info in infos:
        if _is_hidden(info.path[len(root) :]) or not _matches(info.path, pattern):
            continue
        files.update([info.path] if info.type == pafs.FileType.File else _walk(system, info.path))
    if not files:
        raise DataError(f"no data file matches {given!r}")
    return sorted(files)


def _matches(path: str, pattern: str) -> bool:
    """Match part by part, so that ``*`` does not cross a directory; ``**`` stands for any number of directories."""

    def match(parts: list[str], patterns: list[str]) -> bool:
        if not patterns:
            return not parts
        if patterns[0] == "**":
            return match(parts, patterns[1:]) or (bool(parts) and match(parts[1:], patterns))
        return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and match(parts[1:], patterns[1:])

    return match(path.split("/"), pattern.split("/"))
