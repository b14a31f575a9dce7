"""Where the files of checkpoints are: in a directory of any filesystem that pyarrow knows, or with the driver of the fit."""

import os
from collections.abc import Callable, Mapping
from typing import Protocol

import pyarrow as pa
from pyarrow import fs

from ...errors import ConfigError

# Bytes that the ranks of a fit leave with its driver, all together.
MOST_CARRIED = 16 << 20


class Storage(Protocol):
    """Files by name, with one level of directories.

    Attributes
    ----------
    uri : str
        What a user is told.
    everywhere : str
        A path that means the same in all processes.
    """

    uri: str
    everywhere: str

    def names(self) -> list[str]:
        """Files and directories; ConfigError when there is no telling."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all. OSError, ArrowException."""
        ...

    def read(self, name: str) -> bytes:
        """A file. OSError, ArrowException."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, or a directory and what is in it. OSError, ArrowException."""
        ...

    def close(self) -> None:
        """Remove the place itself if nothing is in it."""
        ...


class Directory:
    """A directory, which is made when something is first written.

    Parameters
    ----------
    path : str
        A path of this machine, or a URI.

    Raises
    ------
    ConfigError
        When pyarrow knows no such filesystem.
    """

    def __init__(self, path: str):
        self.uri = path
        if "://" not in path:
            self._files: fs.FileSystem = fs.LocalFileSystem()
            self._path = os.path.abspath(os.path.expanduser(path))
        else:
            try:
                self._files, inside = fs.FileSystem.from_uri(path)
            except (pa.ArrowException, OSError) as error:
                raise ConfigError(f"checkpoint={path!r}: pyarrow has no such filesystem: {error}") from error
            self._path = inside.rstrip("/")
        self.everywhere = path if "://" in path else self._path

    def names(self) -> list[str]:
        """Files and directories."""
        try:
            listed = self._files.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"checkpoint={self.uri!r} cannot be read as a directory: {error}") from error
        return [info.base_name for info in listed]

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        found = self._files.get_file_info(f"{self._path}/{name}")
        return found.size if found.is_file else None

    def write(self, name: str, data: bytes) -> None:
        """Write a file: a plain write can be cut short, a renamed file cannot."""
        target = f"{self._path}/{name}"
        self._files.create_dir(target.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(f"{target}.partial") as stream:
            stream.write(data)
        self._files.move(f"{target}.partial", target)

    def read(self, name: str) -> bytes:
        """A file."""
        with self._files.open_input_file(f"{self._path}/{name}") as file:
            return file.read()

    def remove(self, name: str) -> None:
        """Remove a file, or a directory and what is in it."""
        target = f"{self._path}/{name}"
        if self._files.get_file_info(target).type == fs.FileType.Directory:
            self._files.delete_dir(target)
        else:
            self._files.delete_file(target)

    def close(self) -> None:
        """Remove the directory if nothing is in it."""
        if not self.names() and self._files.get_file_info(self._path).type == fs.FileType.Directory:
            self._files.delete_dir(self._path)


class Carried:
    """Files that ranks leave with the driver, and are given by it when their gang begins again.

    Parameters
    ----------
    found : mapping of str to bytes
        What an earlier gang has left.
    leave : callable
        ``leave(name, data)``: leave a file with the driver, in the place of one of that name; None removes it.

    Examples
    --------
    >>> left = {}
    >>> files = Carried({"a/b": b"old"}, left.__setitem__)
    >>> files.write("c", b"new"), files.names(), files.read("a/b"), left
    (None, ['a', 'c'], b'old', {'c': b'new'})
    """

    uri = everywhere = "what the driver keeps"

    def __init__(self, found: Mapping[str, bytes], leave: Callable[[str, bytes | None], None]):
        self._found, self._leave = dict(found), leave
        self._sizes = {name: len(data) for name, data in found.items()}
        self._own: list[str] = []

    def names(self) -> list[str]:
        """Files and directories."""
        return sorted({name.partition("/")[0] for name in self._sizes})

    def size(self, name: str) -> int | None:
        """Bytes of a file."""
        return self._sizes.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Leave a file with the driver."""
        directory = name.partition("/")[0]
        if directory not in self._own:
            # A rank does not know when another has ended a checkpoint, but the one before the last was ended by all.
            for old in self._own[:-1]:
                self.remove(old)
            self._own = [*self._own[-1:], directory]
        self._leave(name, data)
        self._sizes[name] = len(data)

    def read(self, name: str) -> bytes:
        """A file that an earlier gang has left."""
        try:
            return self._found[name]
        except KeyError:
            raise OSError("it has not been left with the driver") from None

    def remove(self, name: str) -> None:
        """Remove a file, or those of a directory."""
        for file in [file for file in self._sizes if file == name or file.startswith(f"{name}/")]:
            del self._sizes[file]
            self._found.pop(file, None)
            self._leave(file, None)

    def close(self) -> None:
        """Nothing is left to remove."""
